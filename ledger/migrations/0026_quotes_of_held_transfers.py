"""Stores for each hold the id of the transfer's quote, because a rule at the quote can hold the transfer."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0025_test_money_of_a_certifier'),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name='heldtransfer',
            name='a_hold_ends_once_and_keeps_its_terms',
        ),
        migrations.AddField(
            model_name='heldtransfer',
            name='quote_id',
            field=models.CharField(max_length=36, null=True),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='heldtransfer',
            trigger=pgtrigger.compiler.Trigger(name='a_hold_ends_once_and_keeps_its_terms', sql=pgtrigger.compiler.UpsertTriggerSql(func="\n                    IF OLD.state <> 'HELD' THEN\n                        RAISE EXCEPTION 'the hold of transfer % has ended', OLD.transfer_id\n                            USING ERRCODE = 'check_violation';\n                    ELSIF OLD.refusal_code IS NOT NULL\n                        AND (NEW.refusal_code, NEW.actor) IS DISTINCT FROM (OLD.refusal_code, OLD.actor) THEN\n                        RAISE EXCEPTION 'transfer % was refused', OLD.transfer_id USING ERRCODE = 'check_violation';\n                    ELSIF (NEW.transfer_id, NEW.until, NEW.rules_version, NEW.quote_id, NEW.held_at)\n                        IS DISTINCT FROM\n                            (OLD.transfer_id, OLD.until, OLD.rules_version, OLD.quote_id, OLD.held_at) THEN\n                        RAISE EXCEPTION 'the terms of a hold do not change' USING ERRCODE = 'check_violation';\n                    END IF;\n                    RETURN NEW;\n                ", hash='75d68f7b2bd0f0dbfb4b90bfa2b7f05865cc1e8e', operation='UPDATE', pgid='pgtrigger_a_hold_ends_once_and_keeps_its_terms_60914', table='ledger_heldtransfer', when='BEFORE')),
        ),
    ]
