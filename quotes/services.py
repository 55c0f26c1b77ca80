"""Asking for terms, answering, refusing: stored, then passed on byte for byte. The same for each kind of agreement.

A message is stored and its forwarding queued in one transaction; `Letter` is the message as it came.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import QuerySet

from fspiop import time, versions
from fspiop.errors import ErrorCode, FspiopError
from hub import outbox
from hub.api.forwarding import check_destination
from hub.outbox.messages import IfPending, Outgoing, caused_by, from_hub, passed_on
from hub.participants.models import Participant
from hub.participants.queries import Party
from quotes import store
from quotes.models import Agreement
from quotes.store import Letter as Letter
from quotes.store import Standing

A = TypeVar("A", bound=Agreement)
Send = Callable[[list[Outgoing]], None]
State = Agreement.State


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for, by which id, of whom; `columns` are those that this kind of agreement has besides."""

    id: str
    payee: Party
    expires_at: datetime | None
    columns: Mapping[str, Any] = field(default_factory=dict)


def ask(kind: type[Agreement], request: Request, letter: Letter) -> None:
    """Stores a request for terms and passes it on to the payee.

    The same again is passed on again, or answered with what the payee answered; other content under the same id is
    refused with 3106 and changes nothing.
    """
    message = _request(kind, request.id, letter, to_id=request.payee.id, to=request.payee.name)
    is_new = store.add(
        kind,
        request.id,
        letter,
        payee_id=request.payee.id,
        expires_at=request.expires_at,
        columns=request.columns,
        message=message,
    )
    if not is_new:
        message = caused_by(letter.sender_id, _asked_again(kind, request.id, letter), IfPending.SKIP)
        outbox.append([message])
    outbox.poke({message.destination_id})


def _asked_again(kind: type[Agreement], agreement_id: str, letter: Letter) -> Outgoing:
    agreement = kind._default_manager.select_related("payer", "payee").get(pk=agreement_id)
    if agreement.payer_id != letter.sender_id or bytes(agreement.request_digest) != letter.digest:
        raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this ID was used with other content")
    if agreement.state != State.PENDING:
        return answer_again(agreement)
    first = Letter(agreement.payer_id, bytes(agreement.request), agreement.request_headers, letter.digest)
    return _request(kind, agreement_id, first, to_id=agreement.payee_id, to=agreement.payee.name)


def answer(
    kind: type[Agreement], agreement_id: str, letter: Letter, *, state: Agreement.State, columns: Mapping[str, Any]
) -> None:
    """Stores the payee's terms, or either side's refusal, and passes it on to the other side.

    Only the payee may give terms. The same answer again is taken and changes nothing; another one is refused (3106).
    """
    # What was seen is asked for once more by the statement that stores the answer. An agreement moves twice at most.
    for _ in range(len(State)):
        seen = store.standing(kind, agreement_id)
        if seen is None or letter.sender_id not in (seen.payer_id, seen.payee_id):
            raise unknown(kind)
        if not _is_news(kind, seen, letter, state):
            return
        to = (seen.payer_id, seen.payer) if letter.sender_id == seen.payee_id else (seen.payee_id, seen.payee)
        check_destination(letter.headers.get("fspiop-destination"), to[1])
        message = _passed_on(kind, agreement_id, letter, *to, is_error=state is State.REJECTED)
        caused_by(seen.payer_id, message)
        if store.settle(kind, agreement_id, letter, seen=seen, state=state, columns=columns, message=message):
            outbox.poke({message.destination_id})
            return
    raise AssertionError("an agreement went back to a state that it had left")


def _is_news(kind: type[Agreement], seen: Standing, letter: Letter, state: Agreement.State) -> bool:
    """Whether this answer moves the agreement; False where it was given before. FspiopError where it may not."""
    is_by_payee = letter.sender_id == seen.payee_id
    if state is State.ACCEPTED and not is_by_payee:
        raise unknown(kind)
    if seen.response_digest == letter.digest:
        return False
    if seen.state == State.EXPIRED:
        raise FspiopError(ErrorCode.QUOTE_EXPIRED, "the payer was told that no answer came in time")
    if seen.state == State.REJECTED or (seen.state == State.ACCEPTED and state is State.ACCEPTED):
        raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this quote was answered with other content")
    if seen.state == State.ACCEPTED and is_by_payee:
        raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this quote was answered with terms")
    return True


