"""Posts the entries of settlements. A DFSP's message never causes an entry of a settlement.

Each function runs the same number of SQL statements for any number of entries.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hub.sql_execution import execute
from ledger import position_limit
from ledger.snapshot import Posting as Posting


@dataclass(frozen=True, slots=True)
class Balance:
    """The position of a locked account, and the two bounds of this position: the net debit cap and the cover."""

    position: int
    cap: int | None
    cover: int | None


_LOCK = "SELECT id FROM ledger_account WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE"

_BALANCES = f"""
    SELECT a.id, {position_limit.POSITION}, a.net_debit_cap, {position_limit.COVER}
    FROM ledger_account a LEFT JOIN ledger_account s ON a.type = 'POSITION' AND {position_limit.S_COVERS_A}
    WHERE a.id = ANY(%s::bigint[])
"""  # noqa: S608 (the rule's own words)


def lock(account_ids: Iterable[int]) -> dict[int, Balance]:
    """Locks these accounts in the order of their ids, then reads them.

    A SETTLEMENT account changes only while the participant's POSITION account is locked.
    """
    wanted = sorted(set(account_ids))
    execute(_LOCK, [wanted])
    return {
        row[0]: Balance(int(row[1]), row[2], None if row[3] is None else int(row[3]))
        for row in execute(_BALANCES, [wanted])
    }


_MOVE = """
    UPDATE ledger_account a
    SET posted_debits = a.posted_debits + c.debits, posted_credits = a.posted_credits + c.credits,
        changed_at = clock_timestamp()
    FROM (SELECT id, sum(debits) AS debits, sum(credits) AS credits
          FROM (SELECT debit AS id, amount AS debits, 0 AS credits
                FROM unnest(%s::bigint[], %s::bigint[]) AS d (debit, amount)
                UNION ALL
                SELECT credit, 0, amount FROM unnest(%s::bigint[], %s::bigint[]) AS c (credit, amount)) legs
          GROUP BY id) c
    WHERE a.id = c.id
"""

_INSERT = """
    INSERT INTO ledger_entry (kind, transfer_id, debit_account_id, credit_account_id, currency, amount, created_at)
    SELECT p.*, clock_timestamp()
    FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[]) AS p
"""


def post(postings: Sequence[Posting]) -> None:
    """In the caller's database transaction, posts these entries between accounts that `lock` has locked."""
    if not postings:
        return
    ordered = sorted(postings, key=lambda posting: (posting.transfer_id, posting.kind))
    amounts = [posting.amount for posting in ordered]
    debits = [posting.debit_account_id for posting in ordered]
    credits = [posting.credit_account_id for posting in ordered]
    moved = execute(_MOVE, [debits, amounts, credits, amounts]).rowcount
    assert moved == len({*debits, *credits}), "an entry names an account that does not exist"
    columns: list[list[Any]] = [
        [posting.kind for posting in ordered],
        [posting.transfer_id for posting in ordered],
        debits,
        credits,
        [posting.currency for posting in ordered],
        amounts,
    ]
    execute(_INSERT, columns)
