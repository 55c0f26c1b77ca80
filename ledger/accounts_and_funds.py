"""Changes accounts, net debit caps and funds. These changes are rare, compared with transfers.

The functions of this module use Django's ORM. These functions lock rows in the same order as the rest of the ledger.

Every change of a SETTLEMENT account first locks the participant's POSITION account. The hub also locks the POSITION
account while it compares the reservation of a transfer with the cover.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q

from fspiop import money
from fspiop.errors import ErrorCode, FspiopError
from hub import outbox, whole_minor_units
from hub.audit import record
from hub.outbox.messages import HubMessages, Outgoing, Recipient
from hub.participants import services as participants
from hub.participants.models import Participant
from hub.sql_execution import execute
from hub.test_currency import TEST_CURRENCY
from ledger import queries, settlement_holds, store
from ledger.fx.states import LIVE
from ledger.models import Account, CoverHold, Entry, FundsMovement, FxTransfer, SettlementWindow, Transfer
from ledger.notices import funds_answer, state_answer, unknown_answer
from ledger.states import State

_HUB_TYPES = frozenset({Account.Type.HUB_RECONCILIATION, Account.Type.HUB_MULTILATERAL_SETTLEMENT})
_account_types_by_rule: list[Callable[[str], Iterable[str]]] = []
SettlementOf = Callable[[Account, bool, str], int | None]
_settlements_by_reference: list[SettlementOf] = []


class NotFree(FspiopError):
    """Raised if a withdrawal is larger than the free part of the cover. `most` is the largest possible withdrawal."""

    def __init__(self, most: int) -> None:
        super().__init__(ErrorCode.PAYER_FSP_INSUFFICIENT_LIQUIDITY, f"at most {money.format_amount(most)} is free")
        self.most = most


class RecordedWithSettlement(FspiopError):
    """Raised if the hub has already recorded this payment of the settlement bank together with the payment's
    settlement."""

    def __init__(self, settlement_number: int) -> None:
        super().__init__(ErrorCode.CLIENT_ERROR, f"settlement {settlement_number} has recorded this payment already")
        self.settlement_number = settlement_number


class StillOwes(FspiopError):
    """Raised if the scheme does not allow disabling a participant that has reserved amounts or owes money."""

    def __init__(self, name: str) -> None:
        super().__init__(ErrorCode.CLIENT_ERROR, f"{name} has reserved amounts or owes money")


def ensure_open_window() -> SettlementWindow:
    """Returns the open settlement window. Creates the scheme's first window if no window is open."""
    window = SettlementWindow.objects.filter(state=SettlementWindow.State.OPEN).first()
    return window or SettlementWindow.objects.create()


def stop_conversions() -> None:
    """Ensures that no other transaction stores or changes a conversion until this database transaction ends."""
    execute("LOCK TABLE ledger_fxtransfer IN SHARE MODE")


@transaction.atomic
def open_hub_account(*, account_type: str, currency: str, actor: str) -> Account:
    """Opens one of the hub's own accounts in a currency. The hub's new account is active immediately."""
    if account_type not in _HUB_TYPES:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"type: one of {', '.join(sorted(_HUB_TYPES))}")
    account = _open(participants.hub(), currency, account_type, is_active=True)
    record("account_opened", subject=settings.HUB_NAME, actor=actor, after={"type": account_type, "currency": currency})
    return account


@transaction.atomic
def register_participant(*, name: str, currency: str, is_proxy: bool, actor: str, is_live: bool = True) -> Participant:
    """Creates a participant and its inactive accounts in a currency.

    If the participant already exists, only adds the currency. A new participant can neither send nor receive payments
    until `hub.participants.services.go_live` makes it live.
    """
    participant = Participant.objects.filter(name=name, is_hub=False).first()
    if participant is not None and participant.closed_at is not None:
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"{name} was closed for good")
    if Account.objects.filter(participant__is_hub=True, currency=currency, type__in=_HUB_TYPES).count() < 2:
        raise FspiopError(
            ErrorCode.ADD_PARTY_INFO_ERROR, f"Hub reconciliation or settlement account for {currency} does not exist"
        )
    if participant is not None and participant.accounts.filter(currency=currency).exists():
        raise FspiopError(ErrorCode.CLIENT_ERROR, "Participant currency has already been registered")
    participant = participant or participants.create(name=name, is_proxy=is_proxy, is_live=is_live, actor=actor)
    for account_type in _account_types(currency):
        _open(participant, currency, account_type, is_active=False)
    record("currency_added", subject=name, actor=actor, after={"currency": currency})
    return participant


