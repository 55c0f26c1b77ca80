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
    """The pause of the latest Wait is over."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The hub answered POST /transfers with 2xx."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The hub has refused the request `ask`. The hub's response is a final 4xx.

    The response can arrive late, after the payment has moved on to another request.
    """

    ask: "Ask"
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The hub refused the request `ask`, because of this request's credentials, signature or URL."""

    ask: "Ask"
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """It is not clear whether the hub has the request `ask`: no connection, time-out, or 5xx."""

    ask: "Ask"


@dataclass(frozen=True, slots=True)
class OwnerFound:
    """PUT /participants arrived from the hub, with the DFSP of the payee's alias."""

    fsp_id: str


@dataclass(frozen=True, slots=True)
class PartyFound:
    """PUT /parties arrived. `sender` is the DFSP that sent the message.

    `is_proven` is True if it is proven that the hub has forwarded the message.
    """

    party: PartyRef
    sender: str
    is_proven: bool = False


@dataclass(frozen=True, slots=True)
class PartyFailed:
    """PUT /parties/…/error or PUT /participants/…/error arrived.

    The error is proven to come from the hub if the hub itself wrote the error.
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
    """PUT /fxTransfers/{id} arrived. The FXP has reserved the money for the conversion, or the conversion has ended."""

    state: str
    fulfilment: str | None = None
    cause: tuple[str, str] | None = None  # the error code and description of an abort, if the message has them


@dataclass(frozen=True, slots=True)
class AuthorizationGiven:
    """PUT /authorizations/{id} arrived from the payee DFSP."""

    answer: AuthorizationPut


@dataclass(frozen=True, slots=True)
class AgreementFailed:
    """An error about a conversion or about an authorization arrived before the transfer was sent. `ask` names the
    request that failed.
    """

    ask: "Ask"
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The core accepts one of four subjects: the payee, a conversion, the terms, or a one-time password. The payment
    waits until the core accepts the subject. The last subject is the password, if one is needed, and otherwise the
    terms. After the last acceptance, the connector sends the transfer.
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
    """PUT /transfers/{id} arrived with the outcome or the state, and it is proven that the hub sent or forwarded the
    message.
    """

    state: str
    fulfilment: str | None = None
    completed_at: str | None = None
    cause: tuple[str, str] | None = None  # the code and description of an abort, if the hub reports them


@dataclass(frozen=True, slots=True)
class ErrorReported:
    """PUT /transfers/{id}/error arrived, and it is proven that the hub sent or forwarded the message. `written_at` is
    the message's Date, which is a time of the hub's clock.

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

    A request to the hub. The connector sends this request when the step is durable, unless the payment has already left
    the step's state.
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
