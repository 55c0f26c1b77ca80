"""Questions that one DFSP asks another by a GET, about an id: who waits for whose answer, and until when.

Only the DFSP that was asked may answer, and only the asker gets the answer. If the DFSP takes the question and stays
silent, the asker gets 2004; if it cannot be reached, the outbox reports that itself.
"""

from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from fspiop.errors import ErrorCode, FspiopError
from hub import fair_share, outbox
from hub.outbox import queries as outbox_queries
from hub.outbox.messages import HubMessages, Outgoing, Recipient, as_answer
from hub.outbox.models import Message
from hub.sweeps import batches
from quotes.forwarded import store
from quotes.models import Question, TransactionRequest

_BATCH, _SWEEP = "questions", 500
_LATER = timedelta(seconds=5)
_FORGET = 1000


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
    """Tells who asked that no answer came in time, each asker's questions in turn; returns how many.

    Sweeps at once do no harm: a row that one has locked the others leave alone.
    """
    return batches.in_groups(_BATCH, find=_find_late, work=_end_silent, most=_SWEEP)


def _find_late(most: int) -> list[str]:
    late = fair_share.Way("ended_at IS NULL AND answer_by <= statement_timestamp()", "answer_by", "answer_by")
    return fair_share.overdue(_BATCH, "quotes_question", "id", of="asker_id", ways=[late], most=most)


def _end_silent(ids: list[str]) -> int:
    with transaction.atomic(durable=True):
        late = list(
            Question.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("asker")
            .filter(pk__in=ids, ended_at=None, answer_by__lte=Now())
        )
        if not late:
            return 0
        outstanding = outbox_queries.not_taken(
            to={question.asked_id for question in late}, about={_order_of(question) for question in late}
        )

        def rests_with_the_outbox(question: Question, state: str) -> bool:
            since = outstanding.get((question.asker_id, question.asked_id, _order_of(question), state))
            return since is not None and since >= question.asked_at

        # The question is still on its way: the outbox delivers it or tells who asked, and this looks again.
        on_its_way = {question.pk for question in late if rests_with_the_outbox(question, Message.State.PENDING)}
        Question.objects.filter(pk__in=on_its_way).update(answer_by=F("answer_by") + _LATER)
        over = [question for question in late if question.pk not in on_its_way]
        Question.objects.filter(pk__in=[question.pk for question in over]).update(ended_at=Now())
        silent = [question for question in over if not rests_with_the_outbox(question, Message.State.DEAD)]
        hub = HubMessages(settings.HUB_NAME, datetime.now(UTC))
        outbox.append([_timed_out(hub, question) for question in silent])
    outbox.poke({question.asker_id for question in silent})
    return len(silent)


def forget_ended() -> int:
    """Removes the questions that ended PARTY_ANSWER_S ago, by the thousand; returns how many."""
    keep_s = settings.PARTY_ANSWER_S
    return batches.in_groups(
        store.ENDED,
        find=lambda most: store.find_ended(keep_s=keep_s, most=most),
        work=lambda ids: store.forget(ids, keep_s=keep_s),
        most=_FORGET,
    )


def _order_of(question: Question) -> str:
    return order_of(question.resource, question.subject, question.asker_id)


def _timed_out(hub: HubMessages, question: Question) -> Outgoing:
    error = FspiopError(ErrorCode.SERVER_TIMED_OUT, "no answer came from the DFSP that was asked")
    requester = Recipient(question.asker_id, question.asker.name, question.version)
    path, order = f"/{question.resource}/{question.subject}/error", _order_of(question)
    return as_answer(hub.error(requester, path, error.code, error.description, subject=order, kind="unanswered"))
