"""New participants of the portal are not live at first. A participant that stays gets back what it could do before.

Existing participants stay live.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("participants", "0008_nobody_converts_test_money")]

    operations = [
        migrations.AddField("participant", "could_send", models.BooleanField(blank=True, null=True)),
        migrations.AddField("participant", "could_receive", models.BooleanField(blank=True, null=True)),
        migrations.AddField("participant", "onboarding_since", models.DateTimeField(blank=True, null=True)),
        migrations.AddConstraint(
            "participant",
            models.CheckConstraint(
                condition=models.Q(onboarding_since__isnull=True) | models.Q(may_send=False, may_receive=False),
                name="who_is_not_live_begins_no_payment",
            ),
        ),
    ]
