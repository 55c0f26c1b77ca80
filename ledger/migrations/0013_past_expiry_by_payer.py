"""Adds indexes, so that the periodic tasks find expired rows payer by payer."""

from django.db import migrations, models
from django.db.models import Q

from hub.concurrent_indexes import AddIndex, RemoveIndex


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("ledger", "0012_ids_are_sought_whole")]

    operations = [
        AddIndex(
            "transfer",
            models.Index(
                fields=["payer", "expires_at"], condition=Q(state="RESERVED"), name="transfer_reserved_by_payer"
            ),
        ),
        RemoveIndex("transfer", "transfer_reserved_by_expiry"),
        AddIndex(
            "bulktransfer",
            models.Index(fields=["payer", "expires_at"], condition=Q(state="ACCEPTED"), name="bulk_accepted_by_payer"),
        ),
        RemoveIndex("bulktransfer", "bulk_accepted_by_expiry"),
        AddIndex(
            "fxtransfer",
            models.Index(
                fields=["initiator", "held_until"],
                condition=Q(state__in=["AGREED", "RESERVED"]),
                name="fx_transfer_live_by_initiator",
            ),
        ),
        RemoveIndex("fxtransfer", "fx_transfer_live_by_end"),
    ]
