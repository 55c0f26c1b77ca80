"""Questions that one DFSP asks another by a GET, about an id: who waits for whose answer, and until when.

Only the DFSP that was asked may answer, and only the asker gets the answer. If the DFSP takes the question and stays
silent, the asker gets 2004; if it cannot be reached, the outbox reports that itself.
"""

from django.conf import settings
from django.db import transaction

from hub import outbox
from hub.outbox import unanswered
from hub.outbox.messages import Outgoing, Recipient
from quotes.forwarded import store
from quotes.models import Question, TransactionRequest


def order_of(resource: str, subject: str, asker_id: int) -> str:
    """The subject of the messages about one question, which names resource and asker: the end of a transfer of the same
    id, or another's question about it, waits for none of them. A request to pay is between two DFSPs, and its questions
    stay behind the request itself."""
    if resource == TransactionRequest.resource:
        return TransactionRequest.order_of(subject)
    return f"{resource}/{subject} {asker_id}"


def ask(question: Outgoing, *, resource: str, subject: str, version: str) -> None:
    """Passes a question on and remembers it; asked again, it is waited for anew. `version` is that of the answer."""
    with transaction.atomic(durable=True):
        store.remember(question, resource=resource, subject=subject, version=version, wait_s=settings.CUSTOMER_ANSWER_S)
        outbox.append([question])  # in the place of one that still waits
    outbox.poke({question.destination_id})


def answer(reply: Outgoing, *, resource: str, subject: str, answerer_id: int) -> bool:
    """Brings an answer back to the DFSP that asked the sender for it; False where that one has not.

    A question that has ended is answered for PARTY_ANSWER_S longer: the answer may be repeated, or late.
    """
    was_asked = store.answer(
        reply, resource=resource, subject=subject, asked_id=answerer_id, keep_s=settings.PARTY_ANSWER_S
    )
    if was_asked:
        outbox.poke({reply.destination_id})
    return was_asked


def end(resource: str, subject: str, *, asker_id: int, asked_id: int) -> bool:
    """Whether the one waits for the other's answer about this id, or did a while ago; it is answered now."""
    return store.end(
        resource=resource, subject=subject, asked_id=asked_id, asker_id=asker_id, keep_s=settings.PARTY_ANSWER_S
    )


def askers_of(resource: str, subject: str, *, asked_id: int) -> list[int]:
    """Who has asked this participant about this id."""
    found = Question.objects.filter(resource=resource, subject=subject, asked_id=asked_id)
    return list(found.values_list("asker_id", flat=True)[:2])


def report_unanswered() -> int:
    """Reports to requesters that no answer came in time; returns how many questions."""
    return unanswered.report(QUESTIONS)


def forget_ended() -> int:
    """Removes the questions that ended PARTY_ANSWER_S ago; returns how many."""
    return unanswered.forget_ended(QUESTIONS, keep_s=settings.PARTY_ANSWER_S)


def _late(question: Question) -> unanswered.Late:
    return unanswered.Late(
        id=question.pk,
        requester=Recipient(question.asker_id, question.asker.name, question.version),
        asked_id=question.asked_id,
        asked_at=question.asked_at,
        subject=order_of(question.resource, question.subject, question.asker_id),
        error_path=f"/{question.resource}/{question.subject}/error",
    )


QUESTIONS = unanswered.Requests(Question, "asker", batch="questions", ended_batch="ended-questions", read=_late)
