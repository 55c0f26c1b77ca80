"""What happens rarely about conversions: a participant asks how one stands."""

from datetime import UTC, datetime

from django.conf import settings
from django.db import transaction

from fspiop import time
from hub import outbox
from ledger.fx import store
from ledger.fx.notices import FxVoice
from ledger.voice import repeated, unknown_answer


def tell_state(*, commit_request_id: str, asker_id: int, asker: str, version: str) -> None:
    """GET /fxTransfers/{ID}: the answer goes to the asker as a callback."""
    conversion = store.conversions_by_id([commit_request_id]).get(commit_request_id)
    now = datetime.now(UTC)
    if conversion is None or asker_id not in (conversion.initiator_id, conversion.fxp_id):
        answer = unknown_answer(
            "fxTransfers",
            commit_request_id,
            asker_id=asker_id,
            asker=asker,
            version=version,
            hub_name=settings.HUB_NAME,
            now=now,
            is_known=conversion is not None,
        )
    else:
        state = FxVoice(settings.HUB_NAME, time.http_date(now)).state(conversion, asker_id, asker, version)
        answer = repeated(asker_id, state)
    outbox.append([answer])
    transaction.on_commit(lambda: outbox.poke({asker_id}))
