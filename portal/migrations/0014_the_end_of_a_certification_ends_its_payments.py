"""However a certification ends, the tested DFSP can no longer exchange payments with the certifier before its go-live."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('participants', '0011_a_tested_dfsp_before_its_go_live'),
        ('portal', '0013_stopped_replays'),
    ]

    operations = [
        pgtrigger.migrations.AddTrigger(
            model_name='certification',
            trigger=pgtrigger.compiler.Trigger(name='the_end_of_a_certification_ends_its_payments', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (OLD.state = 'RUNNING' AND NEW.state <> 'RUNNING')", func='\n                    UPDATE participants_participant SET tested_by_id = NULL\n                    WHERE id = NEW.participant_id AND tested_by_id IS NOT NULL;\n                    RETURN NULL;\n                ', hash='4e9a98d7b301235c6e7d247f3ce5e551a938ccaf', operation='UPDATE', pgid='pgtrigger_the_end_of_a_certification_ends_its_payments_07a75', table='portal_certification', when='AFTER')),
        ),
    ]
