"""Defines the events that a changed record can cause, and the stored form of an event."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import structlog

from fspiop import bodies
from fspiop import time as fsptime
from fspiop.bodies.fx_transfers import FxTransferPost
from kitovu_connector import event_messages as messages
from kitovu_connector import logs
from kitovu_connector.bulk_transactions import BulkTransaction, Progress
from kitovu_connector.front_end_conversion_and_bulk_states import OVER, Sent, Submission
from kitovu_connector.fxp import Conversion, ConversionState
from kitovu_connector.incoming_bulk_records import BulkState, IncomingBulk
from kitovu_connector.outbound import payment_shown
from kitovu_connector.outbound_reads import incoming_line
from kitovu_connector.payment_and_quote_records import DONE, Incoming
from kitovu_connector.payment_record import ENDS, Payment
from kitovu_connector.request_to_pay_records import RequestMade, RequestState

log = structlog.get_logger(__name__)


class EventRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event that the connector sends to the core until the core has accepted the event."""

    id: str
    body: bytes
    tries: int = 0
    state: str = "WAITING"  # or DELIVERED, GIVEN_UP
    digest: bytes = b""
    alias: str | None = None
    created_at: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the core still has to accept the event."""
        return self.state == "WAITING"


def describe(kind: str, record: Any) -> EventRecord | None:
    """Returns the event that a record's new state causes, or None if this state causes no event."""
    make = _OF.get(kind)
    try:
        return None if make is None else make(record)
    except Exception as error:  # even if the connector cannot describe the event, the payment must end
        log.error("event_not_described", kind=kind, error=logs.trace_of(error))
        return None


def _event(kind: type[Any], event_id: str, data: msgspec.Struct) -> EventRecord:
    now = time.time()
    at = fsptime.format_datetime(datetime.fromtimestamp(now, UTC))
    event = kind(id=event_id, created_date=at, data=data)
    return EventRecord(id=event_id, body=msgspec.json.encode(event), created_at=now)


def _of_payment(payment: Payment) -> EventRecord | None:
    if payment.state not in ENDS:
        return None
    return _event(messages.PaymentEnded, f"payment.ended/{payment.transfer_id}", payment_shown(payment))


def _of_incoming(incoming: Incoming) -> EventRecord | None:
    if incoming.stage not in DONE:
        return None
    line = incoming_line(incoming, time.time())
    return _event(messages.TransferEnded, f"transfer.ended/{incoming.transfer_id}/{line.state}", line)


def _of_request(request: RequestMade) -> EventRecord | None:
    if request.state not in (RequestState.ANSWERED, RequestState.FAILED):
        return None
    told = messages.RequestTold(
        home_request_id=request.order.home_id,
        transaction_request_id=request.id,
        answer=request.answer,
        payer_name=request.payer.name if request.payer else None,
        payer_fsp=request.payer.fsp_id if request.payer else None,
        error_code=request.error_code,
        error_description=request.error_text,
    )
    if request.state is RequestState.FAILED:
        return _event(messages.RequestFailed, f"request.failed/{request.id}", told)
    return _event(messages.RequestAnswered, f"request.answered/{request.id}/{request.answer}", told)


def _bulk(
    bulk_id: str,
    direction: Literal["OUT", "IN"],
    *,
    home_id: str | None = None,
    is_failed: bool = False,
    error: tuple[str | None, str | None] = (None, None),
) -> EventRecord:
    told = messages.BulkTold(
        bulk_id=bulk_id,
        home_transaction_id=home_id,
        direction=direction,
        state="FAILED" if is_failed else "ENDED",
        error_code=error[0],
        error_description=error[1],
    )
    return _event(messages.BulkEnded, f"bulk.ended/{direction}/{bulk_id}", told)


def _of_bulk_transaction(bulk: BulkTransaction) -> EventRecord | None:
    return _bulk(bulk.id, "OUT", home_id=bulk.home_id) if bulk.state is Progress.ENDED else None


def _of_received_bulk(bulk: IncomingBulk) -> EventRecord | None:
    return _bulk(bulk.id, "IN", is_failed=bulk.is_refusal) if bulk.state is BulkState.ENDED else None


def _of_sent_bulk(sent: Submission) -> EventRecord | None:
    if sent.state not in OVER:
        return None
    error = (sent.error_code, sent.error_text)
    return _bulk(sent.id, "OUT", home_id=sent.home_id, is_failed=sent.state is Sent.FAILED, error=error)


def _conversion(
    raw: bytes,
    role: Literal["FXP", "INITIATOR"],
    state: Literal["COMMITTED", "ABORTED"],
    error: tuple[str | None, str | None] = (None, None),
) -> EventRecord:
    asked = bodies.read(FxTransferPost, raw)
    told = messages.ConversionTold(
        commit_request_id=asked.commit_request_id,
        determining_transfer_id=asked.determining_transfer_id,
        role=role,
        state=state,
        source_amount=asked.source_amount.amount,
        source_currency=asked.source_amount.currency,
        target_amount=asked.target_amount.amount,
        target_currency=asked.target_amount.currency,
        error_code=error[0],
        error_description=error[1],
    )
    return _event(messages.ConversionEnded, f"conversion.ended/{role}/{asked.commit_request_id}/{state}", told)


def _of_received_conversion(found: Conversion) -> EventRecord | None:
    if found.state is not ConversionState.ENDED:
        return None
    is_committed = found.end is not None and found.end.state == "COMMITTED"
    return _conversion(found.body, "FXP", "COMMITTED" if is_committed else "ABORTED")


def _of_sent_conversion(sent: Submission) -> EventRecord | None:
    if sent.state not in OVER:
        return None
    if sent.state is Sent.FAILED:
        return _conversion(sent.body, "INITIATOR", "ABORTED", (sent.error_code, sent.error_text))
    return _conversion(sent.body, "INITIATOR", "COMMITTED")


_OF: dict[str, Callable[[Any], EventRecord | None]] = {
    "payment": _of_payment,
    "incoming": _of_incoming,
    "request_to_pay_made": _of_request,
    "bulk_transaction": _of_bulk_transaction,
    "bulk_received": _of_received_bulk,
    "bulkTransfers": _of_sent_bulk,
    "conversion_received": _of_received_conversion,
    "fxTransfers": _of_sent_conversion,
}
