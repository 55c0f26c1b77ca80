"""A ledger in a few lines of Python: replays what the database says was committed, in the order of the commits."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Event:
    """One row of a transfer's history. `moment` is that of its transaction."""

    moment: object
    transfer_id: str
    state: str
    payer: str
    payee: str
    amount: int
    was_reserved: bool


@dataclass
class Account:
    limit: int  # min(net debit cap, liquidity cover); neither changes while a run lasts
    position: int = 0
    reserved: int = 0


@dataclass
class Model:
    accounts: dict[str, Account]
    states: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def replay(self, events: Iterable[Event]) -> None:
        """Events in the order of their ids, which are drawn under the accounts' locks."""
        raised: set[str] = set()
        moment: object = None
        for event in events:
            # A group of commands is one transaction: within it a release may make room for a reservation.
            if event.moment != moment:
                self._hold_limits(raised)
                raised, moment = set(), event.moment
            self._apply(event, raised)
        self._hold_limits(raised)

    def _apply(self, event: Event, raised: set[str]) -> None:
        payer, payee = self.accounts[event.payer], self.accounts[event.payee]
        before, key = self.states.get(event.transfer_id), event.transfer_id
        match (before, event.state):
            case (None, "RESERVED"):
                payer.reserved += event.amount
                raised.add(event.payer)
            case (None, "ABORTED") if not event.was_reserved:
                pass
            case ("RESERVED", "COMMITTED"):
                payer.reserved -= event.amount
                payer.position += event.amount
                payee.position -= event.amount
            case ("RESERVED", "ABORTED"):
                payer.reserved -= event.amount
            case _:
                self.faults.append(f"{key}: from {before} to {event.state}")
        self.states[key] = event.state

    def _hold_limits(self, payers: set[str]) -> None:
        for name in payers:
            account = self.accounts[name]
            if account.position + account.reserved > account.limit:
                self.faults.append(f"{name}: {account.position} + {account.reserved} is above {account.limit}")
