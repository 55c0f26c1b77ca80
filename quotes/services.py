"""Asking for terms, answering, refusing: stored, then passed on byte for byte. The same for each kind of agreement.

A message is stored and its forwarding queued in one transaction; `Letter` is the message as it came.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from fspiop import time, versions
from fspiop.errors import ErrorCode, FspiopError
from hub.outbox.messages import Outgoing, from_hub, passed_on
from hub.participants.models import Participant
from quotes.models import Agreement

A = TypeVar("A", bound=Agreement)
Send = Callable[[list[Outgoing]], None]


@dataclass(frozen=True, slots=True)
class Letter:
    """A message about an agreement: who sent it, its bytes and headers, and the digest of its parsed content."""

    sender_id: int
    body: bytes
    headers: dict[str, str]
    digest: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for, by which id, of whom; `columns` are those that this kind of agreement has besides."""

    id: str
    payee: Participant
    expires_at: datetime | None
    columns: Mapping[str, Any] = field(default_factory=dict)


def ask(kind: type[A], request: Request, letter: Letter, *, send: Send) -> None:
    """Stores a request for terms and passes it on to the payee.

    The same again is passed on again, or answered with what the payee answered; other content under the same id is
    refused with 3106 and changes nothing.
    """
    with transaction.atomic(durable=True):
        agreement, is_new = kind._default_manager.get_or_create(
            pk=request.id,
            defaults={
                **request.columns,
                "payer_id": letter.sender_id,
                "payee": request.payee,
                "request": letter.body,
                "request_headers": letter.headers,
                "request_digest": letter.digest,
                "expires_at": request.expires_at,
            },
        )
        if not is_new:
            if agreement.payer_id != letter.sender_id or bytes(agreement.request_digest) != letter.digest:
                raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this ID was used with other content")
            if agreement.state != Agreement.State.PENDING:
                send([answer_again(agreement)])
                return
        send([_request(agreement)])


def answer(
    kind: type[A],
    agreement_id: str,
    letter: Letter,
    *,
    state: Agreement.State,
    columns: Mapping[str, Any],
    send: Send,
) -> None:
    """Stores the payee's terms, or either side's refusal, and passes it on to the other side.

    Only the payee may give terms. The same answer again is taken and changes nothing; another one is refused (3106).
    """
    with transaction.atomic(durable=True):
        agreement = _locked(kind, agreement_id, letter.sender_id)
        is_by_payee = letter.sender_id == agreement.payee_id
        if state is Agreement.State.ACCEPTED and not is_by_payee:
            raise unknown(kind)
        if agreement.response_digest is not None and bytes(agreement.response_digest) == letter.digest:
            return
        if agreement.state == Agreement.State.EXPIRED:
            raise FspiopError(ErrorCode.QUOTE_EXPIRED, "the payer was told that no answer came in time")
        if agreement.state == Agreement.State.REJECTED or (
            agreement.state == Agreement.State.ACCEPTED and state is agreement.state
        ):
            raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this quote was answered with other content")
        if agreement.state == Agreement.State.ACCEPTED and is_by_payee:
            raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this quote was answered with terms")
        agreement.state = state
        for name, value in columns.items():
            setattr(agreement, name, value)
        agreement.response, agreement.response_headers = letter.body, letter.headers
        agreement.response_digest, agreement.answered_at = letter.digest, datetime.now(UTC)
        agreement.save()
        send([_passed_on(agreement, letter, agreement.payer if is_by_payee else agreement.payee)])


def find(kind: type[A], agreement_id: str, *, asker_id: int) -> A:
    """An agreement of the asker's; an error where there is none, or it is none of the asker's business."""
    return _of(asker_id, kind, kind._default_manager.filter(pk=agreement_id))


def unknown(kind: type[Agreement]) -> FspiopError:
    return FspiopError(kind.not_found)


def _locked(kind: type[A], agreement_id: str, sender_id: int) -> A:
    rows = kind._default_manager.select_for_update(no_key=True, of=("self",))
    return _of(sender_id, kind, rows.filter(pk=agreement_id))


def _of(participant_id: int, kind: type[A], rows: QuerySet[A]) -> A:
    agreement = rows.select_related("payer", "payee").first()
    if agreement is None or participant_id not in (agreement.payer_id, agreement.payee_id):
        raise unknown(kind)
    return agreement


def _request(agreement: Agreement) -> Outgoing:
    path = f"/{agreement.resource}"
    return passed_on(
        headers=agreement.request_headers,
        body=bytes(agreement.request),
        to_id=agreement.payee_id,
        to=agreement.payee.name,
        method="POST",
        path=path,
        subject=agreement.pk,
        kind="quote-request",
        reply_to_id=agreement.payer_id,
        error_path=f"{path}/{agreement.pk}/error",
    )


def answer_again(agreement: Agreement) -> Outgoing:
    """The answer that the agreement has, for its payer: as the payee wrote it, or that none came."""
    if agreement.response is None:
        return unanswered(agreement)
    assert agreement.response_headers is not None
    letter = Letter(agreement.payee_id, bytes(agreement.response), agreement.response_headers, b"")
    return _passed_on(agreement, letter, agreement.payer)


def unanswered(agreement: Agreement) -> Outgoing:
    """Tells the payer that no answer came: until its expiration (3302), or in the time that the hub gives (2004)."""
    if agreement.expires_at is not None:
        return said_by_hub(agreement, to=agreement.payer, error=FspiopError(ErrorCode.QUOTE_EXPIRED))
    error = FspiopError(ErrorCode.SERVER_TIMED_OUT, "no answer came from the DFSP that was asked")
    return said_by_hub(agreement, to=agreement.payer, error=error)


def said_by_hub(agreement: Agreement, *, to: Participant, error: FspiopError) -> Outgoing:
    """The hub's own word to one side that nothing came of an agreement, in the version of the request."""
    content_type = agreement.request_headers["content-type"]
    return from_hub(
        hub_name=settings.HUB_NAME,
        date=time.http_date(datetime.now(UTC)),
        to_id=to.pk,
        to=to.name,
        method="PUT",
        path=f"/{agreement.resource}/{agreement.pk}/error",
        version=str(versions.read_content_type(content_type, agreement.resource)),
        body=error.body(),
        subject=agreement.pk,
        kind="refusal",
    )


def _passed_on(agreement: Agreement, letter: Letter, to: Participant) -> Outgoing:
    path = f"/{agreement.resource}/{agreement.pk}"
    return passed_on(
        headers=letter.headers,
        body=letter.body,
        to_id=to.pk,
        to=to.name,
        method="PUT",
        path=path + ("/error" if agreement.state == Agreement.State.REJECTED else ""),
        subject=agreement.pk,
        kind="quote-answer",
    )
