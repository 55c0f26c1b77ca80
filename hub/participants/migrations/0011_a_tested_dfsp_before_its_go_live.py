"""While a DFSP is certified before its go-live, its row names the certifier. Only a participant that is not live has this
value, so the column stays empty in all existing rows.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("participants", "0010_leaving_participants_before")]

    operations = [
        migrations.AddField(
            "participant",
            "tested_by",
            models.ForeignKey(
                "participants.participant",
                on_delete=django.db.models.deletion.PROTECT,
                null=True,
                blank=True,
                related_name="+",
                db_index=False,
            ),
        ),
        migrations.AddConstraint(
            "participant",
            models.CheckConstraint(
                condition=models.Q(tested_by__isnull=True)
                | models.Q(onboarding_since__isnull=False, leaving_since__isnull=True),
                name="only_a_participant_before_its_go_live_has_a_tester",
            ),
        ),
    ]
