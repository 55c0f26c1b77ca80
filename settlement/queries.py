"""Database queries that read settlements, for the settlement API, the commands and the pages."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet

from fspiop.errors import ErrorCode, FspiopError
from ledger.models import Entry, SettlementWindow
from settlement.models import Inclusion, Settlement, SettlementAccount, SettlementModel, WindowContent
from settlement.states import WindowState

_WAITING = (WindowState.CLOSED, WindowState.ABORTED)


def account_types_settled(currency: str) -> list[str]:
    """Returns two kinds of account types: the types that this currency's settlement models settle, and the types to
    which the models move the amounts."""
    models = SettlementModel.objects.filter(Q(currency=currency) | Q(currency=None), is_active=True)
    return [name for pair in models.values_list("ledger_account_type", "settlement_account_type") for name in pair]


def contents_for(model: SettlementModel) -> QuerySet[WindowContent]:
    """Returns the window contents that a settlement model settles.

    A settlement model settles only window contents in the model's own currency. The default settlement model settles
    every currency without a settlement model of its own.
    """
    contents = WindowContent.objects.filter(ledger_account_type=model.ledger_account_type)
    if model.currency is not None:
        return contents.filter(currency=model.currency)
    named = SettlementModel.objects.filter(
        is_active=True, currency__isnull=False, ledger_account_type=model.ledger_account_type
    )
    return contents.exclude(currency__in=named.values("currency"))


def windows_waiting_for(model_name: str) -> list[int]:
    """Returns the closed windows with contents that this model can still settle. No settlement includes these contents
    yet."""
    model = SettlementModel.objects.filter(name=model_name).first()
    if model is None:
        return []
    return sorted(set(_waiting(model).values_list("window_id", flat=True)))


def _waiting(model: SettlementModel) -> QuerySet[WindowContent]:
    return contents_for(model).filter(state__in=_WAITING)


def models_for(window: SettlementWindow) -> QuerySet[SettlementModel]:
    """Returns the models that can settle contents of this closed window. No settlement includes these contents yet."""
    deferred = SettlementModel.objects.filter(is_active=True, delay=SettlementModel.Delay.DEFERRED)
    waiting = [model.pk for model in deferred if _waiting(model).filter(window=window).exists()]
    return deferred.filter(pk__in=waiting).order_by("name")


def with_waiting_contents(windows: Iterable[SettlementWindow]) -> set[int]:
    """Returns the numbers of those of these windows that have contents which no settlement includes yet."""
    waiting = WindowContent.objects.filter(window__in=windows, state__in=_WAITING)
    return set(waiting.values_list("window_id", flat=True))


def windows(
    *,
    participant_id: int | None = None,
    state: str | None = None,
    from_date: datetime | None = None,
    to_date: datetime | None = None,
    currency: str | None = None,
) -> QuerySet[SettlementWindow]:
    """Returns the settlement windows that match all filters.

    A filter for a participant or currency matches a window that contains a commit of this participant or currency.
    """
    found = SettlementWindow.objects.prefetch_related("contents__inclusions").order_by("id")
    found = found.filter(**_given(state=state, created_at__gte=from_date, created_at__lte=_end_of(to_date)))
    touched: dict[str, Any] = {}
    entries = Entry.objects.filter(window_id=OuterRef("pk"))
    if participant_id is not None:
        touched["totals__account__participant_id"] = participant_id
        entries = entries.filter(
            Q(debit_account__participant_id=participant_id) | Q(credit_account__participant_id=participant_id)
        )
    if currency is not None:
        touched["currency"] = currency
        entries = entries.filter(currency=currency)
    if touched:
        totalled = Q(pk__in=WindowContent.objects.filter(**touched).values("window_id"))
        found = found.filter(totalled | Q(Exists(entries), totalled_at=None))
    return found


def settlements(
    *,
    participant_id: int | None = None,
    account_id: int | None = None,
    window_id: int | None = None,
    state: str | None = None,
    currency: str | None = None,
    from_date: datetime | None = None,
    to_date: datetime | None = None,
    from_window_date: datetime | None = None,
    to_window_date: datetime | None = None,
) -> QuerySet[Settlement]:
    """Returns the settlements that match all given filters, the oldest first."""
    found = with_parts().order_by("id")
    found = found.filter(**_given(state=state, created_at__gte=from_date, created_at__lte=_end_of(to_date)))
    accounts = _given(account__participant_id=participant_id, account_id=account_id, account__currency=currency)
    if accounts:
        found = found.filter(pk__in=SettlementAccount.objects.filter(**accounts).values("settlement_id"))
    inside = _given(
        content__window_id=window_id,
        content__window__created_at__gte=from_window_date,
        content__window__created_at__lte=_end_of(to_window_date),
    )
    if inside:
        found = found.filter(pk__in=Inclusion.objects.filter(**inside).values("settlement_id"))
    return found


def _given(**filters: Any) -> dict[str, Any]:
    return {name: value for name, value in filters.items() if value is not None}


def _end_of(moment: datetime | None) -> datetime | None:
    """Returns the end of the millisecond that contains this time. The API shows all times of one millisecond as the
    same time."""
    if moment is None or moment.microsecond % 1000:
        return moment
    return moment.replace(microsecond=moment.microsecond + 999)


def with_parts() -> QuerySet[Settlement]:
    """Returns these settlements together with their windows, contents and accounts. Runs a fixed number of SQL
    statements."""
    return Settlement.objects.select_related("model").prefetch_related(
        Prefetch("contents", WindowContent.objects.select_related("window").order_by("window_id", "id")),
        Prefetch(
            "accounts",
            SettlementAccount.objects.select_related("account__participant").order_by("account__participant_id", "id"),
        ),
    )


def settlement(number: int) -> Settlement:
    """Returns one settlement together with its windows, contents and accounts. Raises FspiopError 3100 if the
    settlement does not exist."""
    found = with_parts().filter(pk=number).first()
    if found is None:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "Settlement not found")
    return found
