"""Runs one database transaction for one bulk: load (locks) -> decide (pure) -> save -> append notices -> COMMIT.

For a bulk, the engine runs the same SQL statements as for a group of single transfers. A few more statements read and
write the row of the bulk. The number of SQL statements does not depend on the number of items. A bulk never belongs to
a group with other commands. So the thread that received the bulk's request decides the bulk, without waiting for a
group.
"""

from collections.abc import Sequence
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction

from fspiop.errors import ErrorCode, FspiopError
from hub import outbox
from hub.group_commit import LostRace
from ledger import metrics, store
from ledger.bulk import store as bulks
from ledger.bulk.commands_and_outcomes import (
    Bulk,
    BulkAccepted,
    BulkCommand,
    BulkEnded,
    BulkExpire,
    BulkOutcome,
    BulkPrepare,
    BulkRefused,
)
from ledger.bulk.decide import decide
from ledger.bulk.notices import notices_for
from ledger.commands_and_outcomes import Command, Expire
from ledger.engine import ATTEMPTS, retried
from ledger.snapshot import Snapshot

log = structlog.get_logger("ledger")


def submit(command: BulkCommand) -> BulkOutcome:
    """Returns the command's outcome once the command's database transaction is durable."""
    try:
        return run(command)
    except LostRace:
        raise FspiopError(ErrorCode.SERVICE_UNAVAILABLE, "the ledger is busy with this bulk; send it again") from None


def run(command: BulkCommand, *, attempts: int = ATTEMPTS) -> BulkOutcome:
    """Decides a command about a bulk and commits the result.

    Repeats the transaction if another database transaction has changed the same rows meanwhile.
    """
    return retried(lambda: _run_once(command), attempts=attempts)


def _run_once(command: BulkCommand) -> BulkOutcome:
    with transaction.atomic(durable=True):
        bulk, snapshot = _load(command)
        outcome = decide(command, bulk, snapshot)
        _save(outcome, snapshot)
        notices = notices_for(
            outcome, hub_name=settings.HUB_NAME, now=snapshot.now, in_hub_name=settings.BULK_IN_HUB_NAME
        )
        outbox.append(notices)
    outbox.poke({notice.destination_id for notice in notices})
    _tell_logs(outcome)
    return outcome


def _load(command: BulkCommand) -> tuple[Bulk | None, Snapshot]:
    if isinstance(command, BulkPrepare):
        snapshot = _locked(command.items)
        # The hub reads the bulk, like the transfers that are already stored, only after the hub has locked the payer's
        # accounts. So if two requests contain the same bulk, the second request reads the row that the first request
        # has stored.
        return bulks.by_id(command.bulk_id), snapshot
    bulk = bulks.lock(command.bulk_id)
    item_ids = bulks.item_ids(command.bulk_id) if bulk else []
    return bulk, _locked([Expire(item_id) for item_id in item_ids])


def _locked(items: Sequence[Command]) -> Snapshot:
    max_validity = timedelta(seconds=settings.TRANSFER_MAX_VALIDITY_S)
    return store.load(items, hub_name=settings.HUB_NAME, max_validity=max_validity)


def _save(outcome: BulkOutcome, snapshot: Snapshot) -> None:
    match outcome:
        case BulkAccepted(command, bulk, _, outcomes) | BulkRefused(command, bulk, _, outcomes):
            bulks.insert(bulk, command)  # the hub stores the bulk first, because the items reference the bulk
            store.save(outcomes, snapshot)
        case BulkEnded(command, bulk, _, outcomes):
            store.save(outcomes, snapshot)
            bulks.end(bulk, None if isinstance(command, BulkExpire) else command.message)


def _tell_logs(outcome: BulkOutcome) -> None:
    kind = type(outcome).__name__.lower().replace("bulk", "bulk_")
    metrics.OUTCOMES.labels(kind).inc()
    if isinstance(outcome, BulkAccepted | BulkRefused | BulkEnded):
        for item in outcome.outcomes:
            metrics.OUTCOMES.labels(type(item).__name__.lower()).inc()
        bulk = outcome.bulk
        log.info(kind, bulk=bulk.bulk_id, state=bulk.state, reason=bulk.reason, items=bulk.item_count)
