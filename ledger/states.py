"""The table of a transfer's states, and of the permitted changes from one state to another. A database trigger allows
only the changes in this table of states.

FSPIOP API v1.1, section 6.7.6, defines the states of a transfer in the API. `API_STATE` maps each stored state to the
API's name.
"""

from enum import StrEnum


class State(StrEnum):
    RECEIVED = "RECEIVED"  # never in the database: one database transaction decides a transfer and stores the result
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
