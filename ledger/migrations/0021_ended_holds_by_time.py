"""An index for the list of the holds that ended."""

from django.db import migrations, models

from hub.concurrent_indexes import AddIndex


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("ledger", "0020_holds_are_sought_whole")]

    operations = [
        AddIndex(
            "heldtransfer",
            models.Index(fields=["held_at", "transfer"], condition=~models.Q(state="HELD"), name="held_transfer_ended"),
        )
    ]
