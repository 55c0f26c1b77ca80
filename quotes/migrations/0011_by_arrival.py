"""Adds indexes on the arrival time, for the erasure of old messages."""

from django.db import migrations, models

from hub.concurrent_indexes import AddIndex


def _by_arrival(model, what):
    return AddIndex(model, models.Index(fields=["created_at"], name=f"{what}_by_arrival"))


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("quotes", "0010_questions")]

    operations = [
        _by_arrival("quote", "quote"),
        _by_arrival("bulkquote", "bulk_quote"),
        _by_arrival("transactionrequest", "request_to_pay"),
    ]
