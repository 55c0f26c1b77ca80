"""Commits commands in groups: commands that arrive while one group commits form the next group.

An engine has its own thread and its own database connection. An engine processes one group at a time. Each group of
commands is one database transaction. `submit` returns after the commit, so every outcome that a caller receives is
durable. A group of one command runs through the same code as a large group.
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
from hub.fair_groups import Waiting
from hub.processor_use import processors
from hub.sql_execution import execute, is_away, is_of_some_rows, is_outdated, work_by_keys

C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T")

ATTEMPTS = 5
_IDLE_S = 0.5  # after this time without a group, the engine checks the connection before the next group
_CROWD = 4  # after a group of at least this size, it is worth waiting for more commands
_LONGER = 2  # the factor by which small groups wait longer while the processors are busy
_LONGEST_GAP_S = 1.0
_REMEMBERED = 0.8  # the weight of the earlier mean when the next command changes the mean time between commands
_LOST_IN_POSTGRESQL = (pg.SerializationFailure, pg.DeadlockDetected, pg.LockNotAvailable)

# A row that another transaction has locked, or that makes a statement slow, must not delay the messages about other
# rows.
_PARTING_S = 5.0  # the longest time for dividing a failed group; afterwards the engine refuses the remaining messages
_WARY_S = 30.0  # how long groups wait no longer than `_WARY_TIMEOUTS_MS` after a failure with the usual timeouts
# PostgreSQL applies neither timeout to a COMMIT, which sometimes waits for a standby.
_WARY_TIMEOUTS_MS = {"lock_timeout": 250, "statement_timeout": 1000}
_SHORTER = "SELECT set_config(%s, least(nullif(setting::int, 0), %s)::text, false) FROM pg_settings WHERE name = %s"


class LostRace(Exception):
    """Raised if the database refused a decision, because the rows had changed after the engine read them. The database
    has not stored the refused decision.

    The engine must repeat the decision.
    """


def retried(transact: Callable[[], T], *, attempts: int, lost: Callable[[str], None], waits_again: bool = True) -> T:
    """Runs a whole transaction and returns its result.

    Repeats the transaction if another transaction changed its rows, up to `attempts` runs in total. If `waits_again` is
    false, does not repeat a transaction that waited too long for a lock.

    Calls `lost` with the name of each conflict with another transaction.
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
    """Returns the name of the conflict with another transaction, or None if the error is of another kind.

    The caller keeps this name instead of the error. An error would keep its stack frames in memory, and the frames
    would keep the messages of the group.
    """
    reason = error if isinstance(error, LostRace) else error.__cause__
    is_lost = isinstance(reason, (LostRace, *_LOST_IN_POSTGRESQL)) or is_outdated(error)
    return type(reason).__name__ if is_lost else None


