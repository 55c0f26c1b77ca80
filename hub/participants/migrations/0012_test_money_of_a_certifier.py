"""The test currency can be converted on a hub that never certified a DFSP. The row of the certifier shows that it is one.
"""

import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models


def mark_the_certifier(apps, schema_editor):  # type: ignore[no-untyped-def]
    """Marks the participant that the certification created. A DFSP can have had its name earlier."""
    schema_editor.execute(
        "UPDATE participants_participant p SET is_certifier = true WHERE p.name = %s AND EXISTS (SELECT 1 FROM"
        " audit_entry e WHERE e.subject = p.name AND e.action = 'participant_created' AND e.actor = 'certification')",
        [settings.CERTIFIER_NAME],
    )


class Migration(migrations.Migration):

    dependencies = [
        ('participants', '0011_a_tested_dfsp_before_its_go_live'),
        ('audit', '0001_initial'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='currencypair',
            name='nobody_converts_test_money',
        ),
        migrations.AddField(
            model_name='participant',
            name='is_certifier',
            field=models.BooleanField(db_default=False, default=False),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='currencypair',
            trigger=pgtrigger.compiler.Trigger(name='nobody_converts_test_money', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN ('XTS' IN (NEW.source_currency, NEW.target_currency))", func="\n    IF EXISTS (SELECT 1 FROM participants_participant WHERE is_certifier) THEN\n        RAISE EXCEPTION 'XTS is test money of the certifier, and is never converted'\n        USING ERRCODE = 'check_violation';\n    END IF;\n    RETURN NEW;\n", hash='15df0b6cf45b8f7684be4fe24270fac4123b0897', operation='INSERT OR UPDATE', pgid='pgtrigger_nobody_converts_test_money_dfa8e', table='participants_currencypair', when='BEFORE')),
        ),
        migrations.RunPython(mark_the_certifier, migrations.RunPython.noop),
    ]
