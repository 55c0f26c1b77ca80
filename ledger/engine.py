"""Group commit: commands that arrive while a group commits are collected and committed together as the next group.

One transaction per group: load (locks) -> decide (pure) -> save -> append notices -> COMMIT. `submit` returns after the
commit, so every outcome that a caller receives is durable. A group of one command takes the same path.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from datetime import timedelta
from random import uniform
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import (
    DatabaseError,
    connection,
    transaction,
)
from psycopg import errors as pg

from fspiop.errors import ErrorCode, FspiopError
from hub import outbox
from hub.database import is_away, is_outdated, work_by_keys
from ledger import groups, metrics, store
from ledger.commands_and_outcomes import Aborted, Command, Committed, Outcome, Refused, Reserved
from ledger.decide import decide
from ledger.fx.commands_and_outcomes import FxAborted, FxAgreed, FxCommand, FxOutcome, FxRefused, FxReserved
from ledger.groups import Waiting
from ledger.notices import notices_for

T = TypeVar("T")

log = structlog.get_logger("ledger")

ATTEMPTS = 5
_CROWD = 4  # the size from which a group shows that waiting for more commands is worth the time
_LOST_IN_POSTGRESQL = (pg.SerializationFailure, pg.DeadlockDetected, pg.LockNotAvailable)


def run(batch: Sequence[Command | FxCommand], *, attempts: int = ATTEMPTS) -> list[Outcome | FxOutcome]:
    """Decides and commits these commands as one transaction. Returns their outcomes in order. Retries a lost race."""
    return retried(lambda: _run_once(batch), attempts=attempts)


def retried(transact: Callable[[], T], *, attempts: int = ATTEMPTS) -> T:
    """Returns the result of this whole transaction. Runs it again after a lost race, up to `attempts` times in all."""
    for attempt in range(1, attempts + 1):
        try:
            return transact()
        except (store.LostRace, DatabaseError) as error:
            lost = _race_lost(error)
            if lost is None or attempt == attempts:
                raise
            metrics.RETRIES.labels(lost).inc()
            time.sleep(uniform(0, 0.01 * 2**attempt))  # noqa: S311 (jitter, no secret)
    raise AssertionError("unreachable")


def _race_lost(error: BaseException) -> str | None:
    """Returns the name of the race that was lost, or None where the error is of another kind.

    The name is kept instead of the error: an error keeps its frames in memory, and with them the messages of the group.
    """
    reason = error if isinstance(error, store.LostRace) else error.__cause__
    is_lost = isinstance(reason, (store.LostRace, *_LOST_IN_POSTGRESQL)) or is_outdated(error)
    return type(reason).__name__ if is_lost else None


def _run_once(batch: Sequence[Command | FxCommand]) -> list[Outcome | FxOutcome]:
    with transaction.atomic(durable=True):
        snapshot = store.load(
            batch,
            hub_name=settings.HUB_NAME,
            max_validity=timedelta(seconds=settings.TRANSFER_MAX_VALIDITY_S),
            fx_wait=timedelta(seconds=settings.FX_TRANSFER_WAIT_S),
        )
        outcomes = decide(batch, snapshot)
        store.save(outcomes, snapshot)
        notices = notices_for(outcomes, hub_name=settings.HUB_NAME, now=snapshot.now)
        outbox.append(notices)
    outbox.poke({notice.destination_id for notice in notices})
    _tell_logs(outcomes)
    return outcomes


def _tell_logs(outcomes: Sequence[Outcome | FxOutcome]) -> None:
    """Logs one line for each refused or aborted transfer, with its reason, and one line for all others."""
    metrics.BATCH_SIZE.observe(len(outcomes))
    well: dict[str, list[str]] = {}
    for outcome in outcomes:
        kind = type(outcome).__name__.lower()
        metrics.OUTCOMES.labels(kind).inc()
        if isinstance(outcome, Reserved | Committed):
            well.setdefault(kind, []).append(outcome.transfer.transfer_id)
        elif isinstance(outcome, Refused | Aborted):
            t = outcome.transfer
            log.info("transfer_" + kind, transfer=t.transfer_id, state=t.state, reason=t.reason)
        elif isinstance(outcome, FxReserved | FxRefused | FxAgreed | FxAborted):
            c = outcome.conversion
            log.info("conversion_" + kind, transfer=c.commit_request_id, state=c.state, reason=c.reason)
    if well:
        log.info("transfers", **well)


class Engine:
    """Collects the commands of this process's requests and runs them in groups, in its own thread."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._arrived = threading.Condition()
        self._thread: threading.Thread | None = None
        self._last_began, self._last_size = 0.0, 0  # of the previous group

    def submit(self, command: Command | FxCommand) -> Outcome | FxOutcome:
        """Returns the command's outcome after its transaction is durable.

        Raises FspiopError 2003 or 2004 where the database did not answer. The outcome is then unknown to the requester,
        which sends the same message again or sends a GET request.
        """
        waiting = Waiting(command, Future())
        with self._arrived:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="ledger-engine", daemon=True)
                self._thread.start()
            self._waiting.append(waiting)
            self._arrived.notify()
        try:
            return waiting.outcome.result(timeout=settings.REQUEST_DEADLINE_S)
        except FutureTimeout:
            with self._arrived, suppress(ValueError):
                self._waiting.remove(waiting)  # the request has ended; its sender will send it again
            raise FspiopError(
                ErrorCode.SERVER_TIMED_OUT, "the outcome is not known yet; send it again", http_status=503
            ) from None
        finally:
            # otherwise the error, its frame and this variable form a reference cycle that keeps the message in memory
            del waiting

    def _work(self) -> None:
        work_by_keys()
        while True:
            self._serve_a_group()

    def _serve_a_group(self) -> None:
        # A separate function, so that the thread does not keep the previous group while it waits for the next one.
        group = self._next_group()
        try:
            self._settle(group)
        except BaseException as error:  # the thread must go on, and every waiting request must get a result
            log.exception("engine_failed", size=len(group))
            for waiting in group:
                if not waiting.outcome.done():
                    waiting.outcome.set_exception(error.with_traceback(None))

    def _next_group(self) -> list[Waiting]:
        while True:
            with self._arrived:
                while not self._waiting:
                    self._arrived.wait()
            if self._last_size >= _CROWD:
                # A commit costs the same for few commands and for many. Where many commands arrive, they wait for each
                # other.
                time.sleep(max(0.0, self._last_began + settings.LEDGER_PACE_MS / 1000 - time.monotonic()))
            with self._arrived:
                group = groups.take(self._waiting, most=settings.LEDGER_BATCH, most_octets=settings.LEDGER_BATCH_BYTES)
            if group:  # empty where all waiting requests have given up
                self._last_began, self._last_size = time.monotonic(), len(group)
                return group

    def _settle(self, group: list[Waiting]) -> None:
        try:
            outcomes = run([waiting.command for waiting in group])
        except Exception as error:
            if isinstance(error, store.LostRace) or is_away(error):
                # The database is away, or the answer to COMMIT was lost. The outcome is unknown, and the error reports
                # that.
                log.warning("group_not_known_to_be_committed", size=len(group), error=str(error)[:200])
                _drop_connection()
                self._tell_unknown(group)
                return
            if len(group) == 1:
                log.exception("command_failed", transfer=_id_of(group[0].command))
                group[0].outcome.set_exception(FspiopError(ErrorCode.INTERNAL_SERVER_ERROR))
                return
            # One bad command must not fail the others of its group: each runs again, alone.
            for waiting in group:
                self._settle([waiting])
        else:
            for waiting, outcome in zip(group, outcomes, strict=True):
                waiting.outcome.set_result(outcome)

    def _tell_unknown(self, group: list[Waiting]) -> None:
        for waiting in group:
            waiting.outcome.set_exception(
                FspiopError(ErrorCode.SERVICE_UNAVAILABLE, "the ledger can not be reached; send it again")
            )


def _id_of(command: Command | FxCommand) -> str:
    return command.commit_request_id if isinstance(command, FxCommand) else command.transfer_id


def _drop_connection() -> None:
    try:
        connection.close()
    except DatabaseError:
        log.warning("connection_did_not_close")


_engine = Engine()
submit = _engine.submit
