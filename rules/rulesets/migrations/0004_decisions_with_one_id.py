"""Adds the indexes that find one decision among any number of decisions with the same id."""

from django.db import migrations, models
from django.db.models import Q

from hub.concurrent_indexes import AddIndex, RemoveIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("rules_rulesets", "0003_erased_facts")]

    operations = [
        AddIndex("decision", models.Index(fields=["subject", "gate"], name="decision_by_subject_and_gate")),
        AddIndex(
            "decision",
            models.Index(
                fields=["subject", "payer_dfsp", "-id"],
                condition=Q(gate="quote", outcome="REFUSE", facts__isnull=False),
                name="decision_refused_quote",
            ),
        ),
        RemoveIndex("decision", "decision_by_subject"),
    ]
