# ruff: noqa: S608 (only a constant is formatted into the SQL)
"""Invariants of the data that the portal derives from the ledger."""

from hub.invariant_type import Invariant
from portal.queries.balance_checkpoints import SIZE

INVARIANTS = [
    Invariant(
        "a_mark_is_the_sum_of_its_entries",
        "The sums in each checkpoint of an account equal the sums of the account's entries up to the end of the block.",
        f"""WITH legs AS (
             SELECT id / {SIZE} AS block, debit_account_id AS account_id, amount AS debits, 0 AS credits
             FROM ledger_entry
             UNION ALL
             SELECT id / {SIZE}, credit_account_id, 0, amount FROM ledger_entry),
           is_so AS (
             SELECT account_id, block, sum(sum(debits)) OVER upto AS debits, sum(sum(credits)) OVER upto AS credits,
                    sum(count(*)) OVER upto AS entries
             FROM legs WHERE block <= (SELECT max(number) FROM portal_ledgerblock) GROUP BY 1, 2
             WINDOW upto AS (PARTITION BY account_id ORDER BY block))
           SELECT account_id, block, m.debits, is_so.debits AS entry_debits, m.credits,
                  is_so.credits AS entry_credits
           FROM is_so FULL JOIN portal_accountmark m USING (account_id, block)
           WHERE (m.debits, m.credits, m.entries) IS DISTINCT FROM (is_so.debits, is_so.credits, is_so.entries)""",
    ),
]
