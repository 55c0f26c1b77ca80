"""The events that the connector sends to the core, as types of the API. Each event reports the end of a payment,
transfer, request to pay, bulk or conversion. The doctor's event is only a test.
"""

from typing import Any, Literal

import msgspec

from kitovu_connector.core_messages import PaymentShown, Shown, TransferLine


class RequestTold(Shown, kw_only=True):
    """The payer's DFSP has answered a request to pay of your core, or the request has failed."""

    home_request_id: str
    transaction_request_id: str
    answer: str | None
    payer_name: str | None
    payer_fsp: str | None
    error_code: str | None
    error_description: str | None


class BulkTold(Shown, kw_only=True):
    """The event of a bulk that has ended. If an item of the bulk is a payment or an incoming transfer, the item has its
    own event.

    `direction` is OUT for a bulk of your customers, and IN for a bulk that another DFSP has sent.
    """

    bulk_id: str
    home_transaction_id: str | None
    direction: Literal["OUT", "IN"]
    state: Literal["ENDED", "FAILED"]
    error_code: str | None
    error_description: str | None


class ConversionTold(Shown, kw_only=True):
    """A conversion. `role` is FXP if you convert, and INITIATOR if another DFSP converts for you.

    The hub commits or aborts a conversion together with its transfer. Events that an earlier version of the connector
    has stored can have the state RESERVED: the FXP has promised the conversion.
    """

    commit_request_id: str
    determining_transfer_id: str | None
    role: Literal["FXP", "INITIATOR"]
    state: Literal["RESERVED", "COMMITTED", "ABORTED"]
    source_amount: str
    source_currency: str
    target_amount: str
    target_currency: str
    error_code: str | None
    error_description: str | None


class Checked(Shown, kw_only=True):
    """`kitovu-connector doctor` sends your core two test events: one with a right signature, and one with a wrong
    signature. The doctor's event reports nothing about a payment.
    """

    dfsp: str


class _Event(Shown, kw_only=True):
    id: str
    created_date: str


class PaymentEnded(_Event, kw_only=True):
    type: Literal["payment.ended"] = "payment.ended"
    data: PaymentShown


class TransferEnded(_Event, kw_only=True):
    type: Literal["transfer.ended"] = "transfer.ended"
    data: TransferLine


class RequestAnswered(_Event, kw_only=True):
    type: Literal["request.answered"] = "request.answered"
    data: RequestTold


class RequestFailed(_Event, kw_only=True):
    type: Literal["request.failed"] = "request.failed"
    data: RequestTold


class BulkEnded(_Event, kw_only=True):
    type: Literal["bulk.ended"] = "bulk.ended"
    data: BulkTold


class ConversionEnded(_Event, kw_only=True):
    type: Literal["conversion.ended"] = "conversion.ended"
    data: ConversionTold


class ConnectorChecked(_Event, kw_only=True):
    type: Literal["connector.checked"] = "connector.checked"
    data: Checked


Event = PaymentEnded | TransferEnded | RequestAnswered | RequestFailed | BulkEnded | ConversionEnded
KINDS: dict[str, type[Any]] = {
    "payment.ended": PaymentEnded,
    "transfer.ended": TransferEnded,
    "request.answered": RequestAnswered,
    "request.failed": RequestFailed,
    "bulk.ended": BulkEnded,
    "conversion.ended": ConversionEnded,
    "connector.checked": ConnectorChecked,
}
SUMMARIES = {
    "payment.ended": "A payment of your customer has ended: also a refund, a conversion, or the answer to a request",
    "transfer.ended": "A transfer to your customer has ended: your core has credited or discarded it",
    "request.answered": "The payer's DFSP has answered a request to pay of your core",
    "request.failed": "A request to pay of your core has failed",
    "bulk.ended": "A bulk has ended",
    "conversion.ended": "A conversion has ended",
    "connector.checked": "The doctor checks this address: nothing has happened",
}


def read(raw: bytes) -> Event:
    """Returns a stored event as a message of the API."""
    kind = KINDS[msgspec.json.decode(raw, type=_Kind).type]
    found: Event = msgspec.json.decode(raw, type=kind)
    return found


class _Kind(msgspec.Struct):
    type: str
