"""Keeps a lookup for a while after its end, and adds an index for finding overdue lookups by requester."""

from django.db import migrations, models
from django.db.models import Q

from hub.concurrent_indexes import AddIndex, RemoveIndex


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("directory", "0003_party_lookups")]

    operations = [
        migrations.RunSQL(
            """ALTER TABLE directory_partylookup
                   ADD COLUMN IF NOT EXISTS ended_at timestamptz,
                   ADD COLUMN IF NOT EXISTS answers smallint NOT NULL DEFAULT 0 CHECK (answers >= 0)""",
            "ALTER TABLE directory_partylookup DROP COLUMN ended_at, DROP COLUMN answers",
            state_operations=[
                migrations.AddField("partylookup", "ended_at", models.DateTimeField(null=True)),
                migrations.AddField("partylookup", "answers", models.PositiveSmallIntegerField(db_default=0)),
            ],
        ),
        AddIndex(
            "partylookup",
            models.Index(
                fields=["requester", "answer_by"],
                condition=Q(ended_at__isnull=True),
                name="lookup_waiting_by_requester",
            ),
        ),
        AddIndex(
            "partylookup",
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="lookup_ended"),
        ),
        RemoveIndex("partylookup", "lookup_by_deadline"),
    ]