def also_open(rule: Callable[[str], Iterable[str]]) -> None:
    """Registers the function `rule` of another app. For each currency, this function returns the additional account
    types.
    """
    if rule not in _account_types_by_rule:
        _account_types_by_rule.append(rule)


def record_payments_once(rule: SettlementOf) -> None:
    """Registers the function `rule` of another app. `rule` takes a SETTLEMENT account, whether money leaves this
    account, and a reference. If a settlement has recorded the payment with this reference, `rule` returns the
    settlement's number.
    """
    if rule not in _settlements_by_reference:
        _settlements_by_reference.append(rule)


def check_not_recorded(account: Account, *, is_out: bool, reference: str) -> None:
    """Raises RecordedWithSettlement if a settlement has already recorded the payment with this reference."""
    for rule in _settlements_by_reference:
        number = rule(account, is_out, reference) if reference else None
        if number is not None:
            raise RecordedWithSettlement(number)


def _account_types(currency: str) -> list[str]:
    types = dict.fromkeys([Account.Type.POSITION.value, Account.Type.SETTLEMENT.value])
    for rule in _account_types_by_rule:
        types |= dict.fromkeys(rule(currency))
    return list(types)


def open_missing_accounts(currency: str | None) -> None:
    """Opens accounts that are missing because the participant joined before a rule required these accounts.

    Opens these accounts only in `currency`, or in all currencies if `currency` is None.
    """
    positions = Account.objects.filter(type=Account.Type.POSITION, closed_at=None).select_related("participant")
    for position in positions.filter(currency=currency) if currency else positions:
        has = set(queries.accounts_of(position.participant, position.currency).values_list("type", flat=True))
        for account_type in _account_types(position.currency):
            if account_type not in has:
                _open(position.participant, position.currency, account_type, is_active=position.is_active)


def _open(participant: Participant, currency: str, account_type: str, *, is_active: bool) -> Account:
    if currency not in money.CURRENCIES:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"currency: {currency} is not an ISO 4217 code")
    try:
        with transaction.atomic():
            return Account.objects.create(
                participant=participant, currency=currency, type=account_type, is_active=is_active
            )
    except IntegrityError:
        raise FspiopError(
            ErrorCode.ADD_PARTY_INFO_ERROR, f"{account_type} account in {currency} has already been registered"
        ) from None


def _lock_pair(participant: Participant, currency: str) -> tuple[Account, Account]:
    """Returns the POSITION and SETTLEMENT accounts of a participant, locked in the order of their ids."""
    accounts = {
        account.type: account
        for account in Account.objects.select_for_update(no_key=True)
        .filter(participant=participant, currency=currency)
        .order_by("id")
    }
    try:
        pair = accounts[Account.Type.POSITION], accounts[Account.Type.SETTLEMENT]
    except KeyError:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, f"{participant.name} has no accounts in {currency}") from None
    for account in pair:
        _check_open(account)
    return pair


def _check_open(account: Account) -> None:
    if account.closed_at is not None:
        raise FspiopError(ErrorCode.CLIENT_ERROR, "the account was closed for good")


@transaction.atomic
def set_initial_limit(participant: Participant, *, currency: str, ndc: int, actor: str) -> None:
    """Sets a participant's first net debit cap and activates its accounts.

    Raises an error if the account already has a net debit cap. The reference hub returns the same error.
    """
    position, settlement = _lock_pair(participant, currency)
    whole_minor_units.check(ndc, currency)
    if position.net_debit_cap is not None:
        raise FspiopError(
            ErrorCode.INTERNAL_SERVER_ERROR, "Participant Limit or Initial Position already set", http_status=500
        )
    position.net_debit_cap = ndc
    position.is_active = settlement.is_active = True
    position.save(update_fields=["net_debit_cap", "is_active"])
    settlement.save(update_fields=["is_active"])
    record("ndc_set", subject=participant.name, actor=actor, after={"currency": currency, "ndc": ndc})