class Engine(ABC, Generic[C, R]):
    """Collects the commands of this process's requests and runs them in groups, in its own thread."""

    name: ClassVar[str]  # the engine's name, for the thread and the log

    def __init__(self) -> None:
        self._waiting: list[Waiting[C, R]] = []
        self._arrived = threading.Condition()
        self._thread: threading.Thread | None = None
        self._last_began, self._last_size = 0.0, 0  # the beginning and the size of the previous group
        self._gap_s = _LONGEST_GAP_S  # the mean time between two commands
        self._last_ended = 0.0
        self._wary_until: float | None = None
        self._patient_from = 0.0  # when the engine may repeat a group with the usual timeouts again
        self._log = structlog.get_logger(self.name)

    @abstractmethod
    def _run(self, batch: list[C]) -> Sequence[R]:
        """Decides and commits these commands as one transaction. Returns the commands' outcomes in the order of the
        commands.

        Does not repeat a transaction that waited too long for a lock.
        """

    @abstractmethod
    def _choose(self, waiting: list[Waiting[C, R]]) -> list[Waiting[C, R]]:
        """Removes the next group of commands from the list. Returns the group's commands in the order in which the
        engine will decide them."""

    @abstractmethod
    def _pace_s(self) -> float:
        """Returns the time between the beginnings of two groups in a busy process."""

    @abstractmethod
    def _subject_of(self, command: C) -> str:
        """Returns the id of the command's object, for the log."""

    def submit(self, command: C) -> R:
        """Returns the command's outcome after its transaction is durable.

        Raises FspiopError 2003 or 2004 if the database did not respond. After an error 2003 or 2004, the requester does
        not know the outcome. The requester repeats its message, or sends a GET request.
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
                self._waiting.remove(waiting)  # the request has ended; its sender will repeat it
            raise FspiopError(
                ErrorCode.SERVER_TIMED_OUT, "the outcome is not known yet; send it again", http_status=503
            ) from None
        finally:
            # without this, the error, its frame and this variable form a reference cycle that keeps the message in
            # memory
            del waiting

    def _work(self) -> None:
        work_by_keys()
        while True:
            self._serve_a_group()

    def _serve_a_group(self) -> None:
        # This is a separate function, so that the thread does not keep the previous group while it waits for the next
        # group.
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
        """Lets Django check an idle connection, because PostgreSQL was perhaps restarted in the meantime.

        Without this check of the connection, the first command after a restart of PostgreSQL would fail, even long
        after the restart.
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
        """Returns the shortest permitted time from the beginning of the previous group to the beginning of the next
        group.

        A commit takes the same work for one command as for many commands. If many commands arrive, the engine therefore
        waits for more commands. If a few commands arrive, the engine waits longer while the processors are busy. If a
        single command arrives, the engine does not wait for more commands.
        """
        pace_s = self._pace_s()
        if self._last_size >= _CROWD:
            return pace_s
        return _LONGER * pace_s if self._gap_s <= pace_s and processors.are_short() else 0.0

    def _settle(self, group: list[Waiting[C, R]], *, until: float | None = None) -> None:
        try:
            self._set_timeouts()
            outcomes = self._run([waiting.command for waiting in group])
        except Exception as error:
            if isinstance(error, LostRace) or is_of_some_rows(error):
                self._part(group, error, until=until)
            elif is_away(error):
                # The database is unreachable, or the response to COMMIT was lost. The error reports that the outcome is
                # unknown.
                self._log.warning("group_not_known_to_be_committed", size=len(group), error=str(error)[:200])
                _drop_connection()
                _refuse(group, "the database cannot be reached; send it again")
            elif len(group) == 1:
                group[0].outcome.set_exception(self._refusal(group[0].command, error))
            else:
                self._settle_halves(group, until=until)
        else:
            for waiting, outcome in zip(group, outcomes, strict=True):
                waiting.outcome.set_result(outcome)

    def _settle_halves(self, group: list[Waiting[C, R]], *, until: float | None) -> None:
        """Processes each half of a failed group separately, so that one bad command does not make the other commands
        fail.

        One bad command in a group of 200 causes 16 further transactions.
        """
        half = len(group) // 2
        self._settle(group[:half], until=until)
        self._settle(group[half:], until=until)

    def _part(self, group: list[Waiting[C, R]], error: Exception, *, until: float | None) -> None:
        """Divides a group in which some rows were locked, or some rows made a statement slow. The database has stored
        no change of the failed group.

        If the failure came from the short timeouts, perhaps no row is locked, and only the machine is slow. So the
        engine first repeats the group with the usual timeouts. While a row stays locked, this repetition delays other
        messages. The engine repeats a group with the usual timeouts at most once in `_WARY_S` seconds. The engine
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
        _refuse(group, "this object is busy; send the message again")

    def _set_timeouts(self) -> None:
        """Shortens the timeouts of this thread's connection for a while, because a row is perhaps still locked or a
        statement is still slow."""
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
        """Returns the error for the sender of a command that failed although no other command was in its group."""
        if isinstance(error, DataError):
            # This error occurs, for example, if a header contains a NUL. The database has stored nothing, and the
            # sender is at fault.
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
