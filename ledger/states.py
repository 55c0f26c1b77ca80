"""The state machine of a transfer, as one table. A database trigger enforces this table too.

FSPIOP API v1.1, section 6.7.6, defines the API's states. `API_STATE` maps each stored state to the API's name.
"""

from enum import StrEnum


class State(StrEnum):
    RECEIVED = "RECEIVED"  # never stored, because the hub decides a transfer in the transaction that first stores it
    RESERVED = "RESERVED"
    COMMITTED = "COMMITTED"
    ABORTED = "ABORTED"


class Move(StrEnum):
    RESERVE = "RESERVE"
    REFUSE = "REFUSE"
    FULFIL = "FULFIL"
    REJECT = "REJECT"
    EXPIRE = "EXPIRE"
    INVALIDATE = "INVALIDATE"


NEXT: dict[tuple[State, Move], State] = {
    (State.RECEIVED, Move.RESERVE): State.RESERVED,
    (State.RECEIVED, Move.REFUSE): State.ABORTED,
    (State.RESERVED, Move.FULFIL): State.COMMITTED,
    (State.RESERVED, Move.REJECT): State.ABORTED,
    (State.RESERVED, Move.EXPIRE): State.ABORTED,
    (State.RESERVED, Move.INVALIDATE): State.ABORTED,
}

TERMINAL = frozenset({State.COMMITTED, State.ABORTED})
