"""Adds an index for the list of ended holds."""

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
