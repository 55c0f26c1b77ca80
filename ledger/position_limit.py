"""The limit of a position: the lower value of the net debit cap and the liquidity cover. Pure.

This module computes the limit in two ways: in Python for decisions and displays, and in SQL for the database's checks.
Here, the value of a position includes the amounts that are reserved on the position.
"""

from collections.abc import Collection
from enum import Enum, auto


class Bound(Enum):
    CAP = auto()
    COVER = auto()


def limit_of(cap: int, cover: int) -> int:
    """Returns the highest value that a position may have."""
    return min(cap, cover)


def passed(position: int, cap: int | None, cover: int | None) -> Collection[Bound]:
    """Returns the bounds that a position exceeds: the net debit cap, the liquidity cover, both, or none. A position
    that exceeds at least one bound exceeds its limit. No position exceeds a bound that is None.
    """
    if (cap is None or position <= cap) and (cover is None or position <= cover):
        return ()  # fast path: nearly all positions exceed no bound
    bounds = ((Bound.CAP, cap), (Bound.COVER, cover))
    return [bound for bound, most in bounds if most is not None and position > most]


# SQL expressions: `a` is a POSITION account, and `s` is the same participant's SETTLEMENT account in the same currency.
POSITION = "a.posted_debits - a.posted_credits + a.pending_debits"
COVER = "s.posted_credits - s.posted_debits - s.pending_debits - s.on_hold"
S_COVERS_A = "s.participant_id = a.participant_id AND s.currency = a.currency AND s.type = 'SETTLEMENT'"
LIMIT_OF_A = f"LEAST(a.net_debit_cap, (SELECT {COVER} FROM ledger_account s WHERE {S_COVERS_A}))"  # noqa: S608