def position_with_cap(participant: Participant, currency: str) -> Account:
    """Returns a participant's POSITION account if the account has a net debit cap."""
    position = Account.objects.filter(
        participant=participant, currency=currency, type=Account.Type.POSITION, net_debit_cap__isnull=False
    ).first()
    if position is None:
        raise _no_limit(participant, currency)
    return position


def _no_limit(participant: Participant, currency: str) -> FspiopError:
    return FspiopError(ErrorCode.ID_NOT_FOUND, f"{participant.name} has no limit in {currency} yet")


@transaction.atomic
def change_ndc(
    participant: Participant, *, currency: str, ndc: int, alarm_percentage: int | None, actor: str
) -> Account:
    """Sets a new net debit cap.

    If the new cap is below the present position, the participant cannot make any new reservation.
    """
    position, _ = _lock_pair(participant, currency)
    whole_minor_units.check(ndc, currency)
    if position.net_debit_cap is None:
        raise _no_limit(participant, currency)
    before = {"ndc": position.net_debit_cap, "alarmPercentage": position.alarm_percentage}
    position.net_debit_cap = ndc
    if alarm_percentage is not None:
        position.alarm_percentage = alarm_percentage
    position.changed_at = datetime.now(UTC)
    position.save(update_fields=["net_debit_cap", "alarm_percentage", "changed_at"])
    after = {"currency": currency, "ndc": ndc, "alarmPercentage": position.alarm_percentage}
    record("ndc_changed", subject=participant.name, actor=actor, before=before, after=after)
    return position


@transaction.atomic
def set_account_active(account: Account, *, is_active: bool, actor: str) -> Account:
    """Activates or deactivates a POSITION account."""
    if account.type != Account.Type.POSITION:
        raise FspiopError(ErrorCode.CLIENT_ERROR, "Only position account update is permitted")
    account = Account.objects.select_for_update(no_key=True).get(pk=account.pk)
    _check_open(account)
    before, account.is_active = account.is_active, is_active
    account.save(update_fields=["is_active"])
    record(
        "account_enabled" if is_active else "account_disabled",
        subject=account.participant.name,
        actor=actor,
        before={"isActive": before},
        after={"isActive": is_active, "currency": account.currency},
    )
    return account


def check_takes_funds(account: Account) -> None:
    if account.type != Account.Type.SETTLEMENT:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "Account is not a SETTLEMENT account")


def _settlement_pair(account: Account) -> tuple[Account, Account]:
    check_takes_funds(account)
    _, settlement = _lock_pair(account.participant, account.currency)
    if not settlement.is_active:
        raise FspiopError(ErrorCode.CLIENT_ERROR, "Account is currently set inactive")
    try:
        reconciliation = Account.objects.select_for_update(no_key=True).get(
            participant__is_hub=True, currency=account.currency, type=Account.Type.HUB_RECONCILIATION
        )
    except Account.DoesNotExist:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, f"the hub has no account in {account.currency}") from None
    return settlement, reconciliation


def _post(kind: str, transfer_id: str, debit: Account, credit: Account, amount: int) -> None:
    now = datetime.now(UTC)
    Account.objects.filter(pk=debit.pk).update(posted_debits=F("posted_debits") + amount, changed_at=now)
    Account.objects.filter(pk=credit.pk).update(posted_credits=F("posted_credits") + amount, changed_at=now)
    Entry.objects.create(
        kind=kind,
        debit_account=debit,
        credit_account=credit,
        currency=debit.currency,
        amount=amount,
        transfer_id=transfer_id,
    )


def _same_movement(transfer_id: str, account: Account, kind: str, amount: int) -> bool:
    """Returns whether the ledger contains a movement of funds with this id.

    Raises an error if a movement with this id but different content exists.
    """
    before = FundsMovement.objects.filter(pk=transfer_id).first()
    if before is None:
        return False
    if (before.account_id, before.kind, before.amount) != (account.pk, kind, amount):
        raise FspiopError(ErrorCode.MODIFIED_REQUEST, "transferId: was used with other content")
    return True


