"""The bodies of requests and responses about fraud in the hub's own API for DFSPs: signals, markers and appeals."""

from typing import Annotated, Literal

from msgspec import Meta

from fspiop.bodies.common import CorrelationId, Message, PartyIdType, Text128

Reason = Annotated[str, Meta(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
MarkerKind = Literal["MULE_ACCOUNT", "SCAMMER_ACCOUNT", "APPLICATION_FRAUD", "OTHER"]


class MarkerPost(Message):
    """A DFSP's fraud marker about a party of any DFSP.

    The DFSP chooses the id `marker_id`. By this id, the hub recognises a repeated request.
    """

    marker_id: CorrelationId
    party_id_type: PartyIdType
    party_identifier: Text128
    kind: MarkerKind
    reason: Reason
    party_sub_id_or_type: Text128 | None = None
    transaction_id: CorrelationId | None = None


class AppealPost(Message):
    """A DFSP's request to lift a marker about a customer of this DFSP.

    The message contains the customer's identifier. So a DFSP cannot find markers by guessing the numbers that identify
    markers.
    """

    party_id_type: PartyIdType
    party_identifier: Text128
    reason: Reason
    party_sub_id_or_type: Text128 | None = None


class ShownAppeal(Message):
    """An appeal, in the form that the hub returns to the DFSP that filed the appeal."""

    state: str
    decision: str | None = None


class ShownMarker(Message):
    """A marker, in the form that the hub returns to the DFSP that filed the marker."""

    number: int
    marker_id: str
    kind: str
    filed_at: str
    is_lifted: bool


class PayeeMarker(Message):
    """A fraud marker about a payee, with only the data that every DFSP can read.

    The message does not name the DFSP that filed the marker.
    """

    number: int
    kind: str
    filed_on: str


class Counter(Message):
    """An approximate number of payments or of reports. The number is rounded down to 0, 1, 2, 5, 10, 20, 50 and so
    on."""

    name: str
    hours: int
    at_least: int


class Signals(Message):
    """The hub's data about a payee, for a DFSP that intends to pay this payee."""

    is_known: bool
    is_confirmed: bool
    markers: list[PayeeMarker]
    counters: list[Counter]
