"""Reads pages of long tables in the order of arrival, by an index and with a limit.

Some search conditions have no index, for example the condition of a search for a rare error. If a search condition has
no index, a search reads at most MOST rows, and returns the arrival time of the last row. The cost of a page does not
depend on the length of the table. The table needs no additional index.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from django.db.models import Model, Q, QuerySet

MOST = 50_000
_BATCH = 250
_FIRST_WIDTH = 2  # the first read covers this many times the needed number of rows
_WIDER = 8  # each further read covers this many times the previous number of rows

T = TypeVar("T", bound=Model)
Key = tuple[datetime, str]  # the time of a row's arrival, and its id


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """The latest matching rows.

    If the search stopped early, `stopped_at` and `stopped_id` are the key of the last row that the search read.
    """

    rows: Sequence[T]
    stopped_at: datetime | None = None
    stopped_id: str = ""


def key_of(row: Model) -> Key:
    """Returns the key of a row. If a row of another table led to this row, returns the key of that other row."""
    found: Key | None = getattr(row, "found_by", None)
    return found or (row.received_at, row.pk)  # type: ignore[attr-defined]


def read_key(text: str) -> Key | None:
    """Reads the key in a page's address. Returns None if the text is not a key."""
    moment, _space, row_id = text.partition(" ")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (at, row_id[:36]) if at.tzinfo and "\0" not in row_id else None


def latest(sources: "Sequence[QuerySet[T]]", condition: Q, *, before: Key | None, size: int) -> Found[T]:
    """Returns the matching rows after the key `before`, with the latest first.

    Reads each source separately, by an index.
    """
    return merged([Source(source, condition) for source in sources], before=before, size=size)


@dataclass(frozen=True, slots=True)
class Source(Generic[T]):
    """Rows that an index finds, and a condition without an index. `most` is the maximum number of rows to read for the
    condition. If `most` is None, this maximum is MOST.
    """

    rows: "QuerySet[T]"
    condition: Q = field(default_factory=Q)
    most: int | None = None


def merged(sources: "Sequence[Source[T]]", *, before: Key | None, size: int) -> Found[T]:
    """Works like `latest`, but each source can have a separate condition, or be a different table."""
    found: list[T] = []
    stops: list[datetime] = []
    for source in sources:
        rows, stop = _walk(_after(source.rows, before), source.condition, size, source.most or MOST)
        found += rows
        stops += [stop] if stop else []
    stop = max(stops, default=None)
    # The next page continues at the latest of these times, so the next page also finds the rows that this page leaves
    # out.
    found = [row for row in found if stop is None or key_of(row)[0] >= stop]
    found.sort(key=key_of, reverse=True)
    return Found(found[:size], stop if len(found) < size else None)


def _after(rows: "QuerySet[T]", before: Key | None) -> "QuerySet[T]":
    if before is None:
        return rows
    at, row_id = before
    # The index can use the first condition. The second condition excludes rows with an equal time that were already
    # shown.
    return rows.filter(received_at__lte=at).filter(Q(received_at__lt=at) | Q(pk__lt=row_id))


def _walk(rows: "QuerySet[T]", condition: Q, size: int, most: int) -> tuple[list[T], datetime | None]:
    """Returns the first matching rows.

    If the search stopped before it found enough rows, also returns the time of the last row that it read. Most
    conditions exclude few rows, so the first read covers a small multiple of the needed number of rows. If these rows
    are not enough, the search reads more.
    """
    if not condition:
        return list(rows.order_by("-received_at", "-pk")[:size]), None
    moments = rows.order_by("-received_at").values_list("received_at", flat=True)
    matching = rows.filter(condition).order_by("-received_at", "-pk")
    width = min(_FIRST_WIDTH * size, most)
    while True:
        edge = next(iter(moments[width - 1 : width]), None)
        found = list((matching if edge is None else matching.filter(received_at__gte=edge))[:size])
        if len(found) >= size or edge is None:
            return found, None
        if width >= most:
            return found, edge
        width = min(_WIDER * width, most)


def all_of(read: Callable[[Key | None, int], Found[T]], *, most: int) -> Iterator[Sequence[T]]:
    """Yields all rows in batches, so that no SQL statement takes long.

    Each batch begins after the last row of the previous batch.
    """
    before, left = None, most
    while left > 0:
        batch = read(before, min(_BATCH, left))
        yield batch.rows
        left -= len(batch.rows)
        if batch.stopped_at is not None:
            before = (batch.stopped_at, batch.stopped_id)
        elif len(batch.rows) < _BATCH:
            return
        else:
            before = key_of(batch.rows[-1])