def _as_recorded(
    account: Account, transfer_id: str, amount: int, reason: str, extensions: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    recorded = {"transferId": transfer_id, "amount": amount, "currency": account.currency, "reason": reason}
    return recorded | ({"extensions": [list(pair) for pair in extensions]} if extensions else {})


@transaction.atomic
def record_funds_in(
    account: Account,
    *,
    transfer_id: str,
    amount: int,
    reason: str,
    external_reference: str,
    actor: str,
    extensions: Sequence[tuple[str, str]] = (),
) -> None:
    """Records money that arrived at the settlement bank. The liquidity cover increases by `amount` (ten-thousandths).

    A repeated call with the same id does not change the cover again. Refuses a payment that a settlement has recorded.
    """
    settlement, reconciliation = _settlement_pair(account)
    if _same_movement(transfer_id, account, FundsMovement.Kind.FUNDS_IN, amount):
        return
    check_not_recorded(settlement, is_out=False, reference=external_reference)
    whole_minor_units.check(amount, account.currency)
    FundsMovement.objects.create(
        transfer_id=transfer_id,
        account=settlement,
        kind=FundsMovement.Kind.FUNDS_IN,
        amount=amount,
        state="COMMITTED",
        reason=reason,
        external_reference=external_reference,
        completed_at=datetime.now(UTC),
    )
    _post(Entry.Kind.FUNDS_IN, transfer_id, reconciliation, settlement, amount)
    record(
        "funds_in",
        subject=account.participant.name,
        actor=actor,
        after=_as_recorded(account, transfer_id, amount, reason, extensions),
    )


@transaction.atomic
def prepare_funds_out(
    account: Account,
    *,
    transfer_id: str,
    amount: int,
    reason: str,
    external_reference: str,
    actor: str,
    extensions: Sequence[tuple[str, str]] = (),
) -> None:
    """Reserves a withdrawal. Refuses a withdrawal if a position, a reservation or an amount on hold needs the money, or
    if a settlement has recorded this payment."""
    settlement, _ = _settlement_pair(account)
    if _same_movement(transfer_id, account, FundsMovement.Kind.FUNDS_OUT, amount):
        return
    check_not_recorded(settlement, is_out=True, reference=external_reference)
    whole_minor_units.check(amount, account.currency)
    position = Account.objects.get(
        participant=account.participant, currency=account.currency, type=Account.Type.POSITION
    )
    # If the reference names a settlement, the withdrawal is the bank's payment of the amount on hold for this
    # settlement.
    hold = settlement_holds.named_by(settlement, external_reference)
    owed = min(amount, hold.remaining) if hold else 0
    held, used = -queries.value_of(settlement), max(0, queries.value_of(position))
    free = max(0, queries.cover_of(settlement) - used)
    if amount - owed > free or amount > held:
        raise NotFree(min(held, free + (hold.remaining if hold else 0)))
    FundsMovement.objects.create(
        transfer_id=transfer_id,
        account=settlement,
        kind=FundsMovement.Kind.FUNDS_OUT,
        amount=amount,
        state="RESERVED",
        reason=reason,
        external_reference=external_reference,
        hold=hold,
        from_hold=settlement_holds.take(hold, amount) if hold else 0,
    )
    Account.objects.filter(pk=settlement.pk).update(
        pending_debits=F("pending_debits") + amount, changed_at=datetime.now(UTC)
    )
    record(
        "funds_out_reserved",
        subject=account.participant.name,
        actor=actor,
        after=_as_recorded(account, transfer_id, amount, reason, extensions),
    )


def withdrawal_of(account: Account, transfer_id: str, *, locks: bool = False) -> FundsMovement:
    """Returns the withdrawal with this id from a SETTLEMENT account."""
    rows = FundsMovement.objects.select_for_update(no_key=True) if locks else FundsMovement.objects.all()
    movement = rows.filter(pk=transfer_id, account=account, kind=FundsMovement.Kind.FUNDS_OUT).first()
    if movement is None:
        raise FspiopError(ErrorCode.TRANSFER_ID_NOT_FOUND, "transferId: no such withdrawal of this account")
    return movement


@transaction.atomic
def end_funds_out(
    account: Account, *, transfer_id: str, commits: bool, reason: str, actor: str, external_reference: str = ""
) -> None:
    """Commits or aborts a withdrawal. If the hub commits a withdrawal, the money has left the settlement bank.

    `external_reference` is the bank's own reference, which is often unknown in the first step. If `external_reference`
    is empty, the withdrawal keeps the reference from its first step. Does not commit a withdrawal if a settlement has
    recorded this payment.
    """
    settlement, reconciliation = _settlement_pair(account)
    movement = withdrawal_of(settlement, transfer_id, locks=True)
    wanted = "COMMITTED" if commits else "ABORTED"
    if movement.state == wanted:
        return
    if movement.state != "RESERVED":
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"the withdrawal is {movement.state} already")
    movement.state, movement.completed_at = wanted, datetime.now(UTC)
    movement.external_reference = external_reference or movement.external_reference
    if not commits:
        settlement_holds.give_back(movement)
    elif movement.hold_id is None:
        check_not_recorded(settlement, is_out=True, reference=movement.external_reference)
        hold = settlement_holds.named_by(settlement, movement.external_reference)
        if hold is not None:
            movement.hold, movement.from_hold = hold, settlement_holds.take(hold, movement.amount)
    movement.save(update_fields=["state", "completed_at", "external_reference", "hold", "from_hold"])
    Account.objects.filter(pk=settlement.pk).update(
        pending_debits=F("pending_debits") - movement.amount, changed_at=datetime.now(UTC)
    )
    if commits:
        _post(Entry.Kind.FUNDS_OUT, transfer_id, settlement, reconciliation, movement.amount)
    record(
        "funds_out_" + wanted.lower(),
        subject=account.participant.name,
        actor=actor,
        after={
            "transferId": transfer_id,
            "amount": movement.amount,
            "reason": reason,
            "externalReference": movement.external_reference,
        },
    )


