"""Removes the indexes that Django adds to text columns for LIKE.

PostgreSQL writes these indexes with each quote, but no query uses them.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("quotes", "0007_quotes_by_alias")]

    operations = [
        migrations.RunSQL(
            "DROP INDEX IF EXISTS quotes_quote_quote_id_b6bca705_like",
            "CREATE INDEX quotes_quote_quote_id_b6bca705_like ON quotes_quote (quote_id varchar_pattern_ops)",
        ),
    ]
