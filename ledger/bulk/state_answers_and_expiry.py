"""Reads the present state of bulks, answers GET requests about bulks, and expires bulks."""

from datetime import UTC, datetime

from django.conf import settings
from django.db import transaction

from hub import outbox
from hub.outbox.messages import HubMessages, Recipient
from hub.sweeps import isolating_batches
from ledger import store
from ledger.bulk import engine
from ledger.bulk import store as bulks
from ledger.bulk.commands_and_outcomes import Bulk, BulkEnded, BulkExpire
from ledger.bulk.notices import state_answer, unknown_answer

# how often the sweep tries to end one bulk; if both attempts fail, a later sweep tries this bulk again
_ATTEMPTS = 2


def find(bulk_id: str) -> Bulk | None:
    """Returns one bulk in its present state, without a lock."""
    return bulks.by_id(bulk_id)


def tell_state(*, bulk_id: str, requester: Recipient) -> None:
    """Answers GET /bulkTransfers/{ID} with a callback to the requester (FSPIOP API v1.1, section 6.10.3.1)."""
    hub = HubMessages(settings.HUB_NAME, datetime.now(UTC))
    with transaction.atomic():
        bulk = bulks.lock(bulk_id)  # one snapshot, so that the bulk and its items are from the same moment
        if bulk is None or requester.id not in (bulk.payer_id, bulk.payee_id):
            answer = unknown_answer(hub, bulk_id, requester)
        else:
            items = store.transfers_by_id(sorted(bulks.item_ids(bulk_id))).values()
            answer = state_answer(hub, bulk, items, requester)
        outbox.append([answer])
        transaction.on_commit(lambda: outbox.poke({requester.id}))


def expire() -> int:
    """Ends bulks whose expiration has passed. Returns the number of aborted transfers.

    Two calls can run at the same time.
    """
    # The engine decides each bulk separately, so one call for many bulks would not be faster.
    return isolating_batches.in_groups(bulks.EXPIRY, find=bulks.past_expiry, work=_expire, most=1)


def _expire(bulk_ids: list[str]) -> int:
    outcomes = [engine.run(BulkExpire(bulk_id), attempts=_ATTEMPTS) for bulk_id in bulk_ids]
    return sum(len(outcome.outcomes) for outcome in outcomes if isinstance(outcome, BulkEnded))
