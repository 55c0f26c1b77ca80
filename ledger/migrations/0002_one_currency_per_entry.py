"""Adds a foreign key, so that both accounts of an entry have the entry's currency (invariant: books balance)."""

from django.db import migrations

_ADD = """
    ALTER TABLE ledger_entry
        ADD CONSTRAINT an_entry_debits_an_account_of_its_currency
            FOREIGN KEY (debit_account_id, currency) REFERENCES ledger_account (id, currency),
        ADD CONSTRAINT an_entry_credits_an_account_of_its_currency
            FOREIGN KEY (credit_account_id, currency) REFERENCES ledger_account (id, currency);
"""
_DROP = """
    ALTER TABLE ledger_entry
        DROP CONSTRAINT an_entry_debits_an_account_of_its_currency,
        DROP CONSTRAINT an_entry_credits_an_account_of_its_currency;
"""


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]
    operations = [migrations.RunSQL(_ADD, _DROP)]
