"""Lets the database compare each stored message with its row. Also adds triggers that protect movements of funds in the
same way as transfers.
"""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations

# If the text is not JSON, the function returns NULL and raises no error, because one bad row must not stop the check of
# other rows.
READ = """
    CREATE FUNCTION ledger_message(body bytea) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
    BEGIN
        RETURN convert_from(body, 'UTF8')::jsonb;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        RETURN NULL;
    END $$
"""


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0013_past_expiry_by_payer'),
    ]

    operations = [
        migrations.RunSQL(READ, "DROP FUNCTION ledger_message(bytea)"),
        pgtrigger.migrations.AddTrigger(
            model_name='fundsmovement',
            trigger=pgtrigger.compiler.Trigger(name='a_movement_of_funds_moves_only_along_its_states', sql=pgtrigger.compiler.UpsertTriggerSql(func="\n                    IF TG_OP = 'INSERT' THEN\n                        IF NEW.kind = 'FUNDS_OUT' AND NEW.state <> 'RESERVED' THEN\n                            RAISE EXCEPTION 'withdrawal % can not begin as %', NEW.transfer_id, NEW.state\n                                USING ERRCODE = 'check_violation';\n                        END IF;\n                    ELSIF OLD.state <> 'RESERVED' OR NEW.state NOT IN ('COMMITTED', 'ABORTED') THEN\n                        RAISE EXCEPTION 'movement % can not go from % to %', OLD.transfer_id, OLD.state, NEW.state\n                            USING ERRCODE = 'check_violation';\n                    ELSIF (NEW.transfer_id, NEW.account_id, NEW.kind, NEW.amount, NEW.reason, NEW.created_at)\n                        IS DISTINCT FROM\n                          (OLD.transfer_id, OLD.account_id, OLD.kind, OLD.amount, OLD.reason, OLD.created_at) THEN\n                        RAISE EXCEPTION 'the terms of movement % do not change', OLD.transfer_id\n                            USING ERRCODE = 'check_violation';\n                    END IF;\n                    RETURN NEW;\n                ", hash='bf3454c06b04ada5dbb727bd59145b88371467db', operation='INSERT OR UPDATE', pgid='pgtrigger_a_movement_of_funds_moves_only_along_its_states_635a0', table='ledger_fundsmovement', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='fundsmovement',
            trigger=pgtrigger.compiler.Trigger(name='a_movement_of_funds_is_never_deleted', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot delete rows from % table', TG_TABLE_NAME;", hash='5999091612705a9d3bc7d8294020cdf169018fb7', operation='DELETE', pgid='pgtrigger_a_movement_of_funds_is_never_deleted_5032c', table='ledger_fundsmovement', when='BEFORE')),
        ),
    ]
