"""Removes the index that Django adds to a text column for searches with LIKE.

PostgreSQL would write this index with each transfer, but no query reads it.
"""

from django.db import migrations

_INDEX = "rules_profiles_countedtransfer_transfer_id_60492920_like"


class Migration(migrations.Migration):
    dependencies = [("rules_profiles", "0001_profiles")]

    operations = [
        migrations.RunSQL(
            f"DROP INDEX IF EXISTS {_INDEX}",
            f"CREATE INDEX {_INDEX} ON rules_profiles_countedtransfer (transfer_id varchar_pattern_ops)",
        )
    ]