@transaction.atomic
def release_hold(account: Account, *, settlement_number: int, reason: str, actor: str) -> None:
    """Releases an amount that was on hold for a settlement, because the participant pays this settlement in another
    way. After the release, the amount is part of the cover again.
    """
    check_takes_funds(account)
    _, settlement = _lock_pair(account.participant, account.currency)
    hold = CoverHold.objects.select_for_update(no_key=True)
    found = hold.filter(account=settlement, settlement_number=settlement_number, remaining__gt=0).first()
    if found is None:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "nothing of this settlement is on hold")
    released, found.remaining, found.released_at = found.remaining, 0, datetime.now(UTC)
    found.save(update_fields=["remaining", "released_at"])
    settlement_holds.add(settlement.pk, -released)
    record(
        "hold_released",
        subject=account.participant.name,
        actor=actor,
        after={
            "settlement": settlement_number,
            "amount": released,
            "currency": account.currency,
            "reason": reason,
        },
    )


@transaction.atomic(durable=True)
def tell_state(*, transfer_id: str, requester: Recipient) -> None:
    """Answers GET /transfers/{ID} with a callback to the requester (FSPIOP API v1.1, section 6.7.1)."""
    outbox.append([_state_answer(transfer_id, requester)])
    transaction.on_commit(lambda: outbox.poke({requester.id}))


def _state_answer(transfer_id: str, requester: Recipient) -> Outgoing:
    hub = HubMessages(settings.HUB_NAME, datetime.now(UTC))
    transfer = store.transfer_by_id(transfer_id)
    if transfer is not None and transfer.is_held and requester.id == transfer.payee_id:
        # The payee DFSP often knows the id from the quote. The answer must not show that the hub holds the transfer.
        transfer = None
    if transfer is not None and requester.id in (transfer.payer_id, transfer.payee_id):
        return state_answer(hub, transfer, requester)
    movement = FundsMovement.objects.select_related("account").filter(pk=transfer_id).first()
    if movement is not None and movement.account.participant_id == requester.id:
        return funds_answer(hub, transfer_id, State(movement.state), movement.completed_at, requester)
    is_known = transfer is not None or movement is not None
    return unknown_answer(hub, "transfers", transfer_id, requester, is_known=is_known)


