"""The state machine of a transfer, as one table. The database enforces the same table by a trigger.

The API's states: FSPIOP API v1.1, section 6.7.6. `API_STATE` has the API's name of each stored state.
"""

from enum import StrEnum


class State(StrEnum):
    RECEIVED = "RECEIVED"  # never stored: the decision and the arrival are one transaction
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
