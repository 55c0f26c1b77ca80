"""Adds the table of forwarded GETs that wait for their answers."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Now


def _participant():
    return models.ForeignKey(
        "participants.participant", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+"
    )


class Migration(migrations.Migration):
    dependencies = [("quotes", "0009_unanswered_by_asker"), ("participants", "0007_leaving")]

    operations = [
        migrations.CreateModel(
            name="Question",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("resource", models.CharField(max_length=24)),
                ("subject", models.CharField(max_length=36)),
                ("asker", _participant()),
                ("asked", _participant()),
                ("version", models.CharField(max_length=8)),
                ("asked_at", models.DateTimeField(db_default=Now())),
                ("answer_by", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("answers", models.PositiveSmallIntegerField(db_default=0)),
            ],
            options={
                "ordering": ["id"],
                "indexes": [
                    models.Index(
                        fields=["asker", "answer_by"], condition=Q(ended_at__isnull=True), name="question_waiting"
                    ),
                    models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="question_ended"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=["subject", "resource", "asked", "asker"], name="one_question_waits_for_an_answer"
                    )
                ],
            },
        ),
    ]
