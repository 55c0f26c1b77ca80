"""Reads the entries of each step of a settlement. For each entry, reads whether it has been posted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.models import Account, Entry
from settlement import services
from settlement.models import Settlement
from settlement.states import STEPS, State


@dataclass(frozen=True, slots=True)
class Planned:
    """One planned entry. `entry_id` is None until the entry is posted."""

    debit: Account
    credit: Account
    currency: str
    amount: int
    entry_id: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a settlement with its entries. `is_reached` is True if the settlement is at this step or at a later
    step."""

    name: Any
    entries: Sequence[Planned]
    is_reached: bool

    @property
    def is_done(self) -> bool:
        """Whether the step is reached and each of its entries is posted."""
        return self.is_reached and all(entry.entry_id is not None for entry in self.entries)


def steps_reached(settlement: Settlement) -> int:
    """Returns the number of steps that the settlement has reached."""
    state = State(settlement.state)
    if state == State.SETTLING:
        state = State.PS_TRANSFERS_COMMITTED
    return STEPS.index(state) + 1 if state in STEPS else 0


def planned(settlement: Settlement, names: Mapping[State, Any]) -> list[Step]:
    """Returns every step with its entries. Runs three SQL statements for any number of entries."""
    plan = services.plan(settlement)
    postings = [posting for step in plan.values() for posting in step]
    ids = {account_id for posting in postings for account_id in (posting.debit_account_id, posting.credit_account_id)}
    accounts = Account.objects.select_related("participant").in_bulk(ids)
    entries = Entry.objects.filter(transfer_id__in=[posting.transfer_id for posting in postings])
    reached = steps_reached(settlement)
    posted = {(entry.transfer_id, entry.kind): entry.pk for entry in entries}
    return [
        Step(
            names[step],
            [
                Planned(
                    accounts[posting.debit_account_id],
                    accounts[posting.credit_account_id],
                    posting.currency,
                    posting.amount,
                    posted.get((posting.transfer_id, posting.kind)),
                )
                for posting in found
            ],
            STEPS.index(step) < reached,
        )
        for step, found in plan.items()
    ]
