"""Adds the table of the times of removed lookups, for the history of payments."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("directory", "0006_trial_lookups"),
        ("participants", "0007_leaving"),
    ]

    operations = [
        migrations.CreateModel(
            name="EndedLookup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("asked_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField()),
                ("is_answered", models.BooleanField()),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="participants.participant",
                    ),
                ),
                (
                    "requester",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="participants.participant",
                    ),
                ),
            ],
            options={"ordering": ["id"]},
        ),
    ]