def find(kind: type[A], agreement_id: str, *, asker_id: int) -> A:
    """An agreement of the asker's; an error where there is none, or it is none of the asker's business."""
    return _of(asker_id, kind, kind._default_manager.filter(pk=agreement_id))


def unknown(kind: type[Agreement]) -> FspiopError:
    return FspiopError(kind.not_found)


def _of(participant_id: int, kind: type[A], rows: QuerySet[A]) -> A:
    agreement = rows.select_related("payer", "payee").first()
    if agreement is None or participant_id not in (agreement.payer_id, agreement.payee_id):
        raise unknown(kind)
    return agreement


def _request(kind: type[Agreement], agreement_id: str, letter: Letter, *, to_id: int, to: str) -> Outgoing:
    path = f"/{kind.resource}"
    message = passed_on(
        headers=letter.headers,
        body=letter.body,
        to_id=to_id,
        to=to,
        method="POST",
        path=path,
        subject=agreement_id,
        kind="quote-request",
        reply_to_id=letter.sender_id,
        error_path=f"{path}/{agreement_id}/error",
    )
    return caused_by(letter.sender_id, message)


def answer_again(agreement: Agreement) -> Outgoing:
    """The answer that the agreement has, for its payer: as the payee wrote it, or that none came."""
    if agreement.response is None:
        return unanswered(agreement, content_type=agreement.request_headers["content-type"])
    if not agreement.response:  # its text is kept no longer
        error = FspiopError(agreement.not_found, "the answer is kept no longer")
        content_type = agreement.request_headers["content-type"]
        return said_by_hub(agreement, to=agreement.payer, error=error, content_type=content_type)
    assert agreement.response_headers is not None
    letter = Letter(agreement.payee_id, bytes(agreement.response), agreement.response_headers, b"")
    is_error = agreement.state == State.REJECTED
    message = _passed_on(
        type(agreement), agreement.pk, letter, agreement.payer_id, agreement.payer.name, is_error=is_error
    )
    return caused_by(agreement.payer_id, message, IfPending.SKIP)


def unanswered(agreement: Agreement, *, content_type: str | None) -> Outgoing:
    """Tells the payer that no answer came: until its expiration (3302), or in the time that the hub gives (2004)."""
    error = FspiopError(ErrorCode.SERVER_TIMED_OUT, "no answer came from the DFSP that was asked")
    if agreement.expires_at is not None:
        error = FspiopError(ErrorCode.QUOTE_EXPIRED)
    return said_by_hub(agreement, to=agreement.payer, error=error, content_type=content_type)


def said_by_hub(
    agreement: Agreement,
    *,
    to: Participant,
    error: FspiopError,
    content_type: str | None,
    subject: str | None = None,
) -> Outgoing:
    """The hub's own word to one side that nothing came of an agreement, in the version of the request."""
    message = from_hub(
        hub_name=settings.HUB_NAME,
        date=time.http_date(datetime.now(UTC)),
        to_id=to.pk,
        to=to.name,
        method="PUT",
        path=f"/{agreement.resource}/{agreement.pk}/error",
        version=str(versions.read_content_type(content_type, agreement.resource)),
        body=error.body(),
        subject=agreement.pk if subject is None else subject,
        kind="refusal",
    )
    return caused_by(to.pk, message, IfPending.RENEW)


def _passed_on(
    kind: type[Agreement], agreement_id: str, letter: Letter, to_id: int, to: str, *, is_error: bool
) -> Outgoing:
    return passed_on(
        headers=letter.headers,
        body=letter.body,
        to_id=to_id,
        to=to,
        method="PUT",
        path=f"/{kind.resource}/{agreement_id}" + ("/error" if is_error else ""),
        subject=agreement_id,
        kind="quote-answer",
    )
