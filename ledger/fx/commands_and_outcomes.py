"""The messages about conversions that the ledger receives, and the outcomes of these messages."""

from dataclasses import dataclass
from datetime import datetime

from ledger.commands_and_outcomes import PaymentMessage, Refusal
from ledger.fx.snapshot import ConversionState


@dataclass(slots=True)
class FxPrepare:
    """POST /fxTransfers: the initiating DFSP requests a conversion from its FXP, for the determining transfer."""

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
    destination: str | None = None  # FSPIOP-Destination, if the sender set it


@dataclass(slots=True)
class FxFulfil:
    """PUT /fxTransfers/{ID}: the FXP agrees to the conversion. `says_reserved` is True if the message has the state
    RESERVED."""

    commit_request_id: str
    source_id: int
    destination: str | None
    fulfilment: str | None
    says_reserved: bool
    digest: bytes
    message: PaymentMessage
    moment_fault: str | None = None  # as in ledger.commands_and_outcomes.Fulfil


@dataclass(slots=True)
class FxReject:
    """PUT /fxTransfers/{ID}/error: the FXP refuses the conversion."""

    commit_request_id: str
    source_id: int
    error_code: str
    error_description: str
    digest: bytes
    message: PaymentMessage
    destination: str | None = None


@dataclass(slots=True)
class FxExpire:
    """The command of a periodic task: expire a conversion whose reservation has lasted for too long."""

    commit_request_id: str


FxCommand = FxPrepare | FxFulfil | FxReject | FxExpire


@dataclass(slots=True)
class FxReserved:
    """The hub has reserved the amount of the conversion's own leg. The hub sends the request for the conversion to the
    FXP.
    """

    command: FxPrepare
    conversion: ConversionState


@dataclass(slots=True)
class FxRefused:
    """The hub refused the request for the conversion (prepare). The hub stores the refusal, and refuses a repeated
    prepare in the same way."""

    command: FxPrepare
    conversion: ConversionState


@dataclass(slots=True)
class FxAgreed:
    """The FXP has fulfilled the conversion. The conversion now waits for its determining transfer."""

    command: FxFulfil
    conversion: ConversionState


@dataclass(slots=True)
class FxAborted:
    command: FxFulfil | FxReject | FxExpire
    conversion: ConversionState


@dataclass(slots=True)
class FxRepeated:
    """The message repeats an earlier message. The hub changes nothing and sends the earlier outcome again."""

    command: FxPrepare | FxFulfil | FxReject
    conversion: ConversionState


@dataclass(slots=True)
class FxNotObeyed:
    """The sender is a party of the conversion, but the message changes nothing.

    The sender of the message receives the reason in an error callback.
    """

    command: FxPrepare | FxFulfil | FxReject
    conversion: ConversionState
    refusal: Refusal


@dataclass(slots=True)
class FxUnknown:
    """The conversion does not exist, or the sender is not a party to the conversion.

    The answer to the sender does not reveal whether the conversion exists.
    """

    command: FxFulfil | FxReject


@dataclass(slots=True)
class FxImplausible:
    """The FXP's answer has a faulty completedTimestamp: see ledger.commands_and_outcomes.Implausible."""

    command: FxFulfil


@dataclass(slots=True)
class FxIgnored:
    """The command changes nothing and causes no message."""

    command: FxExpire


FxOutcome = (
    FxReserved | FxRefused | FxAgreed | FxAborted | FxRepeated | FxNotObeyed | FxUnknown | FxImplausible | FxIgnored
)
