"""The SQL statements of this module compute the totals of closed windows, or settle single transfers.

`ledger.store` defines the order of the locks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg.rows import TupleRow

from fspiop.errors import ErrorCode, FspiopError
from hub.sql_execution import execute
from hub.sweeps.store import not_skipped
from hub.test_currency import TEST_CURRENCY
from ledger.models import Account
from settlement.netting import Total

# One SQL statement adds up all entries of a window. So this SQL statement has a longer time limit than other SQL
# statements.
_TOTALLING_MS = 60_000


def _totals(entries: str) -> str:
    """Returns the SQL that computes total debits and credits for each account.

    The SQL reads each entry once, and adds the entry's amount to the debited account and to the credited account. The
    SQL leaves out entries of test money, so test money is never settled.
    """
    return f"""
        SELECT a.currency, a.type, p.name, a.id, legs.debits, legs.credits
        FROM (SELECT account_id, sum(debits) AS debits, sum(credits) AS credits
              FROM (SELECT debit_account_id, credit_account_id, sum(amount) AS amount FROM ledger_entry
                    WHERE {entries} GROUP BY 1, 2) pairs
              CROSS JOIN LATERAL (VALUES (debit_account_id, amount, 0), (credit_account_id, 0, amount))
                                 AS leg (account_id, debits, credits)
              GROUP BY 1) legs
        JOIN ledger_account a ON a.id = legs.account_id
        JOIN participants_participant p ON p.id = a.participant_id
        WHERE a.currency <> '{TEST_CURRENCY}'
        ORDER BY a.currency, a.type, a.id
    """  # noqa: S608 (of the constants below)


# There are two SQL statements, because PostgreSQL stores one query plan for each statement. The plan for a whole window
# should use the index on the window. The plan for a range of ids should use the primary key.
_WINDOW_TOTALS = _totals("window_id = %s")
_TOTALS_BETWEEN = _totals("window_id = %s AND id > %s AND id <= %s")


def allow_time_for_totals() -> None:
    """In this database transaction, sets the time limits for SQL statements and for waiting for locks. These limits are
    longer than the limits for requests."""
    execute(f"SET LOCAL statement_timeout = {_TOTALLING_MS}")
    execute(f"SET LOCAL lock_timeout = {_TOTALLING_MS}")


def window_totals(window_id: int) -> list[tuple[str, str, Total]]:
    """For each account that is debited or credited by the commits of a closed window, returns the currency, the account
    type and the total."""
    return [(row[0], row[1], _total(row)) for row in execute(_WINDOW_TOTALS, [window_id])]


def totals_between(window_id: int, *, after: int, up_to: int) -> list[tuple[str, Total]]:
    """For each account that is debited or credited by some commits of a window, returns the participant and the total.

    These commits have ids above `after`, and up to `up_to`.
    """
    return [(row[2], _total(row)) for row in execute(_TOTALS_BETWEEN, [window_id, after, up_to])]


def _total(row: TupleRow) -> Total:
    return Total(row[3], row[0], int(row[4]), int(row[5]))


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit that waits for gross settlement, and the accounts of the payer and the payee."""

    entry_id: int
    transfer_id: str
    amount: int
    payer_position: int
    payer_settlement: int
    payee_position: int
    payee_settlement: int


class CanNotSettle(FspiopError):
    """Raised if a commit cannot be settled by gross settlement. The error contains the reason."""

    def __init__(self, why: str) -> None:
        super().__init__(ErrorCode.VALIDATION_ERROR, why)


# Reads the accounts of payer and payee. If an account is missing, the SQL statement returns NULL for the account, and
# the hub then reports an error for this commit.
_ACCOUNTS = """
    SELECT e.id, e.transfer_id, e.amount, d.id, ds.id, c.id, cs.id
    FROM ledger_entry e
    JOIN ledger_account d ON d.id = e.debit_account_id
    LEFT JOIN ledger_account ds ON ds.participant_id = d.participant_id AND ds.currency = d.currency AND ds.type = %s
    JOIN ledger_account c ON c.id = e.credit_account_id
    LEFT JOIN ledger_account cs ON cs.participant_id = c.participant_id AND cs.currency = c.currency AND cs.type = %s
"""
_IS_UNSETTLED = """
    e.currency = %s AND d.type = 'POSITION' AND c.type = 'POSITION'
    AND NOT EXISTS (SELECT FROM ledger_entry g WHERE g.transfer_id = e.transfer_id AND g.kind = 'GROSS_PAYER')
"""
_UNSETTLED = f"""
    SELECT e.id FROM ledger_entry e
    JOIN ledger_account d ON d.id = e.debit_account_id JOIN ledger_account c ON c.id = e.credit_account_id
    WHERE e.window_id = %s AND e.id > %s AND {_IS_UNSETTLED} AND {not_skipped(None, "e.id")}
    ORDER BY e.id LIMIT %s
"""  # noqa: S608 (here and below, statements are put together from constants)
_BY_ID = f"{_ACCOUNTS} WHERE e.id = ANY(%s::bigint[]) AND {_IS_UNSETTLED} ORDER BY e.id"
_OF_WINDOW = f"{_ACCOUNTS} WHERE e.window_id = %s AND {_IS_UNSETTLED} ORDER BY e.id LIMIT %s"


def unsettled(window_id: int, currency: str, *, batch: str, after: int, limit: int) -> list[int]:
    """Returns the unsettled entries of a window's commits in a currency, the oldest first.

    Leaves out the entries that are skipped at present.
    """
    return [row[0] for row in execute(_UNSETTLED, [window_id, after, currency, batch, limit])]


def commits(entry_ids: Sequence[int], currency: str, *, into: str) -> Sequence[Commit]:
    """Returns the unsettled commits of these entries, with the oldest first."""
    return _commits(execute(_BY_ID, [into, into, list(entry_ids), currency]), currency, into)


def unsettled_of_window(window_id: int, currency: str, *, into: str, limit: int) -> Sequence[Commit]:
    """Returns the unsettled commits of a window in a currency, with the oldest first."""
    return _commits(execute(_OF_WINDOW, [into, into, window_id, currency, limit]), currency, into)


def _commits(rows: Iterable[TupleRow], currency: str, into: str) -> Sequence[Commit]:
    found = [Commit(*row) for row in rows]
    lacking = {c.payer_position for c in found if c.payer_settlement is None}
    lacking |= {c.payee_position for c in found if c.payee_settlement is None}
    if lacking:
        names = Account.objects.filter(pk__in=lacking).values_list("participant__name", flat=True)
        raise CanNotSettle(f"{', '.join(sorted(names))} has no {into} account in {currency}")
    return found


# The database gives an entry an id before the database transaction ends, and every database transaction ends within a
# minute. So if an entry is older than a minute, all entries with lower ids are visible or will never exist.
_SURELY_SEEN = """
    SELECT id FROM ledger_entry WHERE created_at < clock_timestamp() - interval '1 minute' ORDER BY id DESC LIMIT 1
"""


def surely_seen() -> int:
    """Returns an entry id. No new entry can get the returned id or a lower id."""
    row = execute(_SURELY_SEEN).fetchone()
    return row[0] if row else 0
