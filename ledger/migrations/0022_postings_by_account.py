"""Adds indexes, so that a DFSP's statement finds its funds in and out and its settlements."""

from django.db import migrations, models
from django.db.models import Q

from hub.concurrent_indexes import AddIndex

_OTHER = ~Q(kind__in=["TRANSFER", "FX_TRANSFER"])


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("ledger", "0021_ended_holds_by_time")]

    operations = [
        AddIndex(
            "entry",
            models.Index(fields=["debit_account", "created_at"], condition=_OTHER, name="entry_other_by_debit"),
        ),
        AddIndex(
            "entry",
            models.Index(fields=["credit_account", "created_at"], condition=_OTHER, name="entry_other_by_credit"),
        ),
    ]
