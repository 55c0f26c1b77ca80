"""The state transitions of settlements, their accounts and their windows: tables and pure functions."""

from collections.abc import Collection, Iterable
from enum import StrEnum


class State(StrEnum):
    """The state of a settlement and (except SETTLING) of each account in it."""

    PENDING_SETTLEMENT = "PENDING_SETTLEMENT"
    PS_TRANSFERS_RECORDED = "PS_TRANSFERS_RECORDED"
    PS_TRANSFERS_RESERVED = "PS_TRANSFERS_RESERVED"
    PS_TRANSFERS_COMMITTED = "PS_TRANSFERS_COMMITTED"
    SETTLING = "SETTLING"
    SETTLED = "SETTLED"
    ABORTED = "ABORTED"


class WindowState(StrEnum):
    """The state of a window and (except OPEN) of each content in it."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    PENDING_SETTLEMENT = "PENDING_SETTLEMENT"
    SETTLED = "SETTLED"
    ABORTED = "ABORTED"


# The next state of an account by the settlement's state. All accounts move one step before the settlement moves on.
NEXT = {
    State.PENDING_SETTLEMENT: State.PS_TRANSFERS_RECORDED,
    State.PS_TRANSFERS_RECORDED: State.PS_TRANSFERS_RESERVED,
    State.PS_TRANSFERS_RESERVED: State.PS_TRANSFERS_COMMITTED,
    State.PS_TRANSFERS_COMMITTED: State.SETTLED,
    State.SETTLING: State.SETTLED,
}
# Once net senders have given up positions, a settlement can no longer be aborted.
MAY_ABORT = frozenset({State.PENDING_SETTLEMENT, State.PS_TRANSFERS_RECORDED, State.PS_TRANSFERS_RESERVED})
# The steps of all accounts, in order.
STEPS = (
    State.PS_TRANSFERS_RECORDED,
    State.PS_TRANSFERS_RESERVED,
    State.PS_TRANSFERS_COMMITTED,
    State.SETTLED,
)


def settlement_state(now: State, accounts: Collection[State]) -> State:
    """The state of a settlement whose accounts have these states."""
    step = NEXT.get(now)
    if step is None or step not in accounts:
        return now
    if all(account == step for account in accounts):
        return step
    return State.SETTLING if step == State.SETTLED else now


def window_state(contents: Iterable[str]) -> WindowState:
    """The state of a closed window, from its contents except those with immediate settlement.

    A window that is settled in part is pending. A window with nothing left to settle is settled.
    """
    found = set(contents)
    if found <= {WindowState.SETTLED}:
        return WindowState.SETTLED
    if found & {WindowState.PENDING_SETTLEMENT, WindowState.SETTLED}:
        return WindowState.PENDING_SETTLEMENT
    return WindowState.ABORTED if WindowState.ABORTED in found else WindowState.CLOSED
