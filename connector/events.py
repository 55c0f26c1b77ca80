"""What can happen to an outgoing payment, and what can then have to be done."""

from dataclasses import dataclass
from enum import StrEnum

from connector.order import PartyRef
from fspiop.bodies.quotes import QuotePut


@dataclass(frozen=True, slots=True)
class Started:
    """The payment has just been stored."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The connector has restarted and found the payment unfinished: what was sent last is not known."""


@dataclass(frozen=True, slots=True)
class Waited:
    """The time that was asked for by the last Wait is over."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The hub answered POST /transfers with 2xx."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The hub answered the request of the present state with a definite no (4xx)."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """The request of the present state got no answer that says anything: no connection, time-out, 5xx."""


@dataclass(frozen=True, slots=True)
class PartyFound:
    """PUT /parties."""

    party: PartyRef


@dataclass(frozen=True, slots=True)
class PartyFailed:
    """PUT /parties/…/error."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class QuoteGiven:
    """PUT /quotes/{id}."""

    quote: QuotePut


@dataclass(frozen=True, slots=True)
class QuoteFailed:
    """PUT /quotes/{id}/error."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Reported:
    """PUT /transfers/{id}: the outcome, or the answer to GET /transfers/{id}."""

    state: str
    fulfilment: str | None = None
    completed_at: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorReported:
    """PUT /transfers/{id}/error."""

    code: str
    text: str


Event = (
    Started
    | Resumed
    | Waited
    | Taken
    | Refused
    | Unclear
    | PartyFound
    | PartyFailed
    | QuoteGiven
    | QuoteFailed
    | Reported
    | ErrorReported
)


class Ask(StrEnum):
    """A request to send, once the step is durable and if the payment still stands where the step left it."""

    PARTY = "GET /parties"
    QUOTE = "POST /quotes"
    SEND = "POST /transfers"
    TRANSFER = "GET /transfers"


@dataclass(frozen=True, slots=True)
class Wait:
    """Wake the payment with Waited after this time; takes the place of an earlier Wait."""

    seconds: float


Action = Ask | Wait
