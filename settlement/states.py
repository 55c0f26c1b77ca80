"""Constants and pure functions for the states of settlements, of accounts in settlements, and of windows."""

from collections.abc import Collection, Iterable
from enum import StrEnum


class State(StrEnum):
    """The states of settlements, and of the accounts in settlements. An account of a settlement is never in the state
    SETTLING."""

    PENDING_SETTLEMENT = "PENDING_SETTLEMENT"
    PS_TRANSFERS_RECORDED = "PS_TRANSFERS_RECORDED"
    PS_TRANSFERS_RESERVED = "PS_TRANSFERS_RESERVED"
    PS_TRANSFERS_COMMITTED = "PS_TRANSFERS_COMMITTED"
    SETTLING = "SETTLING"
    SETTLED = "SETTLED"
    ABORTED = "ABORTED"


class WindowState(StrEnum):
    """The states of settlement windows, and of the windows' contents. A content of a window is never in the state
    OPEN."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    PENDING_SETTLEMENT = "PENDING_SETTLEMENT"
    SETTLED = "SETTLED"
    ABORTED = "ABORTED"


# Maps each state of a settlement to the next state of the settlement's accounts. The settlement enters a state only
# when all accounts of the settlement have reached this state.
NEXT = {
    State.PENDING_SETTLEMENT: State.PS_TRANSFERS_RECORDED,
    State.PS_TRANSFERS_RECORDED: State.PS_TRANSFERS_RESERVED,
    State.PS_TRANSFERS_RESERVED: State.PS_TRANSFERS_COMMITTED,
    State.PS_TRANSFERS_COMMITTED: State.SETTLED,
    State.SETTLING: State.SETTLED,
}
# A settlement can be aborted only in these states. In later states, positions of net senders are already reset.
MAY_ABORT = frozenset({State.PENDING_SETTLEMENT, State.PS_TRANSFERS_RECORDED, State.PS_TRANSFERS_RESERVED})
# The steps of all accounts, in order.
STEPS = (
    State.PS_TRANSFERS_RECORDED,
    State.PS_TRANSFERS_RESERVED,
    State.PS_TRANSFERS_COMMITTED,
    State.SETTLED,
)


def steps_left(now: str) -> tuple[State, ...]:
    """Returns the steps that a settlement in this state has not completed yet, the next step first."""
    if now == State.SETTLING:
        return (State.SETTLED,)
    if now == State.ABORTED:
        return ()
    return STEPS[STEPS.index(State(now)) + 1 :] if now in STEPS else STEPS


def settlement_state(now: State, accounts: Collection[State]) -> State:
    """Returns the state of a settlement whose accounts have these states."""
    step = NEXT.get(now)
    if step is None or step not in accounts:
        return now
    if all(account == step for account in accounts):
        return step
    return State.SETTLING if step == State.SETTLED else now


def window_state(contents: Iterable[str]) -> WindowState:
    """Returns the state of a closed window. `contents` has the states of the window's contents, except contents with
    immediate settlement.

    If only some contents of a window are settled, the window is pending. If a window has no content left to settle, the
    window is settled.
    """
    found = set(contents)
    if found <= {WindowState.SETTLED}:
        return WindowState.SETTLED
    if found & {WindowState.PENDING_SETTLEMENT, WindowState.SETTLED}:
        return WindowState.PENDING_SETTLEMENT
    return WindowState.ABORTED if WindowState.ABORTED in found else WindowState.CLOSED
