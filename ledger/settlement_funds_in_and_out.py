"""In the caller's database transaction, records the bank's payments for a settlement as funds in and funds out.

Works like `accounts_and_funds.record_funds_in`, `prepare_funds_out` and `end_funds_out`, but for many participants. The
number of SQL statements does not depend on the number of participants.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Q

from fspiop import money
from fspiop.errors import ErrorCode, FspiopError
from hub.audit import Change, record_all
from hub.sql_execution import execute
from ledger import queries, settlement_postings
from ledger.models import Account, CoverHold, Entry, FundsMovement
from ledger.settlement_postings import Posting

_COMMITTED, _RESERVED = "COMMITTED", "RESERVED"


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment of the settlement bank, out of or into a participant's SETTLEMENT account. No two payments have the
    same `movement_id`."""

    movement_id: str
    account_id: int
    amount: int
    is_out: bool


@dataclass(frozen=True, slots=True)
class Recorded:
    """The part of a settlement's amount that no longer needs a payment, and whether a withdrawal is still reserved."""

    amount: int
    has_reserved: bool = False


class TooLittle(FspiopError):
    """Raised if the participant has less money available than the payment needs."""

    def __init__(self, name: str, most: int, currency: str) -> None:
        detail = f"{name} has {money.format_amount(most)} {currency} for this payment"
        super().__init__(ErrorCode.PAYER_FSP_INSUFFICIENT_LIQUIDITY, detail)
        self.name, self.most, self.currency = name, most, currency


# Locks all accounts of the same participants and currencies, in the order of `accounts_and_funds`.
_LOCK_PAIRS = """
    SELECT a.id FROM ledger_account a
    WHERE EXISTS (SELECT FROM ledger_account s WHERE s.id = ANY(%s::bigint[])
                    AND s.participant_id = a.participant_id AND s.currency = a.currency)
    ORDER BY a.id FOR NO KEY UPDATE
"""
_LOCK_HUB = """
    SELECT a.id FROM ledger_account a JOIN participants_participant p ON p.id = a.participant_id AND p.is_hub
    WHERE a.type = 'HUB_RECONCILIATION' AND a.currency = ANY(%s::text[])
    ORDER BY a.id FOR NO KEY UPDATE OF a
"""
_TAKE = """
    WITH paid AS (
        SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS p (hold_id, account_id, amount)),
    taken AS (
        UPDATE ledger_coverhold h SET remaining = h.remaining - paid.amount FROM paid WHERE h.id = paid.hold_id)
    UPDATE ledger_account a SET on_hold = a.on_hold - paid.amount, changed_at = clock_timestamp()
    FROM paid WHERE a.id = paid.account_id
"""


def lock(account_ids: Collection[int]) -> Mapping[int, Account]:
    """Locks these SETTLEMENT accounts with their POSITION accounts, and then the hub's reconciliation accounts.

    Returns the SETTLEMENT accounts as they are after the locks were acquired. The order of these locks is the same as
    in `accounts_and_funds`.
    """
    ids = sorted(account_ids)
    execute(_LOCK_PAIRS, [ids])
    accounts = Account.objects.select_related("participant").in_bulk(ids)
    execute(_LOCK_HUB, [sorted({account.currency for account in accounts.values()})])
    return accounts


def recorded(
    settlement_number: int, made_at: datetime, owed: Mapping[int, int], references: Mapping[int, Collection[str]]
) -> dict[int, Recorded]:
    """Returns, for each SETTLEMENT account, the part of the owed amount that no longer needs a payment.

    `owed` has the amount by account: above 0 for a payment out of the account, below 0 for a payment into the account.
    If there is a hold, the hold shows the amount that must still be paid out. If there is no hold, the amount to pay
    out is reduced by the withdrawals that name the settlement. Each movement of funds in with one of the account's
    `references` reduces the amount to pay in.
    """
    holds = {hold.account_id: hold for hold in _holds(settlement_number, owed)}
    sums: dict[int, int] = defaultdict(int)
    reserved: set[int] = set()
    movements = FundsMovement.objects.filter(
        Q(created_at__gte=made_at) | Q(hold__settlement_number=settlement_number), account__in=owed
    )
    for movement in movements.exclude(state="ABORTED").select_related("hold"):
        out = movement.kind == FundsMovement.Kind.FUNDS_OUT
        if out != (owed[movement.account_id] > 0):
            continue
        is_ours = movement.external_reference in references[movement.account_id] or (
            movement.hold is not None and movement.hold.settlement_number == settlement_number
        )
        if is_ours:
            sums[movement.account_id] += movement.amount
            if movement.state == _RESERVED:
                reserved.add(movement.account_id)
    return {
        number: Recorded(
            abs(amount) - holds[number].remaining if number in holds else min(abs(amount), sums[number]),
            number in reserved,
        )
        for number, amount in owed.items()
    }


def check(settlement_number: int, payments: Sequence[Payment]) -> None:
    """Raises the error that `post` would raise now, if any. This function changes nothing and takes no lock."""
    accounts = _accounts_of(payments)
    _reconciliation(accounts.values())
    _check(payments, accounts, _unpaid_holds(settlement_number, accounts))


