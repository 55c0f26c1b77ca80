"""Creates and changes settlement models and their account types. A scheme rarely changes its settlement models."""

from typing import Any

from django.db import IntegrityError, connection, transaction

from fspiop import money
from fspiop.errors import ErrorCode, FspiopError
from hub.audit import record
from hub.sweeps.store import forget_all
from hub.test_currency import TEST_CURRENCY
from ledger import accounts_and_funds as ledger
from ledger.models import Entry, SettlementWindow
from ledger.window_lock import WINDOW_LOCK
from settlement import gross_settlement
from settlement.models import LedgerAccountType, SettlementModel, WindowContent
from settlement.states import WindowState

_PERMITTED = {
    ("IMMEDIATE", "GROSS", "BILATERAL"),
    ("DEFERRED", "GROSS", "BILATERAL"),
    ("DEFERRED", "NET", "BILATERAL"),
    ("DEFERRED", "NET", "MULTILATERAL"),
}
# For each account type on the left, settlement moves the amounts to accounts of the type on the right.
_SETTLED_INTO = {"POSITION": "SETTLEMENT", "INTERCHANGE_FEE": "INTERCHANGE_FEE_SETTLEMENT"}


def settled_into(ledger_account_type: str) -> str:
    """Settlement moves amounts from accounts of this type to accounts of another type. Returns the other type."""
    return _SETTLED_INTO.get(ledger_account_type, "SETTLEMENT")


@transaction.atomic
def create_model(
    *,
    name: str,
    granularity: str,
    interchange: str,
    delay: str,
    currency: str | None,
    require_liquidity_check: bool,
    auto_position_reset: bool,
    ledger_account_type: str,
    settlement_account_type: str,
    actor: str,
) -> SettlementModel:
    """Creates an active settlement model. Also opens the accounts that participants need for the new model."""
    if SettlementModel.objects.filter(name=name).exists():
        raise _refused("Settlement Model already exists")
    if (delay, granularity, interchange) not in _PERMITTED:
        raise _refused(f"{delay} {granularity} {interchange} is not a supported settlement model")
    if currency is not None and currency not in money.CURRENCIES:
        raise _refused(f"currency: {currency} is not an ISO 4217 code")
    if currency == TEST_CURRENCY:
        raise _refused(f"currency: {TEST_CURRENCY} is for tests, and is never settled")
    _check_types(ledger_account_type, settlement_account_type)
    is_immediate = delay == SettlementModel.Delay.IMMEDIATE
    if is_immediate and (currency is None or ledger_account_type != "POSITION"):
        raise _refused("an immediate model needs a currency, and must settle the POSITION account")
    if is_immediate:
        _refuse_while_unsettled(currency or "")
    try:
        with transaction.atomic():
            model = SettlementModel.objects.create(
                name=name,
                granularity=granularity,
                interchange=interchange,
                delay=delay,
                currency=currency,
                require_liquidity_check=require_liquidity_check,
                auto_position_reset=auto_position_reset,
                ledger_account_type=ledger_account_type,
                settlement_account_type=settlement_account_type,
            )
    except IntegrityError:
        raise _refused(
            f"Settlement Model already exists for {currency or 'all currencies'} and {ledger_account_type}"
        ) from None
    ledger.open_missing_accounts(currency)
    record("settlement_model_created", subject=name, actor=actor, after=_shown(model))
    return model


@transaction.atomic
def set_model_active(name: str, *, is_active: bool, actor: str) -> SettlementModel:
    """Enables or disables a settlement model. Refuses to change an immediate model while a window is unsettled."""
    model = SettlementModel.objects.select_for_update().filter(name=name).first()
    if model is None:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, "Settlement Model does not exist", http_status=400)
    if model.is_active == is_active:
        return model
    if model.delay == SettlementModel.Delay.IMMEDIATE:
        _refuse_while_unsettled(model.currency or "")
    before, model.is_active = _shown(model), is_active
    try:
        with transaction.atomic():
            model.save(update_fields=["is_active"])
    except IntegrityError:
        raise _refused("another active model settles the same accounts") from None
    if is_active:
        ledger.open_missing_accounts(model.currency)
    else:
        forget_all(gross_settlement.batch_of(model))  # no commit is left to settle
    record("settlement_model_changed", subject=name, actor=actor, before=before, after=_shown(model))
    return model


@transaction.atomic
def create_account_type(
    *, name: str, description: str, is_active: bool, is_settleable: bool, actor: str
) -> LedgerAccountType:
    """Adds an account type that settlement models can use. When a settlement model uses a new type, the hub opens
    accounts of this type."""
    terms = {"description": description, "is_active": is_active, "is_settleable": is_settleable}
    made, is_new = LedgerAccountType.objects.get_or_create(name=name, defaults=terms)
    if not is_new:
        raise _refused("Ledger Account Type already exists")
    record("ledger_account_type_created", subject=name, actor=actor, after={"isSettleable": is_settleable})
    return made


def _check_types(ledger_account_type: str, settlement_account_type: str) -> None:
    known = LedgerAccountType.objects.filter(is_active=True)
    if not known.filter(name=ledger_account_type, is_settleable=True).exists():
        raise _refused(f"ledgerAccountType: {ledger_account_type} is not an account type that can be settled")
    wanted = _SETTLED_INTO.get(ledger_account_type)
    if wanted is not None and settlement_account_type != wanted:
        raise _refused(f"settlementAccountType: {ledger_account_type} must be settled into {wanted}")
    if not known.filter(name=settlement_account_type).exists():
        raise _refused(f"settlementAccountType: {settlement_account_type} is not an account type")


def _refuse_while_unsettled(currency: str) -> None:
    """Raises an error if a window is unsettled. The hub must settle all commits of one currency in a window in the same
    way.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [WINDOW_LOCK])
    open_windows = SettlementWindow.objects.filter(totalled_at=None)
    waiting = WindowContent.objects.filter(currency=currency, ledger_account_type="POSITION")
    if (
        Entry.objects.filter(window__in=open_windows, currency=currency).exists()
        or waiting.exclude(state=WindowState.SETTLED).exists()
    ):
        raise _refused(f"close and settle the windows that hold transfers in {currency} first")


def _shown(model: SettlementModel) -> dict[str, Any]:
    return {
        "granularity": model.granularity,
        "interchange": model.interchange,
        "delay": model.delay,
        "currency": model.currency,
        "requireLiquidityCheck": model.require_liquidity_check,
        "autoPositionReset": model.auto_position_reset,
        "ledgerAccountType": model.ledger_account_type,
        "settlementAccountType": model.settlement_account_type,
        "isActive": model.is_active,
    }


def _refused(why: str) -> FspiopError:
    return FspiopError(ErrorCode.VALIDATION_ERROR, why)
