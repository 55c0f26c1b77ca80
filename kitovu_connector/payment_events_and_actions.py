"""The events of an outgoing payment, and the actions that can follow from events."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from fspiop.bodies.authorizations import AuthorizationPut
from fspiop.bodies.fx_quotes import FxQuotePut
from fspiop.bodies.quotes import QuotePut
from kitovu_connector.payment_order import PartyRef

Accepts = Literal["payee", "conversion", "terms", "password"]
"""The subjects that the core can accept."""


@dataclass(frozen=True, slots=True)
class Started:
    """The connector has just stored the payment."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The connector has restarted and found the payment unfinished. The connector does not know which request it sent
    last."""


@dataclass(frozen=True, slots=True)
class Waited:
    """The time of the latest Wait has passed."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The hub answered POST /transfers with 2xx."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The hub definitely refused the request of the present state (4xx)."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The hub did not accept the credentials, the signature or the URL of the request in the present state."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """The request of the present state had no clear response: no connection, time-out, or 5xx."""


@dataclass(frozen=True, slots=True)
class OwnerFound:
    """PUT /participants arrived from the hub, with the DFSP of the payee's alias."""

    fsp_id: str


@dataclass(frozen=True, slots=True)
class PartyFound:
    """PUT /parties arrived. `sender` is the DFSP that sent the message.

    `is_proven` is True if the hub has provably forwarded the message.
    """

    party: PartyRef
    sender: str
    is_proven: bool = False


@dataclass(frozen=True, slots=True)
class PartyFailed:
    """PUT /parties/…/error or PUT /participants/…/error arrived.

    If the hub itself wrote the error, its source is proven.
    """

    code: str
    text: str
    sender: str = ""
    is_proven: bool = False


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
class ProvidersFound:
    """PUT /services/FXP arrived from the hub, with the FXPs that convert the currencies."""

    providers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConversionGiven:
    """PUT /fxQuotes/{id} arrived from the FXP."""

    quote: FxQuotePut


@dataclass(frozen=True, slots=True)
class ConversionReported:
    """PUT /fxTransfers/{id} arrived. The FXP has reserved the conversion, or the conversion has ended."""

    state: str
    fulfilment: str | None = None
    cause: tuple[str, str] | None = None  # the code and description of an abort, if the message has them


@dataclass(frozen=True, slots=True)
class AuthorizationGiven:
    """PUT /authorizations/{id} arrived from the payee DFSP."""

    answer: AuthorizationPut


@dataclass(frozen=True, slots=True)
class AgreementFailed:
    """An error about a conversion or an authorization arrived before the transfer was sent. `ask` names the request."""

    ask: "Ask"
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The core accepts one of four subjects: the payee, a conversion, the terms, or a one-time password. The payment
    waits until the core accepts the subject.

    The terms come last, unless a password is needed. After the last acceptance, the connector sends the transfer.
    """

    accepts: Accepts = "terms"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The core has cancelled the payment."""


@dataclass(frozen=True, slots=True)
class EndClaimed:
    """The payee DFSP reports the end of a transfer, but nothing proves that the hub forwarded this report."""

    fulfilment: str | None = None
    cause: tuple[str, str] | None = None  # the code and description of the reported error


@dataclass(frozen=True, slots=True)
class Reported:
    """The hub sent or forwarded PUT /transfers/{id} with the outcome or the state."""

    state: str
    fulfilment: str | None = None
    completed_at: str | None = None
    cause: tuple[str, str] | None = None  # the code and description of an abort, if the hub reports them


@dataclass(frozen=True, slots=True)
class ErrorReported:
    """The hub sent or forwarded PUT /transfers/{id}/error. `written_at` is the message's Date, by the hub's clock.

    The hub can deliver the callback long after `written_at`.
    """

    code: str
    text: str
    written_at: float = 0.0


Event = (
    Started
    | Resumed
    | Waited
    | Taken
    | Refused
    | TurnedAway
    | Unclear
    | OwnerFound
    | PartyFound
    | PartyFailed
    | QuoteGiven
    | QuoteFailed
    | ProvidersFound
    | ConversionGiven
    | ConversionReported
    | AuthorizationGiven
    | AgreementFailed
    | Confirmed
    | Cancelled
    | EndClaimed
    | Reported
    | ErrorReported
)


class Ask(StrEnum):
    """A request.

    After the step is durable, the connector sends the request, unless the payment has left the state of this step.
    """

    OWNER = "GET /participants"
    PARTY = "GET /parties"
    PROVIDERS = "GET /services/FXP"
    FX_QUOTE = "POST /fxQuotes"
    FX_SEND = "POST /fxTransfers"
    QUOTE = "POST /quotes"
    AUTHORIZATION = "GET /authorizations"
    SEND = "POST /transfers"
    TRANSFER = "GET /transfers"


@dataclass(frozen=True, slots=True)
class Wait:
    """A pause, after which the payment gets the event Waited. A new Wait replaces an earlier Wait."""

    seconds: float


Action = Ask | Wait
