"""Closes settlement windows, and computes the totals of closed windows."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from django.db import connection, transaction
from django.db.models import Max

from fspiop.errors import ErrorCode, FspiopError
from hub.audit import record
from hub.sweeps import isolating_batches
from hub.sweeps.queries import is_skipped
from ledger.models import Entry, SettlementWindow
from ledger.window_lock import WINDOW_LOCK
from settlement import gross_settlement, window_totals_and_commits
from settlement.models import ContentTotal, WindowContent
from settlement.netting import obligations
from settlement.states import WindowState, window_state

_BATCH = "windows"


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed window, and the next window, which the same database transaction has opened."""

    closed: SettlementWindow
    opened: SettlementWindow


def close_window(*, reason: str, actor: str, window_id: int | None = None) -> Closed:
    """Closes the open settlement window, opens the next window, and computes the totals of the closed window.

    During the closing, commits wait for the next window, but only for a few milliseconds. Raises FspiopError 3100 if
    `window_id` is not the open window, or if the window has no commits.
    """
    done = _close(reason=reason, actor=actor, window_id=window_id)
    # The window stays closed even if the computation of the totals fails. In this case the periodic task computes the
    # totals later, and operators see the fault.
    isolating_batches.one_by_one(_BATCH, {str(done.closed.pk): done.closed.pk}, total_up, are_all=False)
    return Closed(SettlementWindow.objects.get(pk=done.closed.pk), done.opened)


@transaction.atomic(durable=True)
def _close(*, reason: str, actor: str, window_id: int | None) -> Closed:
    with connection.cursor() as cursor:
        # While this database transaction holds the exclusive lock, no other database transaction is committing a
        # transfer. Later commits read the next window: see `ledger.window_lock`.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [WINDOW_LOCK])
    window = SettlementWindow.objects.get(state=SettlementWindow.State.OPEN)
    if window_id is not None and window.pk != window_id:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"Window {window_id} is not open; {window.pk} is")
    if not Entry.objects.filter(window=window).exists():
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"Window {window.pk} is empty")
    window.state = SettlementWindow.State.CLOSED
    window.reason = reason
    window.closed_at = window.changed_at = datetime.now(UTC)
    window.last_entry_id = Entry.objects.aggregate(last=Max("id"))["last"]
    window.save(update_fields=["state", "reason", "closed_at", "changed_at", "last_entry_id"])
    opened = SettlementWindow.objects.create()
    record(
        "window_closed",
        subject=f"window {window.pk}",
        actor=actor,
        after={"reason": reason, "opened": opened.pk},
    )
    return Closed(window, opened)


@transaction.atomic(durable=True)
def total_up(window_id: int) -> SettlementWindow:
    """Computes a closed window's totals. If the totals already exist, the call does nothing, because no entry is ever
    added to a closed window."""
    window_totals_and_commits.allow_time_for_totals()
    return _total_up(SettlementWindow.objects.select_for_update(no_key=True).get(pk=window_id))


def _total_up(window: SettlementWindow) -> SettlementWindow:
    window_id = window.pk
    if window.state == SettlementWindow.State.OPEN or window.totalled_at is not None:
        return window
    immediate = {(model.currency, model.ledger_account_type): model for model in gross_settlement.immediate_models()}
    for model in immediate.values():
        gross_settlement.settle_window(model, window_id)
    states = []
    for (currency, account_type), rows in groupby(
        window_totals_and_commits.window_totals(window_id), key=lambda row: row[:2]
    ):
        totals = [total for _, _, total in rows]
        obligations(totals)  # this call asserts that the totals add up to zero
        is_gross = (currency, account_type) in immediate
        content = WindowContent.objects.create(
            window=window,
            currency=currency,
            ledger_account_type=account_type,
            is_gross=is_gross,
            state=WindowState.SETTLED if is_gross else WindowState.CLOSED,
        )
        ContentTotal.objects.bulk_create(
            ContentTotal(content=content, account_id=total.account_id, debits=total.debits, credits=total.credits)
            for total in totals
        )
        if not is_gross:
            states.append(content.state)
    window.state = window_state(states)
    window.totalled_at = datetime.now(UTC)
    window.save(update_fields=["state", "totalled_at"])
    return window


def total_up_what_is_left() -> int:
    """Computes the missing totals of closed windows. Returns the number of windows for which this call has computed
    totals."""
    return isolating_batches.in_groups(_BATCH, find=_find_left, work=_total_up_some, most=1)


def _find_left(most: int) -> list[str]:
    left = SettlementWindow.objects.filter(totalled_at=None).exclude(state=SettlementWindow.State.OPEN)
    found = left.exclude(is_skipped(_BATCH)).order_by("pk")
    return [str(number) for number in found.values_list("pk", flat=True)[:most]]


@transaction.atomic(durable=True)
def _total_up_some(window_ids: list[str]) -> int:
    window_totals_and_commits.allow_time_for_totals()
    # The process that closed the window can still hold the lock of the window's row. Without SKIP LOCKED, all workers
    # would wait for this process.
    free = SettlementWindow.objects.select_for_update(no_key=True, skip_locked=True).filter(pk__in=window_ids)
    return len([_total_up(window) for window in free])
