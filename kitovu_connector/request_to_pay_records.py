"""The connector's records of the requests to pay that this DFSP makes or receives."""

from enum import StrEnum

import msgspec

from fspiop import money
from fspiop.bodies import write
from fspiop.bodies.common import Money, TransactionType
from fspiop.bodies.transaction_requests import TransactionRequestPost
from kitovu_connector.payment_order import Initiator, InitiatorType, PartyRef, Scenario, party_of


class RequestState(StrEnum):
    """The state of a request to pay."""

    LOOKUP = "LOOKUP"  # the connector looks up the payer
    PAYER_FOUND = "PAYER_FOUND"  # the core's acceptance of the payer is pending
    ASKED = "ASKED"  # the payer DFSP's answer is pending
    ANSWERED = "ANSWERED"  # the payer DFSP has answered, but may still change its answer
    FAILED = "FAILED"  # final: the payer DFSP, the hub or the core refused


class RequestOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The core's order to request money from a customer of another DFSP."""

    home_id: str
    payer: PartyRef
    payee: PartyRef
    amount: int
    currency: str
    amount_type: str
    scenario: Scenario
    sub_scenario: str | None = None
    initiator: Initiator = "PAYEE"
    initiator_type: InitiatorType = "CONSUMER"
    note: str | None = None
    authentication_type: str | None = None


class RequestMade(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request to pay that this DFSP makes."""

    id: str
    order: RequestOrder
    digest: bytes
    created_at: float
    state: RequestState = RequestState.LOOKUP
    payer: PartyRef | None = None  # the payer, as described by the payer's DFSP
    answer: str | None = None  # the state in the payer DFSP's latest report
    transaction_id: str | None = None
    is_told: bool = True  # true if the core has received `answer`, or if the connector has given up the report
    answered_at: float = 0.0  # the time of `answer`; 0 in a record of an earlier version
    # true if the core accepts any payer; the connector can then send the request without the core
    accepts_any_payer: bool = False
    password: str | None = None  # the one-time password that the payer entered at the payee's device
    # retriesLeft of the payer DFSP's request for this password; 0 if there was no request
    password_try: int = 0
    asked_try: int = 0  # retriesLeft of the payer DFSP's latest request for a password
    password_asker: str | None = None  # the payer DFSP that has requested the password and waits for it
    error_code: str | None = None
    error_text: str | None = None

    @property
    def alias(self) -> str | None:
        """The core's own id of the request."""
        return self.order.home_id

    @property
    def is_open(self) -> bool:
        """Whether the connector still has to send something to the payer DFSP or to the core."""
        return self.state in (RequestState.LOOKUP, RequestState.PAYER_FOUND, RequestState.ASKED) or not self.is_told

    def body(self, dfsp: str) -> bytes:
        """Returns the body of POST /transactionRequests. Repeated calls return the same bytes."""
        assert self.payer is not None
        order = self.order
        return write(
            TransactionRequestPost(
                transaction_request_id=self.id,
                payee=party_of(msgspec.structs.replace(order.payee, fsp_id=dfsp)),
                payer=party_of(self.payer).party_id_info,
                amount=Money(currency=order.currency, amount=money.format_amount(order.amount)),
                transaction_type=TransactionType(
                    scenario=order.scenario,
                    sub_scenario=order.sub_scenario,
                    initiator=order.initiator,
                    initiator_type=order.initiator_type,
                ),
                note=order.note,
                authentication_type=order.authentication_type,  # type: ignore[arg-type]
            )
        )


class RequestTransfers(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The transfers by which payer DFSPs pay one of this DFSP's requests. If one transfer fails, another transfer can
    still pay the request.
    """

    id: str  # of the request
    digest: bytes = b""
    transfer_ids: tuple[str, ...] = ()
    state: str = "OPEN"
    is_open: bool = False
    alias: str | None = None


class RequestReceived(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request to pay that another DFSP sends to a customer of this DFSP."""

    id: str
    payee_fsp: str
    body: bytes
    digest: bytes
    state: RequestState = RequestState.ASKED
    answer: bytes = b""  # the body of PUT /transactionRequests/{id} or .../error
    is_refusal: bool = False
    alias: str | None = None

    @property
    def is_open(self) -> bool:
        """True as long as the connector has not sent the answer to the payee DFSP."""
        return self.state is RequestState.ASKED
