"""Requests for terms, answers and refusals: stored, then forwarded byte for byte. The same for each kind of agreement.

One transaction stores a message and adds the forwarded message to the outbox.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import QuerySet

from fspiop import versions
from fspiop.errors import ErrorCode, FspiopError
from hub import outbox
from hub.api.forwarding import check_destination
from hub.outbox.messages import (
    Destination,
    HubMessages,
    IfPending,
    Outgoing,
    ReceivedMessage,
    Recipient,
    as_answer,
    forward,
)
from hub.participants.models import Participant
from hub.participants.queries import Party
from quotes import store
from quotes.models import Agreement
from quotes.store import AgreementMessage, Standing

A = TypeVar("A", bound=Agreement)
Send = Callable[[list[Outgoing]], None]
State = Agreement.State


@dataclass(frozen=True, slots=True)
class Request:
    """A request for terms: its id, payee and expiration.

    `columns` are the further columns of this kind of agreement.
    """

    id: str
    payee: Party
    expires_at: datetime | None
    columns: Mapping[str, Any] = field(default_factory=dict)


def ask(kind: type[Agreement], request: Request, message: AgreementMessage) -> None:
    """Stores a request for terms and forwards it to the payee.

    The same request again is forwarded again, or gets the payee's stored answer. A request with other content under the
    same id is refused with 3106 and changes nothing.
    """
    forwarded = _request(kind, request.id, message, request.payee, requester_id=message.sender_id)
    is_new = store.add(
        kind,
        request.id,
        message,
        payee_id=request.payee.id,
        expires_at=request.expires_at,
        columns=request.columns,
        forwarded=forwarded,
    )
    if not is_new:
        forwarded = _asked_again(kind, request.id, message)
        forwarded.if_pending = IfPending.SKIP
        outbox.append([forwarded])
    outbox.poke({forwarded.destination_id})


def _asked_again(kind: type[Agreement], agreement_id: str, message: AgreementMessage) -> Outgoing:
    agreement = kind._default_manager.select_related("payer", "payee").get(pk=agreement_id)
    if agreement.payer_id != message.sender_id or bytes(agreement.request_digest) != message.digest:
        raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this ID was used with other content")
    if agreement.state != State.PENDING:
        return answer_again(agreement)
    first = ReceivedMessage(bytes(agreement.request), agreement.request_headers)
    return _request(kind, agreement_id, first, agreement.payee, requester_id=agreement.payer_id)


def answer(
    kind: type[Agreement],
    agreement_id: str,
    message: AgreementMessage,
    *,
    state: Agreement.State,
    columns: Mapping[str, Any],
) -> None:
    """Stores the payee's terms or either party's refusal, and forwards it to the other party.

    Only the payee may give terms. The same answer again is accepted and changes nothing. Another answer is refused
    (3106).
    """
    # The statement that stores the answer checks that the state has not changed. An agreement changes its state at most
    # twice.
    for _ in range(len(State)):
        seen = store.standing(kind, agreement_id)
        if seen is None or message.sender_id not in (seen.payer.id, seen.payee.id):
            raise unknown(kind)
        if not _is_news(kind, seen, message, state):
            return
        to = seen.payer if message.sender_id == seen.payee.id else seen.payee
        check_destination(message.headers.get("fspiop-destination"), to.name)
        is_error = state is State.REJECTED
        forwarded = _answer(kind, agreement_id, message, to, is_error=is_error, source_id=seen.payer.id)
        if store.settle(kind, agreement_id, message, seen=seen, state=state, columns=columns, forwarded=forwarded):
            outbox.poke({forwarded.destination_id})
            return
    raise AssertionError("an agreement went back to a state that it had left")


def _is_news(kind: type[Agreement], seen: Standing, message: AgreementMessage, state: Agreement.State) -> bool:
    """Whether this answer changes the agreement.

    False for a repeated answer, FspiopError for an answer that is not allowed.
    """
    is_by_payee = message.sender_id == seen.payee.id
    if state is State.ACCEPTED and not is_by_payee:
        raise unknown(kind)
    if seen.response_digest == message.digest:
        return False
    if seen.state == State.EXPIRED:
        raise FspiopError(ErrorCode.QUOTE_EXPIRED, "the hub has reported to the payer that no answer came in time")
    if seen.state == State.REJECTED or (seen.state == State.ACCEPTED and state is State.ACCEPTED):
        raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this quote was answered with other content")
    if seen.state == State.ACCEPTED and is_by_payee:
        raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this quote was answered with terms")
    return True


def find(kind: type[A], agreement_id: str, *, asker_id: int) -> A:
    """Returns the caller's agreement of this id.

    Raises an error where there is none or the caller is not a party to it.
    """
    return _of(asker_id, kind, kind._default_manager.filter(pk=agreement_id))


def unknown(kind: type[Agreement]) -> FspiopError:
    return FspiopError(kind.not_found)


def _of(participant_id: int, kind: type[A], rows: QuerySet[A]) -> A:
    agreement = rows.select_related("payer", "payee").first()
    if agreement is None or participant_id not in (agreement.payer_id, agreement.payee_id):
        raise unknown(kind)
    return agreement


def _request(
    kind: type[Agreement], agreement_id: str, message: ReceivedMessage, payee: Destination, *, requester_id: int
) -> Outgoing:
    path = f"/{kind.resource}"
    return forward(
        message,
        payee,
        "POST",
        path,
        subject=agreement_id,
        kind="quote-request",
        source_id=requester_id,
        reply_to_id=requester_id,
        error_path=f"{path}/{agreement_id}/error",
    )


def _answer(
    kind: type[Agreement],
    agreement_id: str,
    message: ReceivedMessage,
    to: Destination,
    *,
    is_error: bool,
    source_id: int,
    if_pending: IfPending = IfPending.ADD,
) -> Outgoing:
    path = f"/{kind.resource}/{agreement_id}" + ("/error" if is_error else "")
    return forward(
        message, to, "PUT", path, subject=agreement_id, kind="quote-answer", source_id=source_id, if_pending=if_pending
    )


def answer_again(agreement: Agreement) -> Outgoing:
    """Returns the stored answer for the payer: the payee's message, or the report that none arrived."""
    if agreement.response is None:
        return unanswered(agreement, content_type=agreement.request_headers["content-type"])
    if not agreement.response:  # its text has been erased
        error = FspiopError(agreement.not_found, "the answer is kept no longer")
        content_type = agreement.request_headers["content-type"]
        return error_callback(agreement, agreement.payer, error, content_type=content_type, subject=agreement.pk)
    assert agreement.response_headers is not None
    return _answer(
        type(agreement),
        agreement.pk,
        ReceivedMessage(bytes(agreement.response), agreement.response_headers),
        agreement.payer,
        is_error=agreement.state == State.REJECTED,
        source_id=agreement.payer_id,
        if_pending=IfPending.SKIP,
    )


def unanswered(agreement: Agreement, *, content_type: str | None) -> Outgoing:
    """Notifies the payer that no answer arrived before its expiration (3302) or within the hub's limit (2004)."""
    error = FspiopError(ErrorCode.SERVER_TIMED_OUT, "the DFSP that received the request did not answer")
    if agreement.expires_at is not None:
        error = FspiopError(ErrorCode.QUOTE_EXPIRED)
    return error_callback(agreement, agreement.payer, error, content_type=content_type, subject=agreement.pk)


def error_callback(
    agreement: Agreement, to: Participant, error: FspiopError, *, content_type: str | None, subject: str
) -> Outgoing:
    """Reports to one party that an agreement failed, in the version of the request."""
    hub = HubMessages(settings.HUB_NAME, datetime.now(UTC))
    recipient = Recipient(to.pk, to.name, str(versions.read_content_type(content_type, agreement.resource)))
    path = f"/{agreement.resource}/{agreement.pk}/error"
    return as_answer(hub.error(recipient, path, error.code, error.description, subject=subject, kind="refusal"))
