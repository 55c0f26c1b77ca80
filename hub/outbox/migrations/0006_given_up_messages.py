"""An index for the number of given-up messages that nobody has put aside."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models

from hub.concurrent_indexes import AddIndex


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("outbox", "0005_requests_put_aside")]

    operations = [
        ValidateConstraint("message", "only_a_request_that_was_given_up_is_put_aside"),
        AddIndex(
            "message",
            models.Index(
                fields=["destination"],
                condition=models.Q(state="DEAD", put_aside_at__isnull=True),
                name="message_given_up",
            ),
        ),
    ]
