"""Group commit: commands that arrive while a group is committing wait for company and are committed together.

One transaction per group: load (locks) -> decide (pure) -> save -> append notices -> COMMIT. `submit` returns after
the commit, so whoever answers a caller answers about something durable. A group of one takes the same way.
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
from hub.database import is_away, work_by_keys
from ledger import groups, metrics, store
from ledger.decide import decide
from ledger.fx.messages import FxAborted, FxAgreed, FxCommand, FxOutcome, FxRefused, FxReserved
from ledger.groups import Waiting
from ledger.messages import Aborted, Command, Committed, Outcome, Refused, Reserved
from ledger.notices import notices_for

T = TypeVar("T")

log = structlog.get_logger("ledger")

ATTEMPTS = 5
_CROWD = 4  # a group of so many shows that waiting for company pays
_LOST_IN_POSTGRESQL = (pg.SerializationFailure, pg.DeadlockDetected, pg.LockNotAvailable)


def run(batch: Sequence[Command | FxCommand], *, attempts: int = ATTEMPTS) -> list[Outcome | FxOutcome]:
    """Decides and commits these commands as one transaction; an outcome each, in order. Retries what lost a race."""
    return retried(lambda: _run_once(batch), attempts=attempts)


def retried(transact: Callable[[], T], *, attempts: int = ATTEMPTS) -> T:
    """What this whole transaction returns; it is run again where it lost a race, a bounded number of times."""
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
    """The name of the race that this error says was lost. A name: whoever keeps the error keeps its frames, and in them
    the messages of the whole group."""
    reason = error if isinstance(error, store.LostRace) else error.__cause__
    return type(reason).__name__ if isinstance(reason, (store.LostRace, *_LOST_IN_POSTGRESQL)) else None


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
    """A line for each transfer that was refused or aborted, with its reason; one for all that went well."""
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
    """Collects the commands of this process's requests and runs them in groups, in a thread of its own."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._arrived = threading.Condition()
        self._thread: threading.Thread | None = None
        self._last_began, self._last_size = 0.0, 0  # of the group before this

    def submit(self, command: Command | FxCommand) -> Outcome | FxOutcome:
        """The command's outcome, after the transaction that decided it is durable.

        Raises FspiopError 2003 or 2004 where the database did not answer: then the outcome is unknown to the hub's
        caller, who asks again with the same message or by GET.
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
                self._waiting.remove(waiting)  # nobody waits for it any more; it will come again
            raise FspiopError(
                ErrorCode.SERVER_TIMED_OUT, "the outcome is not known yet; send it again", http_status=503
            ) from None
        finally:
            del waiting  # an error would name this frame, the frame it, and it the error: a ring with the message in it

    def _work(self) -> None:
        work_by_keys()
        while True:
            self._serve_a_group()

    def _serve_a_group(self) -> None:
        # A function of its own: while the thread waits for the next group, it must not hold the one before.
        group = self._next_group()
        try:
            self._settle(group)
        except BaseException as error:  # the thread must live; whoever waits must hear
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
                # A commit costs the same for few and for many: where many come, they wait for each other.
                time.sleep(max(0.0, self._last_began + settings.LEDGER_PACE_MS / 1000 - time.monotonic()))
            with self._arrived:
                group = groups.take(self._waiting, most=settings.LEDGER_BATCH, most_octets=settings.LEDGER_BATCH_BYTES)
            if group:  # else whoever waited has given up
                self._last_began, self._last_size = time.monotonic(), len(group)
                return group

    def _settle(self, group: list[Waiting]) -> None:
        try:
            outcomes = run([waiting.command for waiting in group])
        except Exception as error:
            if isinstance(error, store.LostRace) or is_away(error):
                # The database is away, or the answer to COMMIT was lost: the outcome is unknown, and said to be so.
                log.warning("group_not_known_to_be_committed", size=len(group), error=str(error)[:200])
                _drop_connection()
                self._tell_unknown(group)
                return
            if len(group) == 1:
                log.exception("command_failed", transfer=_id_of(group[0].command))
                group[0].outcome.set_exception(FspiopError(ErrorCode.INTERNAL_SERVER_ERROR))
                return
            # One bad command must not fail its company: each again, alone.
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