def reserved_for(participant: Participant) -> int:
    """Returns the number of reserved transfers, conversions and withdrawals in which a participant takes part."""
    mine = Q(payer=participant) | Q(payee=participant)
    transfers = Transfer.objects.filter(mine, state=State.RESERVED.value).count()
    fx_mine = Q(initiator=participant) | Q(fxp=participant)
    conversions = FxTransfer.objects.filter(fx_mine, state__in=[state.value for state in LIVE]).count()
    withdrawals = FundsMovement.objects.filter(account__participant=participant, state="RESERVED").count()
    return transfers + conversions + withdrawals


def reserved_withdrawals(participant: Participant) -> list[FundsMovement]:
    """Returns the participant's funds out that are reserved, with their accounts. The oldest come first."""
    found = FundsMovement.objects.filter(account__participant=participant, state="RESERVED")
    return list(found.select_related("account__participant").order_by("created_at"))


@dataclass(frozen=True, slots=True)
class Owing:
    """The amounts that a participant has reserved and owes in one currency, in ten-thousandths.

    `owed` is the position without the reserved amounts, or 0 if other participants owe money to this participant.
    `on_hold` is the participant's debt to the settlement bank.
    """

    currency: str
    reserved: int
    owed: int
    on_hold: int

    @property
    def is_any(self) -> bool:
        return bool(self.reserved or self.owed or self.on_hold)


def owing_of(participant: Participant) -> list[Owing]:
    """Returns the amounts that a participant has reserved and owes, one record for each currency."""
    return _owing(Account.objects.filter(participant=participant).order_by("currency", "id"))


def _owing(accounts: Iterable[Account]) -> list[Owing]:
    found: dict[str, list[int]] = {}
    for account in accounts:
        sums = found.setdefault(account.currency, [0, 0, 0])
        sums[0] += int(account.pending_debits)
        sums[2] += int(account.on_hold)
        if account.type == Account.Type.POSITION:
            sums[1] += max(0, int(account.posted_debits - account.posted_credits))
    return [Owing(currency, *sums) for currency, sums in sorted(found.items())]


@transaction.atomic
def set_participant_active(participant: Participant, *, is_active: bool, actor: str) -> Participant:
    """Enables or disables a participant.

    With DISABLE_WHILE_OWING=false, refuses to disable a participant that has reserved amounts or owes money.
    """
    if not is_active and not settings.DISABLE_WHILE_OWING:
        accounts = Account.objects.select_for_update(no_key=True).filter(participant=participant).order_by("id")
        if any(owing.is_any for owing in _owing(accounts)):
            raise StillOwes(participant.name)
    return participants.set_active(participant, is_active=is_active, actor=actor)


@transaction.atomic
def close_accounts(participant: Participant, *, actor: str) -> None:
    """Closes all accounts of a participant permanently. Raises an error if one of these accounts has a balance or a
    reservation.

    Accounts of test money may have a balance, because test money is never settled.
    """
    accounts = list(Account.objects.select_for_update(no_key=True).filter(participant=participant).order_by("id"))
    # The caller closes this participant later. This function already locks the participant, because the lock on the
    # audit trail must come last.
    participants.lock_open(participant)
    left = [
        account
        for account in accounts
        if (queries.value_of(account) and account.currency != TEST_CURRENCY)
        or account.pending_debits
        or account.on_hold
    ]
    if left or reserved_for(participant):
        what = ", ".join(f"{account.currency} {account.type}" for account in left) or "what is reserved"
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"not empty: {what}")
    now = datetime.now(UTC)
    open_ones = [account.pk for account in accounts if account.closed_at is None]
    Account.objects.filter(pk__in=open_ones).update(is_active=False, closed_at=now, changed_at=now)
    record("accounts_closed", subject=participant.name, actor=actor, after={"accounts": len(open_ones)})
