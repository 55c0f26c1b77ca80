"""New participants of the portal are not live at first. A participant that stays gets back what it could do before.

Existing participants stay live. For participants that are leaving, the audit trail has what they could do before.
"""

from django.db import migrations, models

_BEFORE = """
    UPDATE participants_participant p
    SET could_send = (begun.before ->> 'maySend')::boolean, could_receive = (begun.before ->> 'mayReceive')::boolean
    FROM (SELECT DISTINCT ON (subject) subject, before FROM audit_entry
          WHERE action = 'leaving_begun' ORDER BY subject, id DESC) begun
    WHERE begun.subject = p.name AND p.leaving_since IS NOT NULL AND p.closed_at IS NULL
"""


class Migration(migrations.Migration):
    dependencies = [("participants", "0008_nobody_converts_test_money"), ("audit", "0001_initial")]

    operations = [
        migrations.AddField("participant", "could_send", models.BooleanField(blank=True, null=True)),
        migrations.AddField("participant", "could_receive", models.BooleanField(blank=True, null=True)),
        migrations.AddField("participant", "onboarding_since", models.DateTimeField(blank=True, null=True)),
        migrations.RunSQL(_BEFORE, migrations.RunSQL.noop),
        migrations.AddConstraint(
            "participant",
            models.CheckConstraint(
                condition=models.Q(onboarding_since__isnull=True) | models.Q(may_send=False, may_receive=False),
                name="who_is_not_live_begins_no_payment",
            ),
        ),
    ]
