"""How a settlement, its accounts and its windows move: tables, and what follows from them. Pure."""

from collections.abc import Collection, Iterable
from enum import StrEnum


class State(StrEnum):
    """Of a settlement and, but for SETTLING, of each account in it."""

    PENDING_SETTLEMENT = "PENDING_SETTLEMENT"
    PS_TRANSFERS_RECORDED = "PS_TRANSFERS_RECORDED"
    PS_TRANSFERS_RESERVED = "PS_TRANSFERS_RESERVED"
    PS_TRANSFERS_COMMITTED = "PS_TRANSFERS_COMMITTED"
    SETTLING = "SETTLING"
    SETTLED = "SETTLED"
    ABORTED = "ABORTED"


class WindowState(StrEnum):
    """Of a window, and but for OPEN of each content of one."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    PENDING_SETTLEMENT = "PENDING_SETTLEMENT"
    SETTLED = "SETTLED"
    ABORTED = "ABORTED"


# The next state of an account, by the settlement's: one step at a time, all accounts before the settlement goes on.
NEXT = {
    State.PENDING_SETTLEMENT: State.PS_TRANSFERS_RECORDED,
    State.PS_TRANSFERS_RECORDED: State.PS_TRANSFERS_RESERVED,
    State.PS_TRANSFERS_RESERVED: State.PS_TRANSFERS_COMMITTED,
    State.PS_TRANSFERS_COMMITTED: State.SETTLED,
    State.SETTLING: State.SETTLED,
}
# Once net senders have given up positions, nothing is taken back.
MAY_ABORT = frozenset({State.PENDING_SETTLEMENT, State.PS_TRANSFERS_RECORDED, State.PS_TRANSFERS_RESERVED})
# The way that a caller takes all accounts, in order.
STEPS = (
    State.PS_TRANSFERS_RECORDED,
    State.PS_TRANSFERS_RESERVED,
    State.PS_TRANSFERS_COMMITTED,
    State.SETTLED,
)


def settlement_state(now: State, accounts: Collection[State]) -> State:
    """What a settlement becomes when its accounts stand so."""
    step = NEXT.get(now)
    if step is None or step not in accounts:
        return now
    if all(account == step for account in accounts):
        return step
    return State.SETTLING if step == State.SETTLED else now


def window_state(contents: Iterable[str]) -> WindowState:
    """What a closed window is, by its contents, apart from those that were settled at once.

    One that is settled in part is pending until it is settled whole; one where nothing is left to settle is settled.
    """
    found = set(contents)
    if found <= {WindowState.SETTLED}:
        return WindowState.SETTLED
    if found & {WindowState.PENDING_SETTLEMENT, WindowState.SETTLED}:
        return WindowState.PENDING_SETTLEMENT
    return WindowState.ABORTED if WindowState.ABORTED in found else WindowState.CLOSED
