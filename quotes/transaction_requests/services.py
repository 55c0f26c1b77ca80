"""Stores and forwards requests to pay and their answers, byte for byte. A request to pay asks a payer's DFSP for a
payment."""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.fields.json import KT
from django.db.models.functions import Now

from fspiop.errors import ErrorCode, FspiopError
from hub import fair_overdue_rows, outbox
from hub.api.forwarding import check_destination
from hub.outbox.messages import Destination, IfPending, Outgoing, ReceivedMessage, forward
from hub.participants.participant_checks import Party
from hub.sweeps import isolating_batches
from quotes.commands_and_facts import AgreementMessage
from quotes.forwarded import pending_requests
from quotes.models import TransactionRequest
from quotes.services import Send, error_callback

State = TransactionRequest.State
ENDS = frozenset({State.ACCEPTED, State.REJECTED, State.FAILED})
_STEP = {State.SENT: 0, State.RECEIVED: 1, State.PENDING: 2} | dict.fromkeys(ENDS, 3)
_BATCH, _SWEEP = "requests-to-pay", 500


@dataclass(frozen=True, slots=True)
class Request:
    transaction_request_id: str
    payer: Party
    expires_at: datetime | None


def ask(request: Request, message: AgreementMessage, *, send: Send) -> None:
    """Stores a transaction request and forwards it to the payer's DFSP.

    If a request to pay is repeated, the hub forwards the request again. If the request has already ended, the hub
    instead reports the stored outcome to the payee's DFSP. If a request has the id of an earlier request but different
    content, the hub refuses the new request with 3106 and changes nothing.
    """
    is_late = request.expires_at is not None and request.expires_at <= datetime.now(UTC)
    expired = FspiopError(ErrorCode.TRANSACTION_REQUEST_EXPIRED, "expiration is not in the future")
    if is_late and not TransactionRequest.objects.filter(pk=request.transaction_request_id).exists():
        raise expired
    with transaction.atomic(durable=True):
        found, is_new = TransactionRequest.objects.get_or_create(
            transaction_request_id=request.transaction_request_id,
            defaults={
                "payee_id": message.sender_id,
                "payer_id": request.payer.id,
                "request": message.body,
                "request_headers": message.headers,
                "request_digest": message.digest,
                "expires_at": request.expires_at,
            },
        )
        if not is_new and (found.payee_id != message.sender_id or bytes(found.request_digest) != message.digest):
            raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this ID was used with other content")
        if is_late and found.state == State.SENT:
            raise expired  # the hub does not forward an expired request again
        if not found.request:  # the hub has erased the stored message, but this message has the same content
            found.request, found.request_headers = message.body, message.headers
        if found.state in ENDS:
            send([ending(found)])
        else:
            send([_request(found, if_pending=IfPending.ADD if is_new else IfPending.SKIP)])


def answer(transaction_request_id: str, message: AgreementMessage, *, state: State, send: Send) -> None:
    """Forwards an answer that one party of a request to pay sent. The recipient is the other party.

    If the request has not ended, also stores the answer of the payer's DFSP.

    The payer's DFSP answers the request to pay. Each answer of the payer's DFSP can move the request to a later state.
    The payee's DFSP sends an answer only to a GET about the request. If an answer does not change the request's state,
    the hub forwards the answer only to a waiting GET. If no GET waits, a repetition of the stored answer has no effect,
    and the hub refuses any different answer with 3106.
    """
    with transaction.atomic(durable=True):
        found = _find(transaction_request_id, message.sender_id, is_to_change=True)
        is_payers = message.sender_id == found.payer_id
        to = found.payee if is_payers else found.payer
        check_destination(message.headers.get("fspiop-destination"), to.name)
        was_asked = pending_requests.end(
            found.resource, found.transaction_request_id, asker_id=to.pk, asked_id=message.sender_id
        )
        if is_payers and _brings_on(found, message, state, was_asked=was_asked):
            _keep(found, message, state)
        elif is_payers and not was_asked:
            return
        elif not was_asked:
            raise FspiopError(ErrorCode.CLIENT_ERROR, "the payer has not requested this transaction request's state")
        send([_answer(found, message, to, is_error=state is State.FAILED)])


def _brings_on(found: TransactionRequest, message: AgreementMessage, state: State, *, was_asked: bool) -> bool:
    """Returns whether an answer of the payer's DFSP changes the state of the request to pay.

    Returns False if the answer repeats an earlier answer, or if the answer only responds to a GET. Raises FspiopError
    3106 if the answer is not allowed.
    """
    if found.response_digest is not None and bytes(found.response_digest) == message.digest:
        return False
    if found.state in ENDS or not (was_asked or _STEP[state] > _STEP[State(found.state)]):
        raise FspiopError(ErrorCode.MODIFIED_REQUEST, f"this transaction request is {found.state} already")
    return _STEP[state] > _STEP[State(found.state)]


