"""Makes the messages that the hub sends about an agreement. A message forwards a request or an answer, repeats a stored
answer, or reports an error. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from fspiop import versions
from fspiop.errors import ErrorCode, FspiopError
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
from quotes.commands_and_facts import State


class AnAgreement(Protocol):
    """A stored agreement: a row of any kind of agreement, or `quotes.commands_and_facts.Stored`."""

    @property
    def pk(self) -> str: ...

    @property
    def resource(self) -> str: ...

    @property
    def not_found(self) -> ErrorCode: ...

    @property
    def state(self) -> str: ...

    @property
    def payer(self) -> Destination: ...

    @property
    def expires_at(self) -> datetime | None: ...

    @property
    def request_headers(self) -> Mapping[str, str]: ...

    @property
    def response(self) -> "bytes | memoryview[int] | None": ...

    @property
    def response_headers(self) -> Mapping[str, str] | None: ...


def request_of(
    resource: str, agreement_id: str, message: ReceivedMessage, payee: Destination, *, requester_id: int
) -> Outgoing:
    """Returns the message by which the hub forwards a request for terms to the payee."""
    path = f"/{resource}"
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


def answer_of(
    resource: str,
    agreement_id: str,
    message: ReceivedMessage,
    to: Destination,
    *,
    is_error: bool,
    source_id: int,
    if_pending: IfPending = IfPending.ADD,
) -> Outgoing:
    """Returns the message by which the hub forwards one party's answer to the other party."""
    path = f"/{resource}/{agreement_id}" + ("/error" if is_error else "")
    return forward(
        message, to, "PUT", path, subject=agreement_id, kind="quote-answer", source_id=source_id, if_pending=if_pending
    )


def answer_again(agreement: AnAgreement, hub: HubMessages) -> Outgoing:
    """Returns the message that sends the payer the stored answer: the payee's answer, or a report that no answer
    arrived."""
    if agreement.response is None:
        return unanswered(agreement, hub, content_type=agreement.request_headers["content-type"])
    if not agreement.response:  # the stored message has been erased
        error = FspiopError(agreement.not_found, "the answer has been erased")
        content_type = agreement.request_headers["content-type"]
        return error_callback(agreement, agreement.payer, error, hub, content_type=content_type, subject=agreement.pk)
    assert agreement.response_headers is not None
    message = answer_of(
        agreement.resource,
        agreement.pk,
        ReceivedMessage(bytes(agreement.response), dict(agreement.response_headers)),
        agreement.payer,
        is_error=agreement.state == State.REJECTED,
        source_id=agreement.payer.id,
        if_pending=IfPending.SKIP,
    )
    # The stored answer can be the hub's own refusal of terms that would expire too early.
    message.signed_by_hub = hub.has_sent(agreement.response_headers)
    return message


def unanswered(agreement: AnAgreement, hub: HubMessages, *, content_type: str | None) -> Outgoing:
    """Notifies the payer that no answer arrived in time. The error is 3302 if the request had an expiration, and 2004
    if the hub's own time limit applied."""
    error = FspiopError(ErrorCode.SERVER_TIMED_OUT, "the DFSP that received the request did not answer")
    if agreement.expires_at is not None:
        error = FspiopError(ErrorCode.QUOTE_EXPIRED)
    return error_callback(agreement, agreement.payer, error, hub, content_type=content_type, subject=agreement.pk)


class _Named(Protocol):
    @property
    def pk(self) -> str: ...

    @property
    def resource(self) -> str: ...


def error_callback(
    agreement: _Named, to: Destination, error: FspiopError, hub: HubMessages, *, content_type: str | None, subject: str
) -> Outgoing:
    """Reports to one party that an agreement failed. The report has the API version of the party's request."""
    recipient = Recipient(to.id, to.name, str(versions.read_content_type(content_type, agreement.resource)))
    path = f"/{agreement.resource}/{agreement.pk}/error"
    return as_answer(hub.error(recipient, path, error.code, error.description, subject=subject, kind="refusal"))
