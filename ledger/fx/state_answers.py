"""Returns the hub's answer to GET /fxTransfers/{ID}."""

from datetime import UTC, datetime

from django.conf import settings
from django.db import transaction

from hub import outbox
from hub.outbox.messages import HubMessages, Recipient
from ledger.fx import store
from ledger.fx.notices import state_answer
from ledger.notices import unknown_answer


def tell_state(*, commit_request_id: str, requester: Recipient) -> None:
    """Answers GET /fxTransfers/{ID} with a callback to the requester."""
    conversion = store.conversions_by_id([commit_request_id]).get(commit_request_id)
    hub = HubMessages(settings.HUB_NAME, datetime.now(UTC))
    if conversion is None or requester.id not in (conversion.initiator_id, conversion.fxp_id):
        is_known = conversion is not None
        answer = unknown_answer(hub, "fxTransfers", commit_request_id, requester, is_known=is_known)
    else:
        answer = state_answer(hub, conversion, requester)
    outbox.append([answer])
    transaction.on_commit(lambda: outbox.poke({requester.id}))