def _keep(found: TransactionRequest, message: AgreementMessage, state: State) -> None:
    found.state = state
    found.response, found.response_headers, found.response_digest = message.body, message.headers, message.digest
    found.answered_at = datetime.now(UTC)
    found.save()


def find(transaction_request_id: str, *, asker_id: int) -> TransactionRequest:
    """Returns the caller's transaction request.

    Raises 3206 if the transaction request does not exist, or if the caller is not a party to the request.
    """
    return _find(transaction_request_id, asker_id)


def ending(found: TransactionRequest) -> Outgoing:
    """Returns the message that reports to the payee's DFSP how a transaction request ended. The message is the answer
    of the payer's DFSP, or the hub's own error."""
    if found.response:
        assert found.response_headers is not None
        response = ReceivedMessage(bytes(found.response), found.response_headers)
        callback = _answer(found, response, found.payee, is_error=found.state == State.FAILED)
    else:  # no answer came, or the hub has erased the stored answer
        callback = _expired(found, content_type=found.request_headers["content-type"])
    callback.if_pending = IfPending.SKIP
    return callback


def fail_unanswered() -> int:
    """Ends requests to pay that got no answer before the expiration, and notifies the payee DFSPs. Processes one payee
    DFSP after another.

    Returns the number of ended requests.

    Two calls can run at the same time, because each call skips rows that the other call has locked.
    """
    return isolating_batches.in_groups(_BATCH, find=_find_late, work=_fail, most=_SWEEP)


def _late() -> "QuerySet[TransactionRequest]":
    return TransactionRequest.objects.filter(state=State.SENT, expires_at__lte=Now())


def _fail(ids: list[str]) -> int:
    with transaction.atomic(durable=True):
        late = list(
            _late()
            .filter(pk__in=ids)
            .select_for_update(skip_locked=True, no_key=True, of=("self",))
            .select_related("payee")
            .annotate(content_type=KT("request_headers__content-type"))
            .only("expires_at", "payee__name")  # does not read the messages, which can be large
        )
        ended = TransactionRequest.objects.filter(pk__in=[found.pk for found in late])
        ended.update(state=State.FAILED, answered_at=datetime.now(UTC))
        outbox.append([_expired(found, content_type=found.content_type) for found in late])
    outbox.poke({found.payee_id for found in late})
    return len(late)


def _find_late(most: int) -> list[str]:
    table, key = "quotes_transactionrequest", "transaction_request_id"
    late = fair_overdue_rows.Way("state = 'SENT' AND expires_at <= statement_timestamp()", "expires_at", "expires_at")
    return fair_overdue_rows.overdue(_BATCH, table, key, of="payee_id", ways=[late], most=most)


def _find(transaction_request_id: str, party_id: int, *, is_to_change: bool = False) -> TransactionRequest:
    rows = TransactionRequest.objects.select_related("payer", "payee")
    if is_to_change:
        rows = rows.select_for_update(no_key=True, of=("self",))
    found = rows.filter(pk=transaction_request_id).first()
    if found is None or party_id not in (found.payer_id, found.payee_id):
        raise FspiopError(TransactionRequest.not_found)
    return found


def _path(found: TransactionRequest) -> str:
    return f"/transactionRequests/{found.transaction_request_id}"


def _request(found: TransactionRequest, *, if_pending: IfPending) -> Outgoing:
    return forward(
        ReceivedMessage(bytes(found.request), found.request_headers),
        found.payer,
        "POST",
        "/transactionRequests",
        subject=found.order_of(found.transaction_request_id),
        kind="request-to-pay",
        source_id=found.payee_id,
        if_pending=if_pending,
        reply_to_id=found.payee_id,
        error_path=_path(found) + "/error",
    )


def _answer(found: TransactionRequest, message: ReceivedMessage, to: Destination, *, is_error: bool) -> Outgoing:
    """Makes the message by which the hub forwards an answer about a request to pay. `source_id` is the id of the DFSP
    that waits for the answer."""
    path, order = _path(found) + ("/error" if is_error else ""), found.order_of(found.transaction_request_id)
    return forward(message, to, "PUT", path, subject=order, kind="request-to-pay-answer", source_id=to.id)


def _expired(found: TransactionRequest, *, content_type: str | None) -> Outgoing:
    error = FspiopError(ErrorCode.TRANSACTION_REQUEST_EXPIRED)
    order = found.order_of(found.transaction_request_id)
    return error_callback(found, found.payee, error, content_type=content_type, subject=order)
