"""Adds indexes, so that the periodic tasks find unanswered requests requester by requester."""

from django.db import migrations, models
from django.db.models import Q

from hub.concurrent_indexes import AddIndex, RemoveIndex


def _of_each_payer(kind: str, what: str) -> list:
    fields = ["payer", "expires_at", "created_at"]
    index = models.Index(fields=fields, condition=Q(state="PENDING"), name=f"{what}_pending_by_payer")
    return [AddIndex(kind, index), RemoveIndex(kind, f"{what}_unanswered")]


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("quotes", "0008_ids_are_sought_whole")]

    operations = [
        *_of_each_payer("quote", "quote"),
        *_of_each_payer("bulkquote", "bulk_quote"),
        *_of_each_payer("fxquote", "fx_quote"),
        AddIndex(
            "transactionrequest",
            models.Index(fields=["payee", "expires_at"], condition=Q(state="SENT"), name="request_sent_by_payee"),
        ),
        RemoveIndex("transactionrequest", "request_unanswered_by_expiry"),
    ]
