"""Half of each page of the queue stays free, so that a claim's new version of a row fits beside the old one: no index
is touched then, and the log holds what differs instead of the whole message again."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("outbox", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE outbox_message SET (fillfactor = 50)", "ALTER TABLE outbox_message RESET (fillfactor)"
        )
    ]