def post(settlement_number: int, payments: Sequence[Payment], *, reason: str, actor: str) -> None:
    """Records these payments. The caller must have called `lock` for all accounts of the payments, and must have
    computed the amounts of the payments."""
    if not payments:
        return
    accounts = _accounts_of(payments)
    hub = _reconciliation(accounts.values())
    holds = _unpaid_holds(settlement_number, accounts)
    _check(payments, accounts, holds)
    reference, now = str(settlement_number), datetime.now(UTC)
    FundsMovement.objects.bulk_create(
        FundsMovement(
            transfer_id=payment.movement_id,
            account_id=payment.account_id,
            kind=FundsMovement.Kind.FUNDS_OUT if payment.is_out else FundsMovement.Kind.FUNDS_IN,
            amount=payment.amount,
            state=_RESERVED if payment.is_out else _COMMITTED,
            reason=reason,
            external_reference=reference,
            completed_at=None if payment.is_out else now,
            hold=holds.get(payment.account_id) if payment.is_out else None,
            from_hold=payment.amount if payment.is_out and payment.account_id in holds else 0,
        )
        for payment in payments
    )
    outs = [payment for payment in payments if payment.is_out]
    # The database requires that a new withdrawal has the state RESERVED.
    FundsMovement.objects.filter(pk__in=[payment.movement_id for payment in outs]).update(
        state=_COMMITTED, completed_at=now
    )
    held = [payment for payment in outs if payment.account_id in holds]
    execute(
        _TAKE,
        [
            [holds[payment.account_id].pk for payment in held],
            [payment.account_id for payment in held],
            [payment.amount for payment in held],
        ],
    )
    settlement_postings.post([_posting(payment, accounts[payment.account_id], hub) for payment in payments])
    _record(payments, accounts, reason, reference, actor)


def _accounts_of(payments: Iterable[Payment]) -> dict[int, Account]:
    return Account.objects.select_related("participant").in_bulk([payment.account_id for payment in payments])


def _unpaid_holds(settlement_number: int, accounts: Iterable[int]) -> dict[int, CoverHold]:
    return {hold.account_id: hold for hold in _holds(settlement_number, accounts) if hold.remaining}


def _holds(settlement_number: int, accounts: Iterable[int]) -> list[CoverHold]:
    return list(CoverHold.objects.filter(settlement_number=settlement_number, account__in=list(accounts)))


def _reconciliation(accounts: Iterable[Account]) -> dict[str, int]:
    currencies = {account.currency for account in accounts}
    found = Account.objects.filter(
        participant__is_hub=True, type=Account.Type.HUB_RECONCILIATION, currency__in=currencies
    )
    by_currency = dict(found.values_list("currency", "pk"))
    for currency in sorted(currencies - set(by_currency)):
        raise FspiopError(ErrorCode.ID_NOT_FOUND, f"the hub has no account in {currency}")
    return by_currency


def _check(payments: Sequence[Payment], accounts: Mapping[int, Account], holds: Mapping[int, CoverHold]) -> None:
    """Checks each payment in the same way as the hub checks a single movement of funds."""
    positions = {
        (position.participant_id, position.currency): max(0, queries.value_of(position))
        for position in Account.objects.filter(
            type=Account.Type.POSITION, participant__in={account.participant_id for account in accounts.values()}
        )
    }
    for payment in payments:
        account = accounts[payment.account_id]
        name = account.participant.name
        if account.closed_at is not None or not account.is_active or account.type != Account.Type.SETTLEMENT:
            raise FspiopError(ErrorCode.CLIENT_ERROR, f"the SETTLEMENT account of {name} is not active")
        if not payment.is_out:
            continue
        hold = holds.get(payment.account_id)
        owed = min(payment.amount, hold.remaining) if hold else 0
        used = positions.get((account.participant_id, account.currency), 0)
        free = max(0, queries.cover_of(account) - used)
        if payment.amount - owed > free or payment.amount > -queries.value_of(account):
            most = min(-queries.value_of(account), free + owed)
            raise TooLittle(name, most, account.currency)


def _posting(payment: Payment, account: Account, hub: Mapping[str, int]) -> Posting:
    ours, theirs = hub[account.currency], account.pk
    kind, debit, credit = (
        (Entry.Kind.FUNDS_OUT, theirs, ours) if payment.is_out else (Entry.Kind.FUNDS_IN, ours, theirs)
    )
    return Posting(kind, payment.movement_id, debit, credit, account.currency, payment.amount)


def _record(
    payments: Sequence[Payment], accounts: Mapping[int, Account], reason: str, reference: str, actor: str
) -> None:
    """Adds the same entries to the audit trail as the single movements of funds would add."""
    changes = []
    for payment in payments:
        account = accounts[payment.account_id]
        said = {
            "transferId": payment.movement_id,
            "amount": payment.amount,
            "currency": account.currency,
            "reason": reason,
        }
        subject = account.participant.name
        if not payment.is_out:
            changes.append(Change("funds_in", subject, after=said))
            continue
        changes.append(Change("funds_out_reserved", subject, after=said))
        paid = {
            "transferId": payment.movement_id,
            "amount": payment.amount,
            "reason": reason,
            "externalReference": reference,
        }
        changes.append(Change("funds_out_committed", subject, after=paid))
    record_all(changes, actor=actor)
