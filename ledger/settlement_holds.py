"""Begins and ends holds on liquidity cover, for the amounts that participants owe for a settlement. The limit of a
position does not include cover that is on hold.

A hold on cover ends when the settlement bank has moved the money. Before a call of any function in this module, the
caller must lock the participant's POSITION account. Every change of a SETTLEMENT account needs this lock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from hub.sql_execution import execute
from ledger.models import Account, CoverHold, FundsMovement

_MOST_DIGITS = 18  # a settlement's number has at most this many digits


@dataclass(frozen=True, slots=True)
class Owed:
    """The amount that the owner of a POSITION account owes the settlement bank."""

    position_account_id: int
    amount: int


_PLACE = """
    WITH placed AS (
        INSERT INTO ledger_coverhold (account_id, settlement_number, amount, paid_before, remaining, created_at)
        SELECT s.id, %s, owed.amount, paid.before, owed.amount - paid.before, clock_timestamp()
        FROM unnest(%s::bigint[], %s::bigint[]) AS owed (account_id, amount)
        JOIN ledger_account p ON p.id = owed.account_id AND p.type = 'POSITION'
        JOIN ledger_account s ON s.participant_id = p.participant_id AND s.currency = p.currency
                             AND s.type = 'SETTLEMENT'
        CROSS JOIN LATERAL (
            SELECT least(owed.amount, coalesce(sum(m.amount), 0))::bigint AS before FROM ledger_fundsmovement m
            WHERE m.account_id = s.id AND m.kind = 'FUNDS_OUT' AND m.state = 'COMMITTED'
              AND m.external_reference = %s::text AND m.created_at >= %s::timestamptz) paid
        RETURNING account_id, remaining)
    UPDATE ledger_account a SET on_hold = a.on_hold + placed.remaining, changed_at = clock_timestamp()
    FROM placed WHERE a.id = placed.account_id
"""


def place(settlement_number: int, made_at: datetime, owed: Sequence[Owed]) -> None:
    """Begins a hold for each amount that a participant owes for a settlement. Money that the bank has already moved for
    this settlement reduces the hold.

    A withdrawal before the settlement does not reduce the hold, even if the withdrawal's reference is the settlement's
    number.
    """
    if owed:
        accounts, amounts = [each.position_account_id for each in owed], [each.amount for each in owed]
        execute(_PLACE, [settlement_number, accounts, amounts, settlement_number, made_at])


def is_named_by(participant: str, currency: str, reference: str) -> bool:
    """Returns whether a withdrawal with this reference would reduce a hold of this participant."""
    found = CoverHold.objects.filter(account__participant__name=participant, account__currency=currency)
    return found.filter(_named(reference), remaining__gt=0).exists()


def named_by(settlement_account: Account, reference: str) -> CoverHold | None:
    """Returns the hold for the settlement with this number, or None if no amount remains on hold."""
    holds = CoverHold.objects.select_for_update(no_key=True).filter(account=settlement_account, remaining__gt=0)
    return holds.filter(_named(reference)).first()


def _named(reference: str) -> Q:
    number = number_in(reference)
    return Q(pk=None) if number is None else Q(settlement_number=number)


def number_in(reference: str) -> int | None:
    """Returns the settlement's number that is this reference. Returns None if the reference is no number."""
    is_number = reference.isascii() and reference.isdecimal() and len(reference) <= _MOST_DIGITS
    return int(reference) if is_number and str(int(reference)) == reference else None


def take(hold: CoverHold, amount: int) -> int:
    """Reduces a hold by the amount of a withdrawal, but not below zero. Returns the amount by which this call has
    reduced the hold."""
    taken = min(amount, hold.remaining)
    _change(hold, -taken)
    return taken


def give_back(movement: FundsMovement) -> None:
    """Increases a hold again by the amount that a withdrawal had subtracted from the hold. Does nothing if two people
    have already released the hold."""
    if movement.hold_id is None:
        return
    hold = CoverHold.objects.select_for_update(no_key=True).get(pk=movement.hold_id)
    if hold.released_at is None:
        _change(hold, movement.from_hold)


def _change(hold: CoverHold, by: int) -> None:
    hold.remaining += by
    hold.save(update_fields=["remaining"])
    add(hold.account_id, by)


_ADD = "UPDATE ledger_account SET on_hold = on_hold + %s, changed_at = clock_timestamp() WHERE id = %s"


def add(account_id: int, by: int) -> None:
    """Increases an account's amount on hold by the amount `by`."""
    execute(_ADD, [by, account_id])
