"""What is asked about bulks, and the sweep of those past their time."""

from datetime import UTC, datetime

import structlog
from django.conf import settings
from django.db import DatabaseError, transaction

from hub import outbox
from ledger import store
from ledger.bulk import engine
from ledger.bulk import store as bulks
from ledger.bulk.messages import BulkEnded, BulkExpire
from ledger.bulk.notices import state_answer, unknown_answer

log = structlog.get_logger("ledger")

_SWEEP = 20
_MOST_SWEEPS = 20


def tell_state(*, bulk_id: str, asker_id: int, asker: str, version: str) -> None:
    """GET /bulkTransfers/{ID}: the answer goes to the asker as a callback (FSPIOP API v1.1, section 6.10.3.1)."""
    asking = {
        "asker_id": asker_id,
        "asker": asker,
        "version": version,
        "hub_name": settings.HUB_NAME,
        "now": datetime.now(UTC),
    }
    with transaction.atomic():
        bulk = bulks.lock(bulk_id)  # so that the bulk and its items are of one moment
        if bulk is None or asker_id not in (bulk.payer_id, bulk.payee_id):
            answer = unknown_answer(bulk_id, **asking)
        else:
            answer = state_answer(bulk, store.transfers_by_id(sorted(bulks.item_ids(bulk_id))).values(), **asking)
        outbox.append([answer])
        transaction.on_commit(lambda: outbox.poke({asker_id}))


def expire() -> int:
    """Ends bulks past their expiration; returns how many transfers that aborted. Two at once do no harm."""
    aborted = 0
    for _ in range(_MOST_SWEEPS):
        bulk_ids = bulks.past_expiry(_SWEEP)
        aborted += sum(_expire(bulk_id) for bulk_id in bulk_ids)
        if len(bulk_ids) < _SWEEP:
            break
    return aborted


def _expire(bulk_id: str) -> int:
    try:
        outcome = engine.run(BulkExpire(bulk_id))
    except (DatabaseError, store.LostRace):
        log.exception("bulk_did_not_expire", bulk=bulk_id)  # the others must; this one has its turn next second
        return 0
    return len(outcome.outcomes) if isinstance(outcome, BulkEnded) else 0
