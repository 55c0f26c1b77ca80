"""Pages of long tables in the order of arrival, read along an index and with a limit.

If a condition has no index (an amount, a rare error), the search for a page reads at most MOST rows and returns how far
back it went. A page then costs the same however long the table is, and writes need no further index.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from django.db.models import Model, Q, QuerySet

MOST = 50_000
_BATCH = 1000

T = TypeVar("T", bound=Model)
Key = tuple[datetime, str]  # the time of a row's arrival, and its id


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """The latest rows that match. `stopped_at`: the search ended at this time, before the end of the table."""

    rows: Sequence[T]
    stopped_at: datetime | None = None


def key_of(row: Model) -> Key:
    return row.received_at, row.pk  # type: ignore[attr-defined]


def read_key(text: str) -> Key | None:
    """The key in a page's address, or None if the text is not a key."""
    moment, _space, row_id = text.partition(" ")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (at, row_id[:36]) if at.tzinfo and "\0" not in row_id else None


def latest(sources: "Sequence[QuerySet[T]]", condition: Q, *, before: Key | None, size: int) -> Found[T]:
    """The latest rows first, after the last row of the previous page. Each source is read along its own index."""
    found: list[T] = []
    stops: list[datetime] = []
    for source in sources:
        rows, stop = _walk(_after(source, before), condition, size)
        found += rows
        stops += [stop] if stop else []
    stop = max(stops, default=None)
    # The search that continues from the nearest stop finds the rows beyond it.
    found = [row for row in found if stop is None or key_of(row)[0] >= stop]
    found.sort(key=key_of, reverse=True)
    return Found(found[:size], stop if len(found) < size else None)


def _after(rows: "QuerySet[T]", before: Key | None) -> "QuerySet[T]":
    if before is None:
        return rows
    at, row_id = before
    # The index can use the first condition. The second excludes rows of the same moment that were already shown.
    return rows.filter(received_at__lte=at).filter(Q(received_at__lt=at) | Q(pk__lt=row_id))


def _walk(rows: "QuerySet[T]", condition: Q, size: int) -> tuple[list[T], datetime | None]:
    """The first rows that match, and the time at which the search ended if it did not find enough."""
    edge = None
    if condition:
        moments = rows.order_by("-received_at").values_list("received_at", flat=True)
        edge = next(iter(moments[MOST - 1 : MOST]), None)
        rows = rows.filter(condition)
    if edge is not None:
        rows = rows.filter(received_at__gte=edge)
    found = list(rows.order_by("-received_at", "-pk")[:size])
    return found, edge if len(found) < size else None


def all_of(read: Callable[[Key | None, int], Found[T]], *, most: int) -> Iterator[Sequence[T]]:
    """Yields all rows in batches that are read by key, so that no statement takes long."""
    before, left = None, most
    while left > 0:
        batch = read(before, min(_BATCH, left))
        yield batch.rows
        left -= len(batch.rows)
        if batch.stopped_at is not None:
            before = (batch.stopped_at, "")
        elif len(batch.rows) < _BATCH:
            return
        else:
            before = key_of(batch.rows[-1])
