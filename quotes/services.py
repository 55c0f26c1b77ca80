"""Asking for terms, answering, refusing: stored, then passed on byte for byte.

A message is stored and its forwarding queued in one transaction; `Letter` is the message as it came.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from fspiop.errors import ErrorCode, FspiopError
from hub.outbox.messages import Outgoing, passed_on
from hub.participants.models import Participant
from quotes.models import Quote


@dataclass(frozen=True, slots=True)
class Letter:
    """A message about a quote: who sent it, its bytes and headers, and the digest of its parsed content."""

    sender_id: int
    body: bytes
    headers: dict[str, str]
    digest: bytes


@dataclass(frozen=True, slots=True)
class Request:
    quote_id: str
    transaction_id: str
    payee: Participant
    expires_at: datetime | None


def ask(request: Request, letter: Letter, *, send: Callable[[list[Outgoing]], None]) -> None:
    """Stores a quote request and passes it on to the payee.

    The same again is passed on again, or answered with what the payee answered; other content under the same id is
    refused with 3106 and changes nothing.
    """
    with transaction.atomic(durable=True):
        quote, is_new = Quote.objects.get_or_create(
            quote_id=request.quote_id,
            defaults={
                "transaction_id": request.transaction_id,
                "payer_id": letter.sender_id,
                "payee": request.payee,
                "request": letter.body,
                "request_headers": letter.headers,
                "request_digest": letter.digest,
                "expires_at": request.expires_at,
            },
        )
        if not is_new:
            if quote.payer_id != letter.sender_id or bytes(quote.request_digest) != letter.digest:
                raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this ID was used with other content")
            if quote.state != Quote.State.PENDING:
                send([answer_again(quote)])
                return
        send([_request(quote)])


def answer(
    quote_id: str, letter: Letter, *, state: Quote.State, condition: str | None, send: Callable[[list[Outgoing]], None]
) -> None:
    """Stores the payee's terms, or either side's refusal, and passes it on to the other side.

    Only the payee may give terms. The same answer again is taken and changes nothing; another one is refused (3106).
    """
    with transaction.atomic(durable=True):
        quote = _locked(quote_id, letter.sender_id)
        if state is Quote.State.ACCEPTED and letter.sender_id != quote.payee_id:
            raise unknown()
        if quote.response_digest is not None and bytes(quote.response_digest) == letter.digest:
            return
        if quote.state == Quote.State.REJECTED or (quote.state == Quote.State.ACCEPTED and state is quote.state):
            raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this quote was answered with other content")
        is_by_payee = letter.sender_id == quote.payee_id
        if quote.state == Quote.State.ACCEPTED and is_by_payee:
            raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this quote was answered with terms")
        quote.state, quote.condition = state, condition or quote.condition
        quote.response, quote.response_headers, quote.response_digest = letter.body, letter.headers, letter.digest
        quote.answered_at = datetime.now(UTC)
        quote.save()
        send([_passed_on(quote, letter, quote.payer if is_by_payee else quote.payee)])


def find(quote_id: str, *, asker_id: int) -> Quote:
    """A quote of the asker's; 3205 where there is none, or it is none of the asker's business."""
    quote = Quote.objects.select_related("payer", "payee").filter(pk=quote_id).first()
    if quote is None or asker_id not in (quote.payer_id, quote.payee_id):
        raise unknown()
    return quote


def unknown() -> FspiopError:
    return FspiopError(ErrorCode.QUOTE_ID_NOT_FOUND)


def _locked(quote_id: str, sender_id: int) -> Quote:
    quote = (
        Quote.objects.select_for_update(no_key=True, of=("self",))
        .select_related("payer", "payee")
        .filter(pk=quote_id)
        .first()
    )
    if quote is None or sender_id not in (quote.payer_id, quote.payee_id):
        raise unknown()
    return quote


def _request(quote: Quote) -> Outgoing:
    return passed_on(
        headers=quote.request_headers,
        body=bytes(quote.request),
        to_id=quote.payee_id,
        to=quote.payee.name,
        method="POST",
        path="/quotes",
        subject=quote.quote_id,
        kind="quote-request",
        reply_to_id=quote.payer_id,
        error_path=f"/quotes/{quote.quote_id}/error",
    )


def answer_again(quote: Quote) -> Outgoing:
    """The answer that the quote has, for its payer, as the payee wrote it."""
    assert quote.response is not None
    assert quote.response_headers is not None
    letter = Letter(quote.payee_id, bytes(quote.response), quote.response_headers, b"")
    return _passed_on(quote, letter, quote.payer)


def _passed_on(quote: Quote, letter: Letter, to: Participant) -> Outgoing:
    path = f"/quotes/{quote.quote_id}" + ("/error" if quote.state == Quote.State.REJECTED else "")
    return passed_on(
        headers=letter.headers,
        body=letter.body,
        to_id=to.pk,
        to=to.name,
        method="PUT",
        path=path,
        subject=quote.quote_id,
        kind="quote-answer",
    )
