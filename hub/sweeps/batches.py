"""Runs a periodic batch: many rows by one transaction, and where that fails the bad rows apart from the others.

A group that failed is halved until the rows that fail are alone. These are skipped, logged and remembered
(`hub.sweeps.models`), and tried again after a pause that grows. A tick has an end: what could not be told apart in its
time is remembered too, so the next tick begins with rows that nobody has tried.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import structlog
from django.db import DatabaseError, close_old_connections
from psycopg import errors as pg
from redis.exceptions import RedisError

from hub.database import is_away
from hub.sweeps import store

T = TypeVar("T")
Find = Callable[[int], list[str]]
Work = Callable[[list[str]], int]

log = structlog.get_logger("sweeps")

# Seconds of a tick, for what is new and for what is tried again; a group that was begun is not interrupted. The batches
# of one task together must stay well below CELERY_TASK_TIME_LIMIT.
_FOR_S = 5.0
_AGAIN_FOR_S = 2.0
_LONGEST = 300
# These name a row, or a few: what it takes too long to do, or what somebody else holds.
_OF_SOME_ROWS = (pg.QueryCanceled, pg.LockNotAvailable, pg.DeadlockDetected, pg.SerializationFailure)


class Busy(Exception):
    """Another process is at this batch: it needs no help, and says nothing about any row."""


def in_groups(batch: str, *, find: Find, work: Work, most: int) -> int:
    """Works on the rows that `find` names, `most` by one call of `work`; returns the sum of what `work` returns.

    `find` leaves out what the batch skips (`hub.sweeps.queries`). `work` is one transaction, and does nothing to a row
    that another has worked on in between. Raises only where nothing can be done for any row, as without a database.
    """
    try:
        done, were_found = _work_on_new(batch, find, work, most)
        if store.skips_any(batch):
            if were_found:
                store.forget(batch, [store.ALL])
            done += _try_again(batch, work, most)
        return done
    except Busy:
        return 0


def in_order(batch: str, *, find: Find, work: Work, most: int, for_s: float) -> int:
    """The same for rows of which each builds on those before it: nothing is done past one that fails."""
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
    """Works on each of these few rows, given by their keys; passes by those that failed a short while ago.

    Where these are all rows that there are, others that were skipped are forgotten.
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
    """Runs all of these, and then raises what the first that failed raised; returns the sum of what they return."""
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


def _work_on_new(batch: str, find: Find, work: Work, most: int) -> tuple[int, bool]:
    """What came of the rows that are not skipped, and whether they could be found."""
    until = time.monotonic() + _FOR_S
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
        held = sum(row in tried for row in found)  # by another process: they are found again, before the others
        if rows:
            done += _work_apart(batch, rows, work, until)[0]
        tried.update(rows)
        if len(found) < asked_for or time.monotonic() > until:
            break
    return done, True


def _try_again(batch: str, work: Work, most: int) -> int:
    until = time.monotonic() + _AGAIN_FOR_S
    done, size = 0, 1
    while time.monotonic() < until and (rows := store.claim(batch, size)):
        now_done, is_well = _work_apart(batch, rows, work, until, is_again=True)
        done += now_done
        size = min(most, size * 2) if is_well else 1
    return done


def _work_apart(batch: str, rows: list[str], work: Work, until: float, *, is_again: bool = False) -> tuple[int, bool]:
    """What came of these rows, and whether all are well: of a group that fails, each half again."""
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
    # What PostgreSQL says besides may hold a customer's number.
    trace = None if isinstance(error, DatabaseError) else error
    if is_alone:
        for row in rows:
            log.error("row_skipped", batch=batch, row=row, why=reason, exc_info=trace)
    else:
        log.warning("rows_not_told_apart_in_time", batch=batch, rows=len(rows), why=reason)
    store.remember(batch, rows, reason, attempts=int(is_alone))


def why(error: BaseException) -> str:
    """What operators are told of an error: without what PostgreSQL says of the row, any text can be kept."""
    cause = error.__cause__ if isinstance(error, DatabaseError) else None
    if isinstance(cause, pg.Error):
        text = f"{type(cause).__name__}: {cause.diag.message_primary or cause}"
    else:
        text = f"{type(error).__name__}: {error}"
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()[:_LONGEST]


def is_about_all(error: BaseException) -> bool:
    """Whether this would have happened to any row: a server is away, or another process is at it."""
    if isinstance(error, RedisError | Busy):
        return True
    return is_away(error) and not isinstance(error.__cause__, _OF_SOME_ROWS)
