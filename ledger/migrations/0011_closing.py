"""Allows closing a participant only if all its accounts are closed and no amount is reserved for the participant.

The check is in SQL, because the ledger depends on the participants' app, which does not import the ledger.
"""

from django.db import migrations

GUARD = """
    CREATE FUNCTION a_participant_is_closed_empty() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM ledger_account WHERE participant_id = NEW.id AND closed_at IS NULL) THEN
            RAISE EXCEPTION 'participant % has an account that is not closed', NEW.id USING ERRCODE = 'check_violation';
        ELSIF EXISTS (SELECT FROM ledger_transfer WHERE state = 'RESERVED' AND NEW.id IN (payer_id, payee_id))
           OR EXISTS (SELECT FROM ledger_fxtransfer
                      WHERE state IN ('RESERVED', 'AGREED') AND NEW.id IN (initiator_id, fxp_id)) THEN
            RAISE EXCEPTION 'something is reserved for participant %', NEW.id USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER a_participant_is_closed_empty BEFORE UPDATE ON participants_participant
        FOR EACH ROW WHEN (OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL)
        EXECUTE FUNCTION a_participant_is_closed_empty();
"""
UNDO = """
    DROP TRIGGER a_participant_is_closed_empty ON participants_participant;
    DROP FUNCTION a_participant_is_closed_empty();
"""


class Migration(migrations.Migration):
    dependencies = [("ledger", "0010_leaving"), ("participants", "0007_leaving")]
    operations = [migrations.RunSQL(GUARD, UNDO)]
