"""The events of an outgoing payment, and the actions that can follow from them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from fspiop.bodies.authorizations import AuthorizationPut
from fspiop.bodies.fx_quotes import FxQuotePut
from fspiop.bodies.quotes import QuotePut
from kitovu_connector.payment_order import PartyRef

Accepts = Literal["payee", "conversion", "terms", "password"]
"""What the core can accept."""


@dataclass(frozen=True, slots=True)
class Started:
    """The payment has just been stored."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The connector has restarted and found the payment unfinished. The last request that was sent is unknown."""


@dataclass(frozen=True, slots=True)
class Waited:
    """The time of the latest Wait is over."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The hub answered POST /transfers with 2xx."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The hub answered the request of the present state with a definite refusal (4xx)."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The hub did not accept the credentials, the signature or the URL of the request of the present state."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """The request of the present state had no clear response: no connection, time-out, or 5xx."""


@dataclass(frozen=True, slots=True)
class OwnerFound:
    """PUT /participants from the hub: the DFSP of the payee's alias."""

    fsp_id: str


@dataclass(frozen=True, slots=True)
class PartyFound:
    """PUT /parties. `sender` is the DFSP that sent the message.

    `is_proven`: the hub is known to have forwarded the message.
    """

    party: PartyRef
    sender: str
    is_proven: bool = False


@dataclass(frozen=True, slots=True)
class PartyFailed:
    """PUT /parties/…/error or PUT /participants/…/error. The error is proven if the hub itself sent it."""

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
    """PUT /services/FXP from the hub: the FXPs that convert the currencies."""

    providers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConversionGiven:
    """PUT /fxQuotes/{id} from the FXP."""

    quote: FxQuotePut


@dataclass(frozen=True, slots=True)
class ConversionReported:
    """PUT /fxTransfers/{id}: the FXP has reserved the conversion, or it has ended."""

    state: str
    fulfilment: str | None = None
    cause: tuple[str, str] | None = None  # the code and description of an abort, if they are reported


@dataclass(frozen=True, slots=True)
class AuthorizationGiven:
    """PUT /authorizations/{id} from the payee DFSP."""

    answer: AuthorizationPut


@dataclass(frozen=True, slots=True)
class AgreementFailed:
    """An error about a conversion or an authorization, before the transfer was sent. `ask` names the request."""

    ask: "Ask"
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The core accepts what the payment waits for: the payee, a conversion, the terms, or a one-time password.

    Terms are the last of these, or a password if one is needed. Then the transfer is to be sent.
    """

    accepts: Accepts = "terms"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The core does not want the payment any more."""


@dataclass(frozen=True, slots=True)
class EndClaimed:
    """The payee DFSP reports the end of a transfer, but nothing proves that the hub forwarded this report."""

    fulfilment: str | None = None
    cause: tuple[str, str] | None = None  # the code and description of the reported error


@dataclass(frozen=True, slots=True)
class Reported:
    """PUT /transfers/{id}, sent or forwarded by the hub: the outcome, or the answer to GET /transfers/{id}."""

    state: str
    fulfilment: str | None = None
    completed_at: str | None = None
    cause: tuple[str, str] | None = None  # the code and description of an abort, if the hub reports them


@dataclass(frozen=True, slots=True)
class ErrorReported:
    """PUT /transfers/{id}/error, sent or forwarded by the hub. `written_at` is the message's Date, by the hub's clock.

    The callback may be delivered long after that time.
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
    """A request to send once the step is durable, if the payment is still in the state after the step."""

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
    """Sends Waited to the payment after this time. Replaces an earlier Wait."""

    seconds: float


Action = Ask | Wait
