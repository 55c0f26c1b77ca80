"""Keeps half of each page of the queue's table free.

When a courier claims a message, PostgreSQL writes a new version of the message's row. If the row's new version fits
into the same page, no index changes, and the write-ahead log contains only the difference instead of the whole message.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("outbox", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE outbox_message SET (fillfactor = 50)", "ALTER TABLE outbox_message RESET (fillfactor)"
        )
    ]
