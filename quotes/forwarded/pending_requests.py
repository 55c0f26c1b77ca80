"""Forwards GET requests about an id from one DFSP to another, and the answers.

Stores the time until which each request waits. Only the DFSP that received the request may answer. Only the requester
gets the answer. If no answer comes in time, the requester gets 2004. If the request cannot be delivered, the outbox
reports the failure.
"""

from django.conf import settings
from django.db import transaction

from hub import outbox
from hub.outbox import unanswered
from hub.outbox.messages import Outgoing, Recipient
from quotes.forwarded import store
from quotes.models import Question, TransactionRequest


def order_of(resource: str, subject: str, asker_id: int) -> str:
    """Returns the subject of the messages about one question. The subject contains the resource and the requester.

    So messages about a question do not wait for messages about a transfer with the question's id, or for another DFSP's
    question about this id. Only two DFSPs have a part in a request to pay. So questions about a request to pay wait
    until the request is delivered.
    """
    if resource == TransactionRequest.resource:
        return TransactionRequest.order_of(subject)
    return f"{resource}/{subject} {asker_id}"


def ask(question: Outgoing, *, resource: str, subject: str, version: str) -> None:
    """Forwards a question and stores it. The waiting time of a repeated question begins again.

    `version` is the version of the answer.
    """
    with transaction.atomic(durable=True):
        store.remember(question, resource=resource, subject=subject, version=version, wait_s=settings.CUSTOMER_ANSWER_S)
        outbox.append([question])  # a repeated question replaces the one that still waits in the outbox
    outbox.poke({question.destination_id})


def answer(reply: Outgoing, *, resource: str, subject: str, answerer_id: int) -> bool:
    """Forwards an answer to the DFSP that FSPIOP-Destination names.

    Returns False if this DFSP has sent no matching question.

    For PARTY_ANSWER_S after a question's end, the hub still accepts a late or repeated answer.
    """
    was_asked = store.answer(
        reply, resource=resource, subject=subject, asked_id=answerer_id, keep_s=settings.PARTY_ANSWER_S
    )
    if was_asked:
        outbox.poke({reply.destination_id})
    return was_asked


def end(resource: str, subject: str, *, asker_id: int, asked_id: int) -> bool:
    """Ends the question that one DFSP sent to another DFSP about this id.

    Returns False if no such question waits or ended less than PARTY_ANSWER_S ago.
    """
    return store.end(
        resource=resource, subject=subject, asked_id=asked_id, asker_id=asker_id, keep_s=settings.PARTY_ANSWER_S
    )


def askers_of(resource: str, subject: str, *, asked_id: int) -> list[int]:
    """Returns the DFSPs that sent this participant a question about this id, at most two."""
    found = Question.objects.filter(resource=resource, subject=subject, asked_id=asked_id)
    return list(found.values_list("asker_id", flat=True)[:2])


def report_unanswered() -> int:
    """Notifies the requesters of overdue questions because no answer came in time.

    Returns the number of reported questions.
    """
    return unanswered.report(QUESTIONS)


def forget_ended() -> int:
    """Removes the questions that ended PARTY_ANSWER_S or longer ago. Returns the number of removed questions."""
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
