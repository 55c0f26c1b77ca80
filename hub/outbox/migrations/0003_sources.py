"""Each message says which participant's request caused it; the indexes of the queue begin anew with that.

The indexes are made beside the old ones while the hub works; the old ones go afterwards.
"""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("outbox", "0002_room_for_leases")]

    operations = [
        migrations.AddField("message", "source_id", models.BigIntegerField(db_default=0)),
        AddIndexConcurrently(
            "message",
            models.Index(
                fields=["destination", "source_id", "due_at"],
                condition=models.Q(state="PENDING"),
                name="message_by_source",
            ),
        ),
        AddIndexConcurrently(
            "message",
            models.Index(
                fields=["destination", "subject", "id"],
                condition=models.Q(("state", "DEAD"), _negated=True),
                name="message_by_subject",
            ),
        ),
        AddIndexConcurrently(
            "message",
            models.Index(
                fields=["reply_to", "created_at"],
                condition=models.Q(state="PENDING", reply_to__isnull=False),
                name="message_awaited",
            ),
        ),
        AddIndexConcurrently(
            "message",
            models.Index(fields=["destination", "id"], condition=models.Q(state="DEAD"), name="message_dead"),
        ),
        RemoveIndexConcurrently("message", "message_due"),
        RemoveIndexConcurrently("message", "message_order"),
    ]
