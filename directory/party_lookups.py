"""GET /parties on its way: who waits for whose answer, and until when.

Only the DFSP that was asked may answer, and only the requester gets the answer. If it takes the question and stays
silent, the requester gets 2004 (FSPIOP API v1.1, section 7.6); if it cannot be reached, the outbox reports that itself.
"""

from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from directory import store
from directory.models import PartyLookup
from fspiop.errors import ErrorCode, FspiopError
from hub import fair_share, outbox
from hub.outbox import queries as outbox_queries
from hub.outbox.messages import HubMessages, Outgoing, Recipient, as_answer
from hub.outbox.models import Message
from hub.sweeps import batches

_BATCH, _SWEEP = "lookups", 500
_FORGET = 1000
_LATER = timedelta(seconds=5)


def ask(question: Outgoing, *, version: str) -> None:
    """Passes a question on and remembers it; asked again, it is waited for anew. `version` is that of the answer."""
    store.ask(question, version=version, wait_s=settings.PARTY_ANSWER_S)
    outbox.poke({question.destination_id})


def answer(reply: Outgoing, *, answerer_id: int) -> None:
    """Brings an answer back to the requester that asked the sender for it; any other is refused.

    A lookup that has ended is answered for PARTY_ANSWER_S longer: the answer may be repeated, or late.
    """
    if not store.answer(reply, answerer_id=answerer_id, keep_s=settings.PARTY_ANSWER_S):
        raise FspiopError(ErrorCode.CLIENT_ERROR, "FSPIOP-Destination has not asked the sender for this party")
    outbox.poke({reply.destination_id})


def report_unanswered() -> int:
    """Tells who asked that no answer came in time, each requester's lookups in turn; returns how many.

    Sweeps at once do no harm: a row that one has locked the others leave alone.
    """
    return batches.in_groups(_BATCH, find=_find_late, work=_end, most=_SWEEP)


def _find_late(most: int) -> list[str]:
    late = fair_share.Way("ended_at IS NULL AND answer_by <= statement_timestamp()", "answer_by", "answer_by")
    return fair_share.overdue(_BATCH, "directory_partylookup", "id", of="requester_id", ways=[late], most=most)


def _end(ids: list[str]) -> int:
    with transaction.atomic(durable=True):
        late = list(
            PartyLookup.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("requester")
            .only("requester_id", "owner_id", "subject", "error_path", "version", "asked_at", "requester__name")
            .filter(pk__in=ids, ended_at=None, answer_by__lte=Now())
        )
        if not late:
            return 0
        outstanding = outbox_queries.not_taken(
            to={lookup.owner_id for lookup in late}, about={lookup.subject for lookup in late}
        )

        def rests_with_the_outbox(lookup: PartyLookup, state: str) -> bool:
            since = outstanding.get((lookup.requester_id, lookup.owner_id, lookup.subject, state))
            return since is not None and since >= lookup.asked_at

        # The question is still on its way: the outbox delivers it or tells who asked, and this looks again.
        on_its_way = {lookup.pk for lookup in late if rests_with_the_outbox(lookup, Message.State.PENDING)}
        PartyLookup.objects.filter(pk__in=on_its_way).update(answer_by=F("answer_by") + _LATER)
        over = [lookup for lookup in late if lookup.pk not in on_its_way]
        PartyLookup.objects.filter(pk__in=[lookup.pk for lookup in over]).update(ended_at=Now())
        silent = [lookup for lookup in over if not rests_with_the_outbox(lookup, Message.State.DEAD)]
        hub = HubMessages(settings.HUB_NAME, datetime.now(UTC))
        outbox.append([_timed_out(hub, lookup) for lookup in silent])
    outbox.poke({lookup.requester_id for lookup in silent})
    return len(silent)


def forget_ended() -> int:
    """Removes the lookups that ended PARTY_ANSWER_S ago, by the thousand; returns how many."""
    keep_s = settings.PARTY_ANSWER_S
    return batches.in_groups(
        store.ENDED,
        find=lambda most: store.find_ended(keep_s=keep_s, most=most),
        work=lambda ids: store.forget(ids, keep_s=keep_s),
        most=_FORGET,
    )


def _timed_out(hub: HubMessages, lookup: PartyLookup) -> Outgoing:
    error = FspiopError(ErrorCode.SERVER_TIMED_OUT, "no answer came from the DFSP that was asked")
    requester, path = Recipient(lookup.requester_id, lookup.requester.name, lookup.version), lookup.error_path
    return as_answer(
        hub.error(requester, path, error.code, error.description, subject=lookup.subject, kind="unanswered")
    )
