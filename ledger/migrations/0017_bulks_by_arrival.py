"""Adds an index on the arrival time of bulks, for the erasure of old messages."""

from django.db import migrations, models

from hub.concurrent_indexes import AddIndex


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("ledger", "0016_texts_kept_for_a_time")]

    operations = [AddIndex("bulktransfer", models.Index(fields=["received_at"], name="bulk_by_arrival"))]
