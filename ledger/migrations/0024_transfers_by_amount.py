"""Adds the index by which operators find a transfer by its amount."""

from django.db import migrations, models

from hub.concurrent_indexes import AddIndex


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("ledger", "0023_test_money")]

    operations = [AddIndex("transfer", models.Index(fields=["amount", "received_at"], name="transfer_by_amount"))]
