"""Adds the payments that have ended since the last run to the history."""

import time
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from hub.sweeps import isolating_batches
from portal.history import statements
from portal.history.statements import LOOKUP, TABLES, Source
from portal.models import HistoryMark

_MOST = 5000  # the maximum number of rows that one database transaction counts
_FOR_S = 3.0  # the longest time that one run spends on one source; the next run continues where this run stopped
_TIMEOUT = "SET LOCAL statement_timeout = '60s'"  # the usual, shorter limit is for requests of waiting clients
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

# An SQL statement first writes the time of arrival. The database transaction of this statement gets an id at most
# `DATABASE_STATEMENT_TIMEOUT_MS` later. Once the transaction has this id, pg_stat_activity shows when the transaction
# began. This information stays until all rows of the transaction are visible.
HORIZON_S = 60
_HORIZON = """
    SELECT least(clock_timestamp() - make_interval(secs => %s),
                 (SELECT min(xact_start) FROM pg_stat_activity
                  WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()))
"""


def fold(*, for_s: float = _FOR_S, most: int = _MOST) -> int:
    """Counts the transfers, quotes and lookups that ended since the last run. Returns how many database transactions
    have run. One database transaction counts at most `most` rows.

    If an error occurs for one source, the run continues with the other sources. Two simultaneous runs count nothing
    twice: the second run leaves out a source that the first run is counting.
    """
    return isolating_batches.each(
        *(_run(source, for_s=for_s, most=most) for source in TABLES),
        lambda: _repeat(lambda: _fold_lookups(most), for_s=for_s),
    )


def _run(source: Source, *, for_s: float, most: int) -> Any:
    def run() -> int:
        arrived = _repeat(lambda: _fold_arrived(source, most), for_s=for_s)
        return arrived + _repeat(lambda: _fold_open(source, most), for_s=for_s)

    return run


def _repeat(work: Any, *, for_s: float) -> int:
    done, until = 0, time.monotonic() + for_s
    while work():
        done += 1
        if time.monotonic() > until:
            break
    return done


def horizon() -> datetime:
    """Returns a time before which no new row can appear: every earlier row is visible, or was rolled back."""
    found: datetime = run(_HORIZON, [HORIZON_S])[0]
    return found


def locked_mark(source: str) -> HistoryMark | None:
    """Locks a source, and returns its mark. The mark shows how far the history has read the source. Returns None if
    another process is reading the source."""
    with connection.cursor() as cursor:
        cursor.execute(_TIMEOUT)
    HistoryMark.objects.bulk_create(
        [HistoryMark(source=source, up_to=_BEGINNING, time_zone=settings.HISTORY_TIME_ZONE)], ignore_conflicts=True
    )
    return HistoryMark.objects.select_for_update(skip_locked=True).filter(pk=source).first()


@transaction.atomic(durable=True)
def _fold_arrived(source: Source, most: int) -> bool:
    """Counts the next slice. Returns whether another slice is possible."""
    mark = locked_mark(source.name)
    if mark is None:
        return False
    span = {"since": mark.up_to, "horizon": horizon(), "most": most}
    end = run(statements.END_OF_SLICE.format(source), span)[0]
    if end is None:
        return False
    change(statements.count_slice(source), span | {"end": end, "source": source.name, "zone": mark.time_zone})
    mark.up_to = end
    mark.save(update_fields=["up_to"])
    return True


@transaction.atomic(durable=True)
def _fold_open(source: Source, most: int) -> bool:
    """Counts the rows that were still open when the history first read them, but have ended since then. Returns whether
    there are more rows."""
    mark = locked_mark(source.name)
    if mark is None:
        return False
    place: dict[str, Any] = {"source": source.name, "after": mark.open_position, "zone": mark.time_zone}
    last, looked_at = run(statements.LOOKED_AT, place | {"most": most})
    if looked_at:
        change(statements.count_ended(source), place | {"last": last})
    mark.open_position = last if looked_at == most else ""
    mark.save(update_fields=["open_position"])
    return looked_at == most


@transaction.atomic(durable=True)
def _fold_lookups(most: int) -> bool:
    mark = locked_mark(LOOKUP)
    if mark is None or run("SELECT 1 FROM directory_endedlookup LIMIT 1", {}) is None:
        return False
    change(statements.COUNT_LOOKUPS, {"most": most, "source": LOOKUP, "zone": mark.time_zone})
    mark.up_to = datetime.now(UTC)
    mark.save(update_fields=["up_to"])
    return True


def run(statement: str, parameters: Any) -> Any:
    """Runs an SQL statement and returns the first row of the result."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone()


def change(statement: str, parameters: Any) -> int:
    """Runs an SQL statement and returns the number of changed rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.rowcount
