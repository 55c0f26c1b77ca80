"""GET /parties on its way: who waits for whose answer, and until when.

Only the DFSP that was asked may answer, and only the requester gets the answer. If it takes the question and stays
silent, the requester gets 2004 (FSPIOP API v1.1, section 7.6); if it cannot be reached, the outbox reports that itself.
"""

from django.conf import settings

from directory import store
from directory.models import PartyLookup
from fspiop.errors import ErrorCode, FspiopError
from hub import outbox
from hub.outbox import unanswered
from hub.outbox.messages import Outgoing, Recipient


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
    """Reports to requesters that no answer came in time; returns how many lookups."""
    return unanswered.report(LOOKUPS)


def forget_ended() -> int:
    """Removes the lookups that ended PARTY_ANSWER_S ago; returns how many."""
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
