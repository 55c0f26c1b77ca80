"""Removes the index that Django adds to a text key for LIKE. No query uses the removed index."""

from django.db import migrations

_INDEX = "ledger_heldtransfer_transfer_id_08c297f3_like"


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("ledger", "0019_held_transfers")]

    operations = [
        migrations.RunSQL(
            f"DROP INDEX CONCURRENTLY IF EXISTS {_INDEX}",
            f"CREATE INDEX CONCURRENTLY {_INDEX} ON ledger_heldtransfer (transfer_id varchar_pattern_ops)",
        )
    ]
