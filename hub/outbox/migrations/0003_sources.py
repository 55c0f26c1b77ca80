"""Adds to each message the participant whose request caused it, and adds this column to the indexes of the queue.

The migration builds the new indexes while the hub works. After the new indexes are built, the migration removes the old
indexes.
"""

from django.db import migrations, models

from hub.concurrent_indexes import AddIndex, RemoveIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("outbox", "0002_room_for_leases")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE outbox_message ADD COLUMN IF NOT EXISTS source_id bigint NOT NULL DEFAULT 0",
            "ALTER TABLE outbox_message DROP COLUMN source_id",
            state_operations=[migrations.AddField("message", "source_id", models.BigIntegerField(db_default=0))],
        ),
        AddIndex(
            "message",
            models.Index(
                fields=["destination", "source_id", "due_at"],
                condition=models.Q(state="PENDING"),
                name="message_by_source",
            ),
        ),
        AddIndex(
            "message",
            models.Index(
                fields=["destination", "subject", "id"],
                condition=models.Q(("state", "DEAD"), _negated=True),
                name="message_by_subject",
            ),
        ),
        AddIndex(
            "message",
            models.Index(
                fields=["reply_to", "created_at"],
                condition=models.Q(state="PENDING", reply_to__isnull=False),
                name="message_awaited",
            ),
        ),
        AddIndex(
            "message",
            models.Index(fields=["destination", "id"], condition=models.Q(state="DEAD"), name="message_dead"),
        ),
        RemoveIndex("message", "message_due"),
        RemoveIndex("message", "message_order"),
    ]
