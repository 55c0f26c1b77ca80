"""Commits commands in groups. The commands that arrive during the commit of one group form the next group.

An engine has its own thread and its own database connection. An engine processes one group at a time. Each group of
commands is one database transaction. `submit` returns after the commit, so every returned outcome is durable. The same
code processes a single command and a large group.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from random import uniform
from typing import ClassVar, Generic, TypeVar

import structlog
from django.conf import settings
from django.db import DatabaseError, DataError, connection
from psycopg import errors as pg

from fspiop.errors import ErrorCode, FspiopError
from hub.cpu_use import cpus
from hub.fair_groups import Waiting
from hub.sql_execution import execute, is_away, is_of_some_rows, is_outdated, work_by_keys

C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T")

ATTEMPTS = 5
_IDLE_S = 0.5  # after this time without a group, the engine checks the connection before the next group
_CROWD = 4  # after a group of at least this size, the engine waits for more commands
_LONGER = 3  # groups wait longer by this factor while the CPUs are busy
_LONGEST_GAP_S = 1.0
_REMEMBERED = 0.8  # in the moving mean of the time between commands: the weight of the previous mean
_LOST_IN_POSTGRESQL = (pg.SerializationFailure, pg.DeadlockDetected, pg.LockNotAvailable)

# If one row is locked, or makes a statement slow, messages about other rows must not wait for this row.
_PARTING_S = 5.0  # after this time, the engine stops dividing a failed group and refuses the remaining messages
_WARY_S = 30.0  # how long `_WARY_TIMEOUTS_MS` applies after a failure with the usual timeouts
# PostgreSQL does not apply these timeouts to a COMMIT, which sometimes waits for a standby server.
_WARY_TIMEOUTS_MS = {"lock_timeout": 250, "statement_timeout": 1000}
_SHORTER = "SELECT set_config(%s, least(nullif(setting::int, 0), %s)::text, false) FROM pg_settings WHERE name = %s"


class LostRace(Exception):
    """Raised if another transaction changed the rows between the engine's decision and its commit. The database has
    stored nothing, and the engine must decide again.
    """


def retried(transact: Callable[[], T], *, attempts: int, lost: Callable[[str], None], waits_again: bool = True) -> T:
    """Runs a whole transaction and returns its result.

    If the transaction conflicts with another transaction, runs it again, but at most `attempts` times in total. If
    `waits_again` is false, a transaction that waited too long for a lock is not repeated. Before each repetition, the
    function calls `lost` with the name of the conflict.
    """
    for attempt in range(1, attempts + 1):
        try:
            return transact()
        except (LostRace, DatabaseError) as error:
            race = _race_lost(error)
            has_waited = isinstance(error.__cause__, pg.LockNotAvailable) and not waits_again
            if race is None or attempt == attempts or has_waited:
                raise
            lost(race)
            time.sleep(uniform(0, 0.01 * 2**attempt))  # noqa: S311 (jitter, no secret)
    raise AssertionError("unreachable")


def _race_lost(error: BaseException) -> str | None:
    """Returns the name of the conflict if the error is a conflict with another transaction. Otherwise returns None. The
    caller does not keep the error itself. The error would keep its stack frames in memory, and these frames would keep
    the group's messages in memory.
    """
    reason = error if isinstance(error, LostRace) else error.__cause__
    is_lost = isinstance(reason, (LostRace, *_LOST_IN_POSTGRESQL)) or is_outdated(error)
    return type(reason).__name__ if is_lost else None


class Engine(ABC, Generic[C, R]):
    """Collects the commands of all requests in this process, and runs them in groups, in a thread of its own."""

    name: ClassVar[str]  # the engine's name, for the thread and the log

    def __init__(self) -> None:
        self._waiting: list[Waiting[C, R]] = []
        self._arrived = threading.Condition()
        self._thread: threading.Thread | None = None
        self._last_began, self._last_size = 0.0, 0  # the beginning and the size of the previous group
        self._gap_s = _LONGEST_GAP_S  # the mean time between two commands
        self._last_ended = 0.0
        self._wary_until: float | None = None
        self._patient_from = 0.0  # when the next repetition with the usual timeouts is allowed
        self._log = structlog.get_logger(self.name)

    @abstractmethod
    def _run(self, batch: list[C]) -> Sequence[R]:
        """Decides and commits these commands in one transaction. Returns the outcomes in the order of the commands. If
        the transaction waited too long for a lock, the method raises the error instead of repeating the transaction.
        """

    @abstractmethod
    def _choose(self, waiting: list[Waiting[C, R]]) -> list[Waiting[C, R]]:
        """Chooses the commands of the next group and removes them from the list. Returns them in the order in which the
        engine must decide them."""

    @abstractmethod
    def _pace_s(self) -> float:
        """In a busy process, at least this time passes between the beginnings of two groups."""

    @abstractmethod
    def _subject_of(self, command: C) -> str:
        """Returns the id of the object that the command is about, for the log."""

    def submit(self, command: C) -> R:
        """Puts the command into a group, and returns its outcome when the group has been committed. Raises FspiopError
        2003 or 2004 if the database does not respond. After these errors, the outcome is unknown, so the sender must
        repeat its message or send a GET request.
        """
        waiting: Waiting[C, R] = Waiting(command, Future())
        with self._arrived:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name=f"{self.name}-engine", daemon=True)
                self._thread.start()
            self._waiting.append(waiting)
            self._arrived.notify()
        try:
            return waiting.outcome.result(timeout=settings.REQUEST_DEADLINE_S)
        except FutureTimeout:
            with self._arrived, suppress(ValueError):
                self._waiting.remove(waiting)  # the sender gets an error and repeats the request
            raise FspiopError(
                ErrorCode.SERVER_TIMED_OUT, "the outcome is not known yet; send the message again", http_status=503
            ) from None
        finally:
            # otherwise a reference cycle of the error, its frame and this variable would keep the message in memory
            del waiting

    def _work(self) -> None:
        work_by_keys()
        while True:
            self._serve_a_group()

    def _serve_a_group(self) -> None:
        # This is a separate function, so that the variable of the previous group does not exist during the wait for the
        # next group.
        group = self._next_group()
        try:
            self._check_connection()
            self._settle(group)
        except BaseException as error:  # the thread must continue, and every waiting request must get a result
            self._log.exception("engine_failed", size=len(group))
            for waiting in group:
                if not waiting.outcome.done():
                    waiting.outcome.set_exception(error.with_traceback(None))
        self._last_ended = time.monotonic()

    def _check_connection(self) -> None:
        """If the connection was idle, lets Django check it, because PostgreSQL was perhaps restarted in the meantime.
        Without this check, the first command after a restart of PostgreSQL would fail.
        """
        if time.monotonic() - self._last_ended > _IDLE_S:
            connection.close_if_unusable_or_obsolete()

    def _next_group(self) -> list[Waiting[C, R]]:
        while True:
            with self._arrived:
                while not self._waiting:
                    self._arrived.wait()
            time.sleep(max(0.0, self._last_began + self._least_s() - time.monotonic()))
            with self._arrived:
                group = self._choose(self._waiting)
            if group:  # the group is empty if all waiting requests have ended
                now, size = time.monotonic(), len(group)
                gap_s = min(_LONGEST_GAP_S, now - self._last_began) / size
                self._gap_s += (1 - _REMEMBERED**size) * (gap_s - self._gap_s)
                self._last_began, self._last_size = now, size
                return group

    def _least_s(self) -> float:
        """Returns the shortest allowed time between the beginnings of the previous group and the next group. The commit
        of one command costs as much as the commit of many commands. So if many commands arrive, the engine waits until
        a larger group has formed. The busier the CPUs are, the longer the engine waits. If only a few commands arrive,
        it waits only while the CPUs are busy. If commands arrive one at a time, the engine does not wait.
        """
        pace_s, shortage = self._pace_s(), cpus.shortage()
        longer_s = pace_s * (1 + (_LONGER - 1) * shortage)
        if self._last_size >= _CROWD:
            return longer_s
        return shortage * longer_s if self._gap_s <= pace_s else 0.0

    def _settle(self, group: list[Waiting[C, R]], *, until: float | None = None) -> None:
        try:
            self._set_timeouts()
            outcomes = self._run([waiting.command for waiting in group])
        except Exception as error:
            if isinstance(error, LostRace) or is_of_some_rows(error):
                self._part(group, error, until=until)
            elif is_away(error):
                # The database is unreachable, or its response to COMMIT was lost. So the engine does not know whether
                # the group was committed.
                self._log.warning("group_not_known_to_be_committed", size=len(group), error=str(error)[:200])
                _drop_connection()
                _refuse(group, "the database cannot be reached; send the message again")
            elif len(group) == 1:
                group[0].outcome.set_exception(self._refusal(group[0].command, error))
            else:
                self._settle_halves(group, until=until)
        else:
            for waiting, outcome in zip(group, outcomes, strict=True):
                waiting.outcome.set_result(outcome)

    def _settle_halves(self, group: list[Waiting[C, R]], *, until: float | None) -> None:
        """Divides a failed group and processes each half separately, so that one faulty command does not make the other
        commands fail. One faulty command in a group of 200 causes 16 additional transactions.
        """
        half = len(group) // 2
        self._settle(group[:half], until=until)
        self._settle(group[half:], until=until)

    def _part(self, group: list[Waiting[C, R]], error: Exception, *, until: float | None) -> None:
        """Divides a group that failed because rows were locked or slow. The database has stored nothing about the
        failed group. If a group fails with shortened timeouts, perhaps the machine is slow and no row is locked. So the
        engine first repeats the group with the usual timeouts. Such a repetition delays other messages if a row is
        really locked. So the engine repeats a group in this way at most once every `_WARY_S` seconds. The engine
        shortens the timeouts again only after a failure with the usual timeouts.
        """
        now, is_whole = time.monotonic(), until is None
        until = now + _PARTING_S if until is None else until
        if not isinstance(error, LostRace):
            if self._wary_until is None:
                self._wary_until = now + _WARY_S
            elif is_whole and now >= self._patient_from:
                self._patient_from = now + _WARY_S
                self._wary_until = now
                self._settle(group)
                return
        if len(group) > 1 and now < until:
            self._settle_halves(group, until=until)
            return
        subjects = [self._subject_of(waiting.command) for waiting in group[:10]]
        self._log.warning("group_not_committed", size=len(group), subjects=subjects, error=str(error)[:200])
        _refuse(group, "another transaction uses this object; send the message again")

    def _set_timeouts(self) -> None:
        """Shortens the timeouts of this thread's connection for `_WARY_S` seconds after a failure, because a row is
        perhaps still locked. Afterwards, restores the usual timeouts."""
        if self._wary_until is None:
            return
        if time.monotonic() < self._wary_until:
            for name, most in _WARY_TIMEOUTS_MS.items():
                execute(_SHORTER, [name, most, name])
        else:
            for name in _WARY_TIMEOUTS_MS:
                execute(f"RESET {name}")
            self._wary_until = None

    def _refusal(self, command: C, error: Exception) -> FspiopError:
        """Returns the error for the sender of a command that failed alone, without other commands in its group."""
        if isinstance(error, DataError):
            # This error occurs, for example, if a header contains a NUL. The database has stored nothing. The sender
            # caused the error.
            self._log.warning("not_storable", subject=self._subject_of(command), error=str(error)[:200])
            return FspiopError(ErrorCode.MALFORMED_SYNTAX, "the request has a value that cannot be stored")
        self._log.exception("command_failed", subject=self._subject_of(command))
        return FspiopError(ErrorCode.INTERNAL_SERVER_ERROR)


def _refuse(group: list[Waiting[C, R]], detail: str) -> None:
    for waiting in group:
        waiting.outcome.set_exception(FspiopError(ErrorCode.SERVICE_UNAVAILABLE, detail))


def _drop_connection() -> None:
    try:
        connection.close()
    except DatabaseError:
        structlog.get_logger("engine").warning("connection_did_not_close")
