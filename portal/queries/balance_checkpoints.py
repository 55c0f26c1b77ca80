# ruff: noqa: S608 (statements are put together from constants)
"""Computes sums of an account's entries up to one entry.

Reads at most one block of entries, even if the history is long.

The ledger's entries are divided by their ids into blocks. When no new entry can appear in a block any more,
`portal.tasks.mark_entries` stores checkpoints for this block. A checkpoint contains the sums of one account up to the
end of a block. Only accounts with entries in the block get a checkpoint. So a sum up to an entry is a checkpoint plus
the entries of one block. A page of an account's entries reads only blocks with entries of this account. The posting of
an entry needs no additional write and no additional index for the checkpoints. The entries of about the last minute are
not in a checkpoint yet, so the hub reads these entries directly.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import connection, transaction

from hub.sweeps import isolating_batches
from settlement import window_totals_and_commits

SIZE = 2000
_AT_ONCE = 50  # the number of blocks that one SQL statement processes
_MOST_S = 60.0  # the maximum duration of one run of the periodic task
LAST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of an account's entries with ids below `before`. To include all entries, pass the last id plus 1 as
    `before`."""

    debits: int
    credits: int
    entries: int
    before: int


@dataclass(frozen=True, slots=True)
class Posted:
    """One entry of an account, from the side of this account's owner. `other_id` is the id of the contra account."""

    id: int
    kind: str
    transfer_id: str
    at: datetime
    other_id: int
    debit: int
    credit: int


# "+ 0" prevents PostgreSQL from using the index by account. For the ids of one block, the primary key is fastest.
# Without "+ 0", a generic plan could choose the index by account.
_LEGS = "(e.debit_account_id + 0 = %(account)s OR e.credit_account_id + 0 = %(account)s)"
_MARKED = f"(SELECT coalesce(max(number) + 1, 0) * {SIZE} FROM portal_ledgerblock)"  # the first id without a checkpoint

_SUMS = f"""
    SELECT coalesce(m.debits, 0) + r.debits, coalesce(m.credits, 0) + r.credits, coalesce(m.entries, 0) + r.entries,
           coalesce(r.last_id + 1, {_MARKED})
    FROM (SELECT coalesce(sum(amount) FILTER (WHERE debit_account_id = %(account)s), 0) AS debits,
                 coalesce(sum(amount) FILTER (WHERE credit_account_id = %(account)s), 0) AS credits,
                 count(*) AS entries, max(id) AS last_id
          FROM ledger_entry e
          WHERE id >= least(%(before)s::bigint / {SIZE} * {SIZE}, {_MARKED}) AND id < %(before)s AND {_LEGS}) r
    LEFT JOIN (SELECT debits, credits, entries FROM portal_accountmark
               WHERE account_id = %(account)s AND block < %(before)s::bigint / {SIZE}
               ORDER BY block DESC LIMIT 1) m ON true
"""
# The entries of one account are in the same order, whether they are sorted by id or by time. Across accounts, the two
# orders can differ for entries that were posted almost at the same time.
_FIRST = f"""
    SELECT min(id) FROM (
        (SELECT found.id
         FROM portal_accountmark m
         CROSS JOIN LATERAL (SELECT e.id FROM ledger_entry e
                             WHERE e.id >= m.block * {SIZE} AND e.id < (m.block + 1) * {SIZE} AND {_LEGS}
                               AND e.created_at >= %(since)s
                             ORDER BY e.id LIMIT 1) found
         WHERE m.account_id = %(account)s
           AND m.block >= (SELECT number FROM portal_ledgerblock WHERE through_at >= %(since)s
                           ORDER BY through_at, number LIMIT 1)
         ORDER BY m.block LIMIT 1)
        UNION ALL
        (SELECT e.id FROM ledger_entry e WHERE e.id >= {_MARKED} AND {_LEGS} AND e.created_at >= %(since)s
         ORDER BY e.id LIMIT 1)) found
"""


def _page(*, order: str, blocks: str) -> str:
    """Returns the SQL that reads a page of an account's entries between two ids.

    Each block with a checkpoint of the account has at least one entry of the account. So the SQL reads at most one
    block for each row of the page, and one additional block. The additional block is needed because all entries of the
    first block can be outside the page.
    """
    row = f"""
        SELECT e.id, e.kind, e.transfer_id, e.created_at, e.debit_account_id, e.credit_account_id, e.amount
        FROM ledger_entry e WHERE {_LEGS} AND e.id >= %(first)s AND e.id < %(before)s"""
    return f"""
        (SELECT found.*
         FROM (SELECT block FROM portal_accountmark WHERE account_id = %(account)s AND {blocks}
               ORDER BY block {order} LIMIT %(size)s + 1) m
         CROSS JOIN LATERAL ({row} AND e.id >= m.block * {SIZE} AND e.id < (m.block + 1) * {SIZE}
                             ORDER BY e.id {order} LIMIT %(size)s) found
         ORDER BY m.block {order}, found.id {order} LIMIT %(size)s)
        UNION ALL
        ({row} AND e.id >= {_MARKED} ORDER BY e.id {order} LIMIT %(size)s)
        ORDER BY 1 {order} LIMIT %(size)s
    """


