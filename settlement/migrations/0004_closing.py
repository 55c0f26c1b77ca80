"""Allows closing an account only if all windows with commits of the account are settled.

An account's balance can be zero although windows are unsettled, because two unsettled windows can add up to zero. The
later settlement of each of these windows posts to the account. The check is in SQL, because the ledger does not import
this app.
"""

from django.db import migrations

GUARD = """
    CREATE FUNCTION an_account_is_closed_settled() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM settlement_contenttotal t JOIN settlement_windowcontent c ON c.id = t.content_id
                   WHERE t.account_id = NEW.id AND c.state <> 'SETTLED')
           OR EXISTS (SELECT FROM ledger_settlementwindow w JOIN ledger_entry e ON e.window_id = w.id
                      WHERE w.totalled_at IS NULL AND NEW.id IN (e.debit_account_id, e.credit_account_id)) THEN
            RAISE EXCEPTION 'a window of account % is not settled', NEW.id USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER an_account_is_closed_settled BEFORE UPDATE ON ledger_account
        FOR EACH ROW WHEN (OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL)
        EXECUTE FUNCTION an_account_is_closed_settled();
"""
UNDO = """
    DROP TRIGGER an_account_is_closed_settled ON ledger_account;
    DROP FUNCTION an_account_is_closed_settled();
"""


class Migration(migrations.Migration):
    dependencies = [("settlement", "0003_statements"), ("ledger", "0010_leaving")]
    operations = [migrations.RunSQL(GUARD, UNDO)]
