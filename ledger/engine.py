"""The ledger's engine: commits commands about transfers and conversions in groups (`hub.group_commit`).

Each group is one database transaction: load (locks) -> decide (pure) -> save -> append notices -> COMMIT.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction

from fspiop.errors import ErrorCode, FspiopError
from hub import group_commit, outbox
from hub.test_currency import NEVER_CONVERTED, REFUSED_BY_DATABASE
from ledger import groups, metrics, store
from ledger.commands_and_outcomes import Aborted, Command, Committed, Outcome, Refused, Reserved
from ledger.decide import decide
from ledger.fx.commands_and_outcomes import FxAborted, FxAgreed, FxCommand, FxOutcome, FxRefused, FxReserved
from ledger.groups import Waiting
from ledger.notices import notices_for

T = TypeVar("T")

log = structlog.get_logger("ledger")

ATTEMPTS = group_commit.ATTEMPTS
AnyCommand = Command | FxCommand
AnyOutcome = Outcome | FxOutcome


def run(batch: Sequence[AnyCommand], *, attempts: int = ATTEMPTS, waits_again: bool = True) -> list[AnyOutcome]:
    """Decides and commits these commands as one database transaction. Returns the outcomes in the order of the
    commands.

    Repeats the transaction if another database transaction has changed the same rows meanwhile. If `waits_again` is
    false, does not repeat a transaction that has waited too long for a lock.
    """
    return retried(lambda: _run_once(batch), attempts=attempts, waits_again=waits_again)


def retried(transact: Callable[[], T], *, attempts: int = ATTEMPTS, waits_again: bool = True) -> T:
    """Runs a whole transaction, and returns the result of the transaction. Repeats the transaction in the same cases as
    `run`.
    """
    return group_commit.retried(
        transact, attempts=attempts, lost=lambda race: metrics.RETRIES.labels(race).inc(), waits_again=waits_again
    )


def _run_once(batch: Sequence[AnyCommand]) -> list[AnyOutcome]:
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


def _tell_logs(outcomes: Sequence[AnyOutcome]) -> None:
    """Logs one line for each refused or aborted transfer, with its reason. Logs one common line for all other
    transfers.
    """
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


class Engine(group_commit.Engine[AnyCommand, AnyOutcome]):
    """Runs the commands about transfers and conversions in groups."""

    name = "ledger"

    def _run(self, batch: list[AnyCommand]) -> Sequence[AnyOutcome]:
        return run(batch, waits_again=False)

    def _choose(self, waiting: list[Waiting]) -> list[Waiting]:
        return groups.take(waiting, most=settings.LEDGER_BATCH, most_octets=settings.LEDGER_BATCH_BYTES)

    def _pace_s(self) -> float:
        pace_ms: int = settings.LEDGER_PACE_MS
        return pace_ms / 1000

    def _refusal(self, command: AnyCommand, error: Exception) -> FspiopError:
        if isinstance(error, IntegrityError) and REFUSED_BY_DATABASE in str(error):
            # The hub got its first certifier after the view's check.
            return FspiopError(ErrorCode.VALIDATION_ERROR, NEVER_CONVERTED)
        return super()._refusal(command, error)

    def _subject_of(self, command: AnyCommand) -> str:
        return command.commit_request_id if isinstance(command, FxCommand) else command.transfer_id


_engine = Engine()
submit = _engine.submit
