"""What comes into the ledger about conversions, and what came of it."""

from dataclasses import dataclass
from datetime import datetime

from ledger.fx.snapshot import ConversionState
from ledger.messages import PaymentMessage, Refusal


@dataclass(slots=True)
class FxPrepare:
    """POST /fxTransfers: the initiating DFSP asks its FXP to convert, if the determining transfer is carried out."""

    commit_request_id: str
    determining_transfer_id: str
    source_id: int
    initiator: str
    fxp: str
    source_currency: str
    source_amount: int
    target_currency: str
    target_amount: int
    condition: str
    expires_at: datetime
    digest: bytes
    message: PaymentMessage
    destination: str | None = None  # FSPIOP-Destination, where the sender named one


@dataclass(slots=True)
class FxFulfil:
    """PUT /fxTransfers/{ID}: the FXP agrees. `says_reserved` where it said so in the word that is true."""

    commit_request_id: str
    source_id: int
    destination: str | None
    fulfilment: str | None
    says_reserved: bool
    digest: bytes
    message: PaymentMessage
    moment_fault: str | None = None  # as in ledger.messages.Fulfil


@dataclass(slots=True)
class FxReject:
    """PUT /fxTransfers/{ID}/error: the FXP refuses."""

    commit_request_id: str
    source_id: int
    error_code: str
    error_description: str
    digest: bytes
    message: PaymentMessage
    destination: str | None = None


@dataclass(slots=True)
class FxExpire:
    """The tick found a conversion past the time that it is held."""

    commit_request_id: str


FxCommand = FxPrepare | FxFulfil | FxReject | FxExpire


@dataclass(slots=True)
class FxReserved:
    """The debtor of the conversion's own leg holds the amount; the FXP is to be asked."""

    command: FxPrepare
    conversion: ConversionState


@dataclass(slots=True)
class FxRefused:
    """The prepare was refused, and is stored so that a resend is refused alike."""

    command: FxPrepare
    conversion: ConversionState


@dataclass(slots=True)
class FxAgreed:
    """The FXP has fulfilled; the conversion waits for its determining transfer."""

    command: FxFulfil
    conversion: ConversionState


@dataclass(slots=True)
class FxAborted:
    command: FxFulfil | FxReject | FxExpire
    conversion: ConversionState


@dataclass(slots=True)
class FxRepeated:
    """The same message again: its outcome is told again, nothing changes."""

    command: FxPrepare | FxFulfil | FxReject
    conversion: ConversionState


@dataclass(slots=True)
class FxNotObeyed:
    """The message came from one who may send it, and changes nothing; the sender is told why by an error callback."""

    command: FxPrepare | FxFulfil | FxReject
    conversion: ConversionState
    refusal: Refusal


@dataclass(slots=True)
class FxUnknown:
    """There is no such conversion, or it is none of the sender's business: both get the same answer."""

    command: FxFulfil | FxReject


@dataclass(slots=True)
class FxImplausible:
    """As ledger.messages.Implausible."""

    command: FxFulfil


@dataclass(slots=True)
class FxIgnored:
    """Nothing to do and nobody to tell."""

    command: FxExpire


FxOutcome = (
    FxReserved | FxRefused | FxAgreed | FxAborted | FxRepeated | FxNotObeyed | FxUnknown | FxImplausible | FxIgnored
)
