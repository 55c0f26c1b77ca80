"""A table of the states of a conversion (an fxTransfer), and of the changes that are permitted between these states. A
database trigger allows only the changes in this table.

After the FXP has fulfilled a conversion, the conversion is AGREED. An AGREED conversion waits for its determining
transfer, and ends together with this transfer. The API has no state AGREED. In messages, an AGREED conversion has the
state RESERVED.
"""

from enum import StrEnum


class FxState(StrEnum):
    RECEIVED = "RECEIVED"  # never in the database: one database transaction decides a conversion and stores the result
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
