"""Runs a periodic batch: processes many rows in one database transaction.

If this transaction fails, this module separates faulty rows from the other rows. The module divides a failed group into
halves, and divides each failed half again, until each faulty row is alone. The module skips and logs faulty rows, and
records them in a table (`hub.sweeps.models`). After a pause, the module tries a faulty row again. With each further
failure of a row, the row's pause becomes longer. A tick has a time limit. If a failed group is not completely divided
at this limit, the module skips all remaining rows of the group. So the next tick begins with other rows.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import structlog
from django.db import DatabaseError, close_old_connections
from psycopg import errors as pg
from redis.exceptions import RedisError

from hub.sql_execution import is_away, is_of_some_rows, is_outdated
from hub.sweeps import store

T = TypeVar("T")
Find = Callable[[int], list[str]]
Work = Callable[[list[str]], int]

log = structlog.get_logger("sweeps")

# The time limits of a tick, in seconds: for new rows, and for rows that are tried again. A tick does not interrupt a
# group in progress. All batches of a Celery task together must take much less time than CELERY_TASK_TIME_LIMIT.
_FOR_S = 5.0
_AGAIN_FOR_S = 2.0
_LONGEST = 300


class Busy(Exception):
    """Raised if another process is running the same batch now. No row is the cause of this error."""


def in_groups(batch: str, *, find: Find, work: Work, most: int, for_s: float | None = None) -> int:
    """Calls `work` with the rows that `find` returns, at most `most` rows in one call. Returns the sum of the results
    of `work`. `find` must leave out skipped rows (`hub.sweeps.queries`). `work` must be one database transaction, and
    must ignore rows that another process has processed meanwhile. The function raises an error only if its cause, such
    as a database that is down, prevents the work for all rows. If `for_s` is set, the limits of a tick are at most this
    number of seconds each.
    """
    for_s = _FOR_S if for_s is None else for_s
    try:
        done, were_found = _work_on_new(batch, find, work, most, for_s)
        if store.skips_any(batch):
            if were_found:
                store.forget(batch, [store.ALL])
            done += _try_again(batch, work, most, min(_AGAIN_FOR_S, for_s))
        return done
    except Busy:
        return 0


def in_order(batch: str, *, find: Find, work: Work, most: int, for_s: float) -> int:
    """Works like `in_groups`, but stops at the first row that fails, because later rows depend on the failed row."""
    skipped, until = store.standing(batch), time.monotonic() + for_s
    done, size = 0, most
    while rows := find(size):
        if not skipped.get(rows[0], True):
            break
        rows = rows[:1] if rows[0] in skipped else rows
        try:
            done += work(rows)
        except Exception as error:
            if is_about_all(error):
                raise
            if len(rows) == 1:
                _skip(batch, rows, error)
                break
            size = len(rows) // 2
        else:
            if skipped:
                store.forget(batch, rows)
            size = min(most, size * 2)
        if time.monotonic() > until:
            break
    return done


def one_by_one(batch: str, rows: Mapping[str, T], work: Callable[[T], object], *, are_all: bool = True) -> None:
    """Processes a few rows one by one. `rows` maps keys to rows. Leaves out rows that are skipped at present. `are_all`
    means that `rows` contains all existing rows. If `are_all` is true, the function deletes the stored failures of all
    rows that are not in `rows`.
    """
    skipped = store.standing(batch)
    well = [row for row in skipped if row not in rows] if are_all else []
    for key, row in rows.items():
        if not skipped.get(key, True):
            continue
        try:
            work(row)
        except Exception as error:
            if is_about_all(error):
                raise
            _skip(batch, [key], error)
        else:
            if key in skipped:
                well.append(key)
    if well:
        store.forget(batch, well)


def each(*ticks: Callable[[], int]) -> int:
    """Runs all these ticks, even if some of them fail. After that, raises the error of the first failed tick, or
    returns the sum of all results.
    """
    done, first = 0, None
    for tick in ticks:
        try:
            done += tick()
        except Exception as error:
            first = first or error
            log.warning("tick_failed", tick=getattr(tick, "__qualname__", repr(tick)), why=why(error))
            close_old_connections()
    if first is not None:
        raise first
    return done


def _work_on_new(batch: str, find: Find, work: Work, most: int, for_s: float) -> tuple[int, bool]:
    """Processes rows that are not skipped. Returns the sum of the results, and whether `find` succeeded."""
    until = time.monotonic() + for_s
    done, tried, held = 0, set[str](), 0
    while True:
        asked_for = most + held
        try:
            found = find(asked_for)
        except Exception as error:
            if is_about_all(error):
                raise
            _skip(batch, [store.ALL], error)
            return done, False
        rows = [row for row in found if row not in tried][:most]
        held = sum(row in tried for row in found)  # another process has locked these rows
        if rows:
            done += _work_apart(batch, rows, work, until)[0]
        tried.update(rows)
        if len(found) < asked_for or time.monotonic() > until:
            break
    return done, True


def _try_again(batch: str, work: Work, most: int, for_s: float) -> int:
    until = time.monotonic() + for_s
    done, size = 0, 1
    while time.monotonic() < until and (rows := store.claim(batch, size)):
        now_done, is_well = _work_apart(batch, rows, work, until, is_again=True)
        done += now_done
        size = min(most, size * 2) if is_well else 1
    return done


def _work_apart(batch: str, rows: list[str], work: Work, until: float, *, is_again: bool = False) -> tuple[int, bool]:
    """Divides a failed group into halves and processes each half. Returns the sum of the results, and whether all rows
    succeeded."""
    done, failure = 0, None
    groups = deque([rows])
    while groups:
        if failure is not None and time.monotonic() > until:
            _skip(batch, [row for group in groups for row in group], failure, is_alone=False)
            break
        group = groups.popleft()
        try:
            done += work(group)
        except Exception as error:
            if is_about_all(error):
                raise
            failure = error
            if len(group) == 1:
                _skip(batch, group, error)
            else:
                half = len(group) // 2
                groups += [group[:half], group[half:]]
        else:
            if is_again:
                store.forget(batch, group)
    return done, failure is None


def _skip(batch: str, rows: Collection[str], error: Exception, *, is_alone: bool = True) -> None:
    reason = why(error)
    # The other parts of the error can contain, for example, a customer's telephone number.
    trace = None if isinstance(error, DatabaseError) else error
    if is_alone:
        for row in rows:
            log.error("row_skipped", batch=batch, row=row, why=reason, exc_info=trace)
    else:
        log.warning("rows_not_told_apart_in_time", batch=batch, rows=len(rows), why=reason)
    store.remember(batch, rows, reason, attempts=int(is_alone))


def why(error: BaseException) -> str:
    """Returns the text of an error for operators.

    Leaves out the details of an error from PostgreSQL, because these details can contain values of the row.
    """
    cause = error.__cause__ if isinstance(error, DatabaseError) else None
    if isinstance(cause, pg.Error):
        text = f"{type(cause).__name__}: {cause.diag.message_primary or cause}"
    else:
        text = f"{type(error).__name__}: {error}"
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()[:_LONGEST]


def is_about_all(error: BaseException) -> bool:
    """Returns whether this error would occur for every row: because a server is down, a migration ran, or another
    process runs the batch."""
    if isinstance(error, RedisError | Busy) or is_outdated(error):
        return True
    return is_away(error) and not is_of_some_rows(error)
