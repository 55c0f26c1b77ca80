"""Adds the indexes that find the latest payments of a profile. The first of these indexes also replaces the index of pairs
of payer and payee."""

from django.db import migrations, models
from django.db.models import Q

from hub.concurrent_indexes import AddIndex, RemoveIndex


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("rules_profiles", "0002_counted_transfers_are_sought_whole")]

    operations = [
        AddIndex(
            "countedtransfer",
            models.Index(
                fields=["payer_key", "payee_key", "reserved_at"],
                condition=Q(payer_key__isnull=False),
                name="counted_by_payer",
            ),
        ),
        RemoveIndex("countedtransfer", "counted_by_payer_and_payee"),
        AddIndex(
            "countedtransfer",
            models.Index(
                fields=["payee_key", "reserved_at"],
                condition=Q(payee_key__isnull=False, reserved_at__isnull=False),
                name="counted_by_payee",
            ),
        ),
        AddIndex(
            "countedtransfer",
            models.Index(
                fields=["payer_dfsp_key", "reserved_at"],
                condition=Q(payer_dfsp_key__isnull=False),
                name="counted_by_payer_dfsp",
            ),
        ),
        AddIndex(
            "countedtransfer",
            models.Index(
                fields=["payee_dfsp_key", "reserved_at"],
                condition=Q(payee_dfsp_key__isnull=False),
                name="counted_by_payee_dfsp",
            ),
        ),
    ]
