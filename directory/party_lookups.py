"""Forwarded GET /parties requests, with the time until which each waits for its answer.

Only the DFSP that received the request may answer. Only the requester gets the answer. If there is no answer in time,
the requester gets 2004 (FSPIOP API v1.1, section 7.6). If the request cannot be delivered, the outbox reports that
itself.
"""

from django.conf import settings

from directory import store
from directory.models import PartyLookup
from fspiop.errors import ErrorCode, FspiopError
from hub import outbox
from hub.outbox import unanswered
from hub.outbox.messages import Outgoing, Recipient


def ask(question: Outgoing, *, version: str) -> None:
    """Forwards a request and stores it. A repeated request waits again. `version` is the version of the answer."""
    store.ask(question, version=version, wait_s=settings.PARTY_ANSWER_S)
    outbox.poke({question.destination_id})


def answer(reply: Outgoing, *, answerer_id: int) -> None:
    """Forwards an answer to the DFSP that sent the request. Raises FspiopError where that DFSP has sent none.

    A lookup can still be answered for PARTY_ANSWER_S after its end: an answer may be late or repeated.
    """
    if not store.answer(reply, answerer_id=answerer_id, keep_s=settings.PARTY_ANSWER_S):
        raise FspiopError(ErrorCode.CLIENT_ERROR, "FSPIOP-Destination has not requested this party from the sender")
    outbox.poke({reply.destination_id})


def report_unanswered() -> int:
    """Reports to requesters that no answer came in time. Returns the number of lookups."""
    return unanswered.report(LOOKUPS)


def forget_ended() -> int:
    """Removes the lookups that ended PARTY_ANSWER_S ago. Returns their number."""
    return unanswered.forget_ended(LOOKUPS, keep_s=settings.PARTY_ANSWER_S)


def _late(lookup: PartyLookup) -> unanswered.Late:
    return unanswered.Late(
        id=lookup.pk,
        requester=Recipient(lookup.requester_id, lookup.requester.name, lookup.version),
        asked_id=lookup.owner_id,
        asked_at=lookup.asked_at,
        subject=lookup.subject,
        error_path=lookup.error_path,
    )


LOOKUPS = unanswered.Requests(PartyLookup, "requester", batch="lookups", ended_batch="ended-lookups", read=_late)
