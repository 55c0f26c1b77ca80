"""Closing settlement windows."""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import connection, transaction
from django.db.models import Max

from fspiop.errors import ErrorCode, FspiopError
from hub.audit import record
from ledger.models import Entry, SettlementWindow
from ledger.windows import WINDOW_LOCK


@dataclass(frozen=True, slots=True)
class Closed:
    """A window that was closed, and the one that opened in the same transaction."""

    closed: SettlementWindow
    opened: SettlementWindow


@transaction.atomic(durable=True)
def close_window(*, reason: str, actor: str, window_id: int | None = None) -> Closed:
    """Closes the open window and opens the next in one transaction; commits wait for it for milliseconds.

    Raises FspiopError 3100 where the window named is not the open one, or nothing was committed in it.
    """
    with connection.cursor() as cursor:
        # Exclusive: no commit is under way, and those that come read the next window (ledger.windows).
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [WINDOW_LOCK])
    window = SettlementWindow.objects.get(state=SettlementWindow.State.OPEN)
    if window_id is not None and window.pk != window_id:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"Window {window_id} is not open; {window.pk} is")
    if not Entry.objects.filter(window=window).exists():
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"Window {window.pk} is empty")
    window.state = SettlementWindow.State.CLOSED
    window.reason = reason
    window.closed_at = datetime.now(UTC)
    window.last_entry_id = Entry.objects.aggregate(last=Max("id"))["last"]
    window.save(update_fields=["state", "reason", "closed_at", "last_entry_id"])
    opened = SettlementWindow.objects.create()
    record(
        "window_closed",
        subject=f"window {window.pk}",
        actor=actor,
        after={"reason": reason, "opened": opened.pk},
    )
    return Closed(window, opened)
