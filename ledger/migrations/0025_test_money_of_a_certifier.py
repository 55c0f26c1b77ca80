"""Test money is never converted on a hub with a certifier."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0024_transfers_by_amount'),
        ('participants', '0012_test_money_of_a_certifier'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='fxtransfer',
            name='test_money_is_never_converted',
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='fxtransfer',
            trigger=pgtrigger.compiler.Trigger(name='test_money_is_never_converted', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN ('XTS' IN (NEW.source_currency, NEW.target_currency))", func="\n    IF EXISTS (SELECT 1 FROM participants_participant WHERE is_certifier) THEN\n        RAISE EXCEPTION 'XTS is test money of the certifier, and is never converted'\n        USING ERRCODE = 'check_violation';\n    END IF;\n    RETURN NEW;\n", hash='30c3918af9683b240e7ea28551c1173635224249', operation='INSERT', pgid='pgtrigger_test_money_is_never_converted_26e6f', table='ledger_fxtransfer', when='BEFORE')),
        ),
    ]
