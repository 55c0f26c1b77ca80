"""Reads the statement of one account for a period of days: opening balance, every entry, and closing balance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.participants.models import Participant
from ledger.models import Account, FundsMovement
from portal.queries import balance_checkpoints, transfers
from portal.queries.balance_checkpoints import Posted, Sums
from settlement.models import SettlementAccount

_BATCH = 1000
# Types of accounts that hold the participant's money: a credit increases the balance of such an account. On all other
# accounts, a debit increases the balance.
_HELD = (Account.Type.SETTLEMENT, Account.Type.INTERCHANGE_FEE_SETTLEMENT)
_OF_TRANSFERS = ("TRANSFER", "GROSS_PAYER", "GROSS_PAYEE")


@dataclass(frozen=True, slots=True)
class Line:
    """One entry, as the account's owner sees it. `url` has the URL name and arguments of the payment's page."""

    entry: Posted
    counterparty: str
    reference: str
    detail: str
    url: tuple[str, list[Any]] | None
    balance: int  # after the entry

    @property
    def is_of_settlement(self) -> bool:
        return self.entry.kind.startswith("NET_")


@dataclass(frozen=True, slots=True)
class Span:
    """An account's entries in a period of days. The ids of the entries are at least `first` and below `end.before`."""

    account: Account
    opening: Sums
    end: Sums

    @property
    def first(self) -> int:
        return self.opening.before

    @property
    def entries(self) -> int:
        return self.end.entries - self.opening.entries

    @property
    def debits(self) -> int:
        return self.end.debits - self.opening.debits

    @property
    def credits(self) -> int:
        return self.end.credits - self.opening.credits

    @property
    def opening_balance(self) -> int:
        return balance(self.account, self.opening)

    @property
    def closing_balance(self) -> int:
        return balance(self.account, self.end)


def is_held(account: Account) -> bool:
    """Returns True if the balance is the participant's money. Returns False if the balance is money that the
    participant owes.
    """
    return account.type in _HELD


def balance(account: Account, sums: Sums) -> int:
    """Returns the balance.

    A position above 0 is money that the participant owes. A settlement account's balance above 0 is money that the
    settlement bank holds for the participant.
    """
    return _signed(account, sums.debits, sums.credits)


def _signed(account: Account, debits: int, credits: int) -> int:
    return credits - debits if is_held(account) else debits - credits


def span(account: Account, *, since: datetime, until: datetime) -> Span:
    """Returns the entries from `since` to `until`, with the sums before the first entry and after the last entry.

    Leaves out entries that are posted after this call, even if `until` is later than the call.
    """
    end = balance_checkpoints.sums_before(account.pk)
    later = balance_checkpoints.first_since(account.pk, until)
    if later is not None:
        end = balance_checkpoints.sums_before(account.pk, later)
    first = balance_checkpoints.first_since(account.pk, since)
    opening = end if first is None or first >= end.before else balance_checkpoints.sums_before(account.pk, first)
    return Span(account, opening, end)


def latest(found: Span, *, before: int | None, size: int, own: int | None) -> list[Line]:
    """Returns the entries of the span with ids below `before`, the latest first.

    Each entry contains the balance after this entry.
    """
    top = found.end if before is None else balance_checkpoints.sums_before(found.account.pk, before)
    rows = balance_checkpoints.latest(found.account.pk, first=found.first, before=top.before, size=size)
    names = _Names(own)
    names.read(rows)
    lines, after = [], balance(found.account, top)
    for row in rows:
        lines.append(names.line(row, found.account, after))
        after -= _signed(found.account, row.debit, row.credit)
    return lines


def earliest(found: Span, *, own: int | None) -> Iterator[list[Line]]:
    """Yields every entry of the span in the order of posting, in batches.

    Each batch begins after the last id of the previous batch.
    """
    names, after, first = _Names(own), found.opening_balance, found.first
    while rows := balance_checkpoints.earliest(found.account.pk, first=first, before=found.end.before, size=_BATCH):
        names.read(rows)
        lines: list[Line] = []
        for row in rows:
            after += _signed(found.account, row.debit, row.credit)
            lines.append(names.line(row, found.account, after))
        yield lines
        first = rows[-1].id + 1


class _Names:
    """The names of the accounts and payments that the entries refer to. One query reads the names for many entries.

    `own` is the visitor's participant.
    """

    def __init__(self, own: int | None) -> None:
        self.own = own
        self.parties: dict[int, Account] = {}
        self.settled: dict[str, int] = {}
        self.funds: dict[str, FundsMovement] = {}
        self.open: set[str] = set()

    def read(self, rows: Sequence[Posted]) -> None:
        """Reads the names for these entries.

        Runs three SQL statements. Runs a fourth statement if the visitor is not allowed to open every transfer.
        """
        accounts = Account.objects.select_related("participant")
        self.parties |= accounts.in_bulk({row.other_id for row in rows} - set(self.parties))
        nets = [row.transfer_id for row in rows if row.kind.startswith("NET_")]
        found = SettlementAccount.objects.filter(transfer_id__in=nets)
        self.settled = dict(found.values_list("transfer_id", "settlement_id"))
        self.funds = FundsMovement.objects.in_bulk([row.transfer_id for row in rows if row.kind.startswith("FUNDS_")])
        paid = {row.transfer_id for row in rows if row.kind in _OF_TRANSFERS}
        if self.own is not None:
            # An FXP has entries that belong to transfers between two other participants.
            paid = set(transfers.visible(self.own).filter(pk__in=paid).values_list("pk", flat=True))
        self.open = paid

    def line(self, row: Posted, account: Account, after: int) -> Line:
        other = self.parties[row.other_id]
        counterparty = _counterparty(other, account.participant)
        if row.kind.startswith("NET_"):
            number = self.settled.get(row.transfer_id)
            page: tuple[str, list[Any]] | None = None
            if self.own is None and number:
                page = ("settlement_of", [number])
            return Line(row, counterparty, str(number or row.transfer_id), "", page, after)
        if row.kind.startswith("FUNDS_"):
            moved = self.funds.get(row.transfer_id)
            detail = ", ".join(filter(None, [moved.external_reference, moved.reason])) if moved else ""
            return Line(row, counterparty, row.transfer_id, detail, ("participant", [account.participant.name]), after)
        if row.kind == "FX_TRANSFER":
            return Line(row, counterparty, row.transfer_id, "", ("conversion", [row.transfer_id]), after)
        page = ("transfer", [row.transfer_id]) if row.transfer_id in self.open else None
        return Line(row, counterparty, row.transfer_id, "", page, after)


def _counterparty(other: Account, owner: Participant) -> str:
    """Returns the name of the participant that owns the contra account.

    Returns an empty text if the hub or this participant owns the contra account.
    """
    return "" if other.participant.is_hub or other.participant_id == owner.pk else other.participant.name