_LATEST = _page(order="DESC", blocks=f"block <= (%(before)s::bigint - 1) / {SIZE}")
_EARLIEST = _page(order="ASC", blocks=f"block >= %(first)s::bigint / {SIZE}")


def sums_before(account_id: int, before: int = LAST) -> Sums:
    """Returns the sums of this account's entries with ids below `before`."""
    row = _one(_SUMS, account=account_id, before=before)
    return Sums(int(row[0]), int(row[1]), row[2], row[3] if before == LAST else before)


def first_since(account_id: int, since: datetime) -> int | None:
    """Returns the id of the account's first entry at or after this time, or None."""
    found: int | None = _one(_FIRST, account=account_id, since=since)[0]
    return found


def latest(account_id: int, *, first: int, before: int, size: int) -> list[Posted]:
    """Returns the latest `size` entries of the account with `first` <= id < `before`, in descending order."""
    return _posted(_LATEST, account_id, first, before, size)


def earliest(account_id: int, *, first: int, before: int, size: int) -> list[Posted]:
    """Returns the earliest `size` entries of the account with `first` <= id < `before`, in the order of posting."""
    return _posted(_EARLIEST, account_id, first, before, size)


def _posted(statement: str, account_id: int, first: int, before: int, size: int) -> list[Posted]:
    rows = _rows(statement, account=account_id, first=first, before=before, size=size)
    return [
        Posted(entry_id, kind, transfer_id, at, credit_id, amount, 0)
        if debit_id == account_id
        else Posted(entry_id, kind, transfer_id, at, debit_id, 0, amount)
        for entry_id, kind, transfer_id, at, debit_id, credit_id, amount in rows
    ]


def _rows(statement: str, **parameters: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def _one(statement: str, **parameters: Any) -> Any:
    return _rows(statement, **parameters)[0]


_MARK = f"""
    INSERT INTO portal_accountmark (account_id, block, debits, credits, entries)
    SELECT legs.account_id, legs.block,
           coalesce(m.debits, 0) + sum(legs.debits) OVER upto, coalesce(m.credits, 0) + sum(legs.credits) OVER upto,
           coalesce(m.entries, 0) + sum(legs.entries) OVER upto
    FROM (SELECT account_id, block, sum(debits) AS debits, sum(credits) AS credits, count(*) AS entries
          FROM (SELECT id / {SIZE} AS block, debit_account_id AS account_id, amount AS debits, 0 AS credits
                FROM ledger_entry WHERE id >= %(first)s * {SIZE} AND id < %(end)s * {SIZE}
                UNION ALL
                SELECT id / {SIZE}, credit_account_id, 0, amount
                FROM ledger_entry WHERE id >= %(first)s * {SIZE} AND id < %(end)s * {SIZE}) leg
          GROUP BY 1, 2) legs
    LEFT JOIN LATERAL (SELECT debits, credits, entries FROM portal_accountmark m
                       WHERE m.account_id = legs.account_id AND m.block < %(first)s
                       ORDER BY block DESC LIMIT 1) m ON true
    WINDOW upto AS (PARTITION BY legs.account_id ORDER BY legs.block)
    ON CONFLICT DO NOTHING
"""
_CLOSE = f"""
    INSERT INTO portal_ledgerblock (number, through_at)
    SELECT number, greatest(max(latest) OVER (ORDER BY number),
                            (SELECT through_at FROM portal_ledgerblock WHERE number = %(first)s - 1),
                            to_timestamp(0))
    FROM (SELECT n.number, max(e.created_at) AS latest
          FROM generate_series(%(first)s::bigint, %(end)s::bigint - 1) AS n (number)
          LEFT JOIN ledger_entry e ON e.id >= n.number * {SIZE} AND e.id < (n.number + 1) * {SIZE}
          GROUP BY 1) blocks
    ON CONFLICT DO NOTHING
"""


def mark(*, most: int = 500) -> int:
    """Stores the sums of at most `most` blocks in which no new entry can appear. Returns the number of blocks.

    The sums of a block include the sums of all earlier blocks. If a block fails, the function stops. Until a later
    run is successful, the hub reads the entries of the failing block and of all later blocks directly. If two calls run
    at the same time, they compute equal sums, so the second call writes nothing.
    """
    end = min((window_totals_and_commits.surely_seen() + 1) // SIZE, _first_unmarked() + most)
    find = partial(_unmarked, end)
    return isolating_batches.in_order("account-marks", find=find, work=_mark, most=_AT_ONCE, for_s=_MOST_S)


def _first_unmarked() -> int:
    first: int = _one(f"SELECT {_MARKED}")[0]
    return first // SIZE


def _unmarked(end: int, most: int) -> list[str]:
    first = _first_unmarked()
    return [str(number) for number in range(first, min(end, first + most))]


def _mark(blocks: list[str]) -> int:
    span = {"first": int(blocks[0]), "end": int(blocks[-1]) + 1}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_MARK, span)
        cursor.execute(_CLOSE, span)
    return len(blocks)
