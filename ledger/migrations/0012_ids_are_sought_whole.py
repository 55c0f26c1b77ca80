"""Removes the indexes that Django adds to text columns for LIKE.

PostgreSQL writes these indexes twice for each transfer, and no query reads the indexes.
"""

from django.db import migrations


def _without(table: str, column: str, index: str) -> migrations.RunSQL:
    return migrations.RunSQL(
        f"DROP INDEX IF EXISTS {index}", f"CREATE INDEX {index} ON {table} ({column} varchar_pattern_ops)"
    )


class Migration(migrations.Migration):
    dependencies = [("ledger", "0011_closing")]

    operations = [
        _without("ledger_transfer", "transfer_id", "ledger_transfer_transfer_id_260b661b_like"),
        _without("ledger_bulktransfer", "bulk_transfer_id", "ledger_bulktransfer_bulk_transfer_id_527cbf44_like"),
        _without("ledger_fxtransfer", "commit_request_id", "ledger_fxtransfer_commit_request_id_14b7f908_like"),
    ]
