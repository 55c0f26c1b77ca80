"""A DFSP can send a GET with an id to another DFSP. Forwards the GET, and forwards the answer.

For each forwarded GET, stores how long the GET waits for an answer. The hub accepts an answer to a forwarded GET only
from the DFSP that received the GET. The hub forwards the answer only to the DFSP that sent the GET. If no answer to a
forwarded GET comes in time, the DFSP that sent the GET gets 2004. If the hub cannot deliver a forwarded GET, the outbox
reports the failure to the DFSP that sent the GET.
"""

from django.conf import settings
from django.db import transaction

from hub import outbox
from hub.outbox import unanswered
from hub.outbox.messages import Outgoing, Recipient
from quotes.forwarded import store
from quotes.models import Question, TransactionRequest


def order_of(resource: str, subject: str, asker_id: int) -> str:
    """Returns the subject of the messages about one question. A question is a forwarded GET. The subject of a
    question's messages contains the resource and the requester.

    Messages about a question do not wait for messages about a transfer with the same id. Messages about a question
    also do not wait for another DFSP's question about the same id. A request to pay concerns only two DFSPs. The hub
    delivers questions about a request to pay only after the request itself is delivered.
    """
    if resource == TransactionRequest.resource:
        return TransactionRequest.order_of(subject)
    return f"{resource}/{subject} {asker_id}"


def ask(question: Outgoing, *, resource: str, subject: str, version: str) -> None:
    """Forwards and stores a question. A question is a GET that one DFSP sends to another DFSP. If the DFSP repeats the
    question, the waiting time of the question begins again. `version` is the API version of the answer.
    """
    with transaction.atomic(durable=True):
        store.remember(question, resource=resource, subject=subject, version=version, wait_s=settings.CUSTOMER_ANSWER_S)
        outbox.append([question])  # a repeated question replaces the earlier question that still waits in the outbox
    outbox.poke({question.destination_id})


def answer(reply: Outgoing, *, resource: str, subject: str, answerer_id: int) -> bool:
    """Forwards an answer to the DFSP that FSPIOP-Destination names.

    Returns False if the named DFSP has not sent a question that matches the answer.

    For PARTY_ANSWER_S seconds after a question's end, the hub still accepts a late or repeated answer.
    """
    was_asked = store.answer(
        reply, resource=resource, subject=subject, asked_id=answerer_id, keep_s=settings.PARTY_ANSWER_S
    )
    if was_asked:
        outbox.poke({reply.destination_id})
    return was_asked


def end(resource: str, subject: str, *, asker_id: int, asked_id: int) -> bool:
    """Ends the stored question about this id, from one DFSP to another DFSP.

    Returns True if such a question still waited, or had ended in the last PARTY_ANSWER_S seconds.
    """
    return store.end(
        resource=resource, subject=subject, asked_id=asked_id, asker_id=asker_id, keep_s=settings.PARTY_ANSWER_S
    )


def askers_of(resource: str, subject: str, *, asked_id: int) -> list[int]:
    """Returns the DFSPs that have sent this participant a question about this id. Returns at most two DFSPs."""
    found = Question.objects.filter(resource=resource, subject=subject, asked_id=asked_id)
    return list(found.values_list("asker_id", flat=True)[:2])


def report_unanswered() -> int:
    """For each question without an answer in time, sends an error callback to the DFSP that sent the question.

    Returns the number of reported questions.
    """
    return unanswered.report(QUESTIONS)


def forget_ended() -> int:
    """Removes the questions that ended at least PARTY_ANSWER_S seconds ago. Returns the number of removed questions."""
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
