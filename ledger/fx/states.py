"""The state machine of a conversion (an fxTransfer), as one table. The database enforces the same table by a trigger.

A conversion that its FXP has fulfilled is AGREED: it waits for its determining transfer and ends with it. The API has
no name for this state and calls it RESERVED.
"""

from enum import StrEnum


class FxState(StrEnum):
    RECEIVED = "RECEIVED"  # never stored: the decision and the arrival are one transaction
    RESERVED = "RESERVED"
    AGREED = "AGREED"
    COMMITTED = "COMMITTED"
    ABORTED = "ABORTED"


class FxMove(StrEnum):
    RESERVE = "RESERVE"
    REFUSE = "REFUSE"
    AGREE = "AGREE"
    COMMIT = "COMMIT"
    ABORT = "ABORT"


FX_NEXT: dict[tuple[FxState, FxMove], FxState] = {
    (FxState.RECEIVED, FxMove.RESERVE): FxState.RESERVED,
    (FxState.RECEIVED, FxMove.REFUSE): FxState.ABORTED,
    (FxState.RESERVED, FxMove.AGREE): FxState.AGREED,
    (FxState.RESERVED, FxMove.ABORT): FxState.ABORTED,
    (FxState.AGREED, FxMove.COMMIT): FxState.COMMITTED,
    (FxState.AGREED, FxMove.ABORT): FxState.ABORTED,
}

LIVE = frozenset({FxState.RESERVED, FxState.AGREED})
FX_TERMINAL = frozenset({FxState.COMMITTED, FxState.ABORTED})

API_STATE: dict[FxState, str] = {
    FxState.RECEIVED: "RECEIVED",
    FxState.RESERVED: "RESERVED",
    FxState.AGREED: "RESERVED",
    FxState.COMMITTED: "COMMITTED",
    FxState.ABORTED: "ABORTED",
}
