"""The messages that the ledger receives, and the outcomes of these messages. This module contains only plain records,
and does not use Django.

`amount` is a whole number of ten-thousandths of a currency unit. Each time in these records is a datetime with a time
zone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from fspiop.errors import MAX_DESCRIPTION, MAX_EXTENSION_VALUE, ErrorCode
from hub.outbox.messages import ReceivedMessage
from rules.decide import Verdict

if TYPE_CHECKING:
    from ledger.bulk.commands_and_outcomes import Bulk
    from ledger.fx.snapshot import ConversionState
    from ledger.snapshot import TransferState


@dataclass(slots=True)
class PaymentMessage(ReceivedMessage):
    """A message about a transfer, a conversion or a bulk."""

    version: str  # the API version in the content type, such as "1.1", or "2.0i" for ISO 20022


@dataclass(frozen=True, slots=True)
class Terms:
    """The values by which the hub finds the quote of a transfer: the ids in the ILP packet, and the digest of the
    packet.
    """

    packet_sha256: bytes
    quote_id: str | None = None
    transaction_id: str | None = None
    bulk_quote_id: str | None = None  # set for an item of a bulk transfer


@dataclass(slots=True)
class Prepare:
    """POST /transfers: the payer requests a reservation."""

    transfer_id: str
    source_id: int
    payer: str
    payee: str
    currency: str
    amount: int
    condition: str
    expires_at: datetime
    digest: bytes
    message: PaymentMessage
    bulk_id: str | None = None  # set for an item of a bulk transfer
    terms: Terms | None = None  # set if the hub compares the transfer with the quote of the transfer
    destination: str | None = None  # FSPIOP-Destination, if the sender set it
    ilp_packet: str = ""  # this field and the condition together identify the quote for the scheme's rules
    bulk_quote_id: str | None = None  # set for an item of a bulk transfer


@dataclass(slots=True)
class Fulfil:
    """PUT /transfers/{ID}: the payee accepts the transfer.

    `wants_patch` is True if the payee's answer has the state RESERVED. The hub then sends a PATCH to the payee.
    """

    transfer_id: str
    source_id: int
    destination: str | None
    fulfilment: str | None
    moment_fault: str | None  # the fault in completedTimestamp; the hub reports it only for a new message
    wants_patch: bool
    digest: bytes
    message: PaymentMessage
    bulk_id: str | None = None  # set if the message is a part of the answer to a bulk


@dataclass(slots=True)
class Reject:
    """PUT /transfers/{ID}/error: the payee refuses the transfer."""

    transfer_id: str
    source_id: int
    error_code: str
    error_description: str
    digest: bytes
    message: PaymentMessage
    bulk_id: str | None = None  # set if the message is a part of the answer to a bulk
    destination: str | None = None


@dataclass(slots=True)
class Expire:
    """The command of a periodic task: expire a reserved transfer whose expiration has passed."""

    transfer_id: str
    bulk_id: str | None = None  # set if the transfer expires together with its whole bulk


@dataclass(slots=True)
class RefuseHeld(Expire):
    """The command to abort a held transfer that people or the scheme's rules have refused. `code` is one of the
    scheme's error codes.
    """

    error_code: str = ""


Command = Prepare | Fulfil | Reject | Expire


class Refusal(Enum):
    """The reasons why the hub did not reserve a transfer, or why a message did not change its transfer.

    The value of each reason is a sentence.
    """

    ID_WAS_USED_WITH_OTHER_CONTENT = "ID_WAS_USED_WITH_OTHER_CONTENT"
    PAYER_IS_NOT_ACTIVE = "PAYER_IS_NOT_ACTIVE"
    PAYEE_IS_UNKNOWN = "PAYEE_IS_UNKNOWN"
    PAYEE_IS_NOT_ACTIVE = "PAYEE_IS_NOT_ACTIVE"
    PAYER_MAY_NOT_SEND = "PAYER_MAY_NOT_SEND"
    PAYEE_MAY_NOT_RECEIVE = "PAYEE_MAY_NOT_RECEIVE"
    PAYER_AND_PAYEE_ARE_THE_SAME = "PAYER_AND_PAYEE_ARE_THE_SAME"
    DESTINATION_IS_NOT_THE_PAYEE = "DESTINATION_IS_NOT_THE_PAYEE"
    PAYER_HAS_NO_ACTIVE_ACCOUNT = "PAYER_HAS_NO_ACTIVE_ACCOUNT"
    PAYEE_HAS_NO_ACTIVE_ACCOUNT = "PAYEE_HAS_NO_ACTIVE_ACCOUNT"
    EXPIRED_ON_ARRIVAL = "EXPIRED_ON_ARRIVAL"
    EXPIRES_TOO_LATE = "EXPIRES_TOO_LATE"
    TERMS_ARE_NOT_THOSE_OF_THE_QUOTE = "TERMS_ARE_NOT_THOSE_OF_THE_QUOTE"
    REFUSED_BY_RULE = "REFUSED_BY_RULE"
    LIQUIDITY = "LIQUIDITY"
    NDC = "NDC"
    # these refusals are about a transfer that was reserved
    EXPIRED = "EXPIRED"
    REJECTED_BY_PAYEE = "REJECTED_BY_PAYEE"
    FULFILMENT_DOES_NOT_MATCH = "FULFILMENT_DOES_NOT_MATCH"
    FULFILMENT_NAMES_ANOTHER_PAYER = "FULFILMENT_NAMES_ANOTHER_PAYER"
    REFUSED_WHILE_HELD = "REFUSED_WHILE_HELD"
    ALREADY_ENDED = "ALREADY_ENDED"
    ENDS_WITH_ITS_BULK = "ENDS_WITH_ITS_BULK"
    # about a bulk
    NO_ITEM_WAS_RESERVED = "NO_ITEM_WAS_RESERVED"
    # these refusals are about a transfer that depends on a conversion
    ID_IS_OF_BOTH = "ID_IS_OF_BOTH"
    CONVERSION_IS_NOT_AGREED = "CONVERSION_IS_NOT_AGREED"
    CONVERSION_IS_OF_OTHER_MONEY = "CONVERSION_IS_OF_OTHER_MONEY"
    CONVERSION_EXPIRED = "CONVERSION_EXPIRED"
    CONVERSION_HAS_ENDED = "CONVERSION_HAS_ENDED"
    FXP_IS_PARTY_OF_THE_TRANSFER = "FXP_IS_PARTY_OF_THE_TRANSFER"
    # about a conversion
    INITIATOR_IS_NOT_ACTIVE = "INITIATOR_IS_NOT_ACTIVE"
    FXP_IS_UNKNOWN = "FXP_IS_UNKNOWN"
    FXP_IS_NOT_ACTIVE = "FXP_IS_NOT_ACTIVE"
    INITIATOR_MAY_NOT_SEND = "INITIATOR_MAY_NOT_SEND"
    FXP_MAY_NOT_CONVERT = "FXP_MAY_NOT_CONVERT"
    INITIATOR_AND_FXP_ARE_THE_SAME = "INITIATOR_AND_FXP_ARE_THE_SAME"
    INITIATOR_HAS_NO_ACTIVE_ACCOUNT = "INITIATOR_HAS_NO_ACTIVE_ACCOUNT"
    FXP_HAS_NO_ACTIVE_ACCOUNT = "FXP_HAS_NO_ACTIVE_ACCOUNT"
    DESTINATION_IS_NOT_THE_FXP = "DESTINATION_IS_NOT_THE_FXP"
    TRANSFER_IS_NOT_OPEN = "TRANSFER_IS_NOT_OPEN"
    TRANSFER_IS_OF_OTHER_MONEY = "TRANSFER_IS_OF_OTHER_MONEY"
    TRANSFER_IS_CONVERTED_ALREADY = "TRANSFER_IS_CONVERTED_ALREADY"
    REJECTED_BY_FXP = "REJECTED_BY_FXP"
    TRANSFER_DID_NOT_COME = "TRANSFER_DID_NOT_COME"
    TRANSFER_WAS_ABORTED = "TRANSFER_WAS_ABORTED"


# The error code, and the detail that messages show in the description.
WIRE: dict[Refusal, tuple[ErrorCode, str]] = {
    Refusal.ID_WAS_USED_WITH_OTHER_CONTENT: (ErrorCode.MODIFIED_REQUEST, "this ID was used with other content"),
    Refusal.PAYER_IS_NOT_ACTIVE: (ErrorCode.VALIDATION_ERROR, "Participant payerFsp is inactive"),
    Refusal.PAYEE_IS_UNKNOWN: (ErrorCode.VALIDATION_ERROR, "Participant payeeFsp was not found"),
    Refusal.PAYEE_IS_NOT_ACTIVE: (ErrorCode.VALIDATION_ERROR, "Participant payeeFsp is inactive"),
    Refusal.PAYER_MAY_NOT_SEND: (ErrorCode.PAYER_PERMISSION_ERROR, "Participant payerFsp may not send"),
    Refusal.PAYEE_MAY_NOT_RECEIVE: (ErrorCode.PAYEE_PERMISSION_ERROR, "Participant payeeFsp may not receive"),
    Refusal.PAYER_AND_PAYEE_ARE_THE_SAME: (ErrorCode.VALIDATION_ERROR, "payerFsp and payeeFsp are the same"),
    Refusal.DESTINATION_IS_NOT_THE_PAYEE: (ErrorCode.VALIDATION_ERROR, "FSPIOP-Destination is not the payeeFsp"),
    Refusal.PAYER_HAS_NO_ACTIVE_ACCOUNT: (
        ErrorCode.VALIDATION_ERROR,
        "Participant payerFsp has no active account in this currency",
    ),
    Refusal.PAYEE_HAS_NO_ACTIVE_ACCOUNT: (
        ErrorCode.VALIDATION_ERROR,
        "Participant payeeFsp has no active account in this currency",
    ),
    Refusal.EXPIRED_ON_ARRIVAL: (ErrorCode.TRANSFER_EXPIRED, "expiration is not in the future"),
    Refusal.EXPIRES_TOO_LATE: (ErrorCode.VALIDATION_ERROR, "expiration is further away than this scheme allows"),
    Refusal.TERMS_ARE_NOT_THOSE_OF_THE_QUOTE: (
        ErrorCode.VALIDATION_ERROR,
        "ilpPacket and condition are not those of the quote",
    ),
    # The rule's own code and text replace this code and text (`words_of_rule`).
    Refusal.REFUSED_BY_RULE: (ErrorCode.PAYER_REJECTION, ""),
    Refusal.LIQUIDITY: (ErrorCode.PAYER_FSP_INSUFFICIENT_LIQUIDITY, ""),
    Refusal.NDC: (ErrorCode.PAYER_LIMIT_ERROR, "net debit cap"),
    Refusal.EXPIRED: (ErrorCode.TRANSFER_EXPIRED, ""),
    Refusal.REJECTED_BY_PAYEE: (ErrorCode.PAYEE_REJECTION, ""),
    Refusal.FULFILMENT_DOES_NOT_MATCH: (ErrorCode.VALIDATION_ERROR, "invalid fulfilment"),
    Refusal.FULFILMENT_NAMES_ANOTHER_PAYER: (
        ErrorCode.VALIDATION_ERROR,
        "FSPIOP-Destination does not match the payer of the transfer",
    ),
    # The scheme's own code replaces this code.
    Refusal.REFUSED_WHILE_HELD: (ErrorCode.PAYER_REJECTION, ""),
    Refusal.ALREADY_ENDED: (ErrorCode.VALIDATION_ERROR, "the transfer is not in state RESERVED"),
    Refusal.ENDS_WITH_ITS_BULK: (ErrorCode.VALIDATION_ERROR, "this is an item of a bulk; answer /bulkTransfers"),
    Refusal.NO_ITEM_WAS_RESERVED: (ErrorCode.VALIDATION_ERROR, "no transfer of the bulk was reserved"),
    # Gross settlement finds an entry by one id, so a transfer and a conversion must not have the same id.
    Refusal.ID_IS_OF_BOTH: (ErrorCode.VALIDATION_ERROR, "a transfer and a conversion cannot have the same ID"),
    Refusal.CONVERSION_IS_NOT_AGREED: (ErrorCode.VALIDATION_ERROR, "the FXP has not fulfilled the conversion"),
    Refusal.CONVERSION_IS_OF_OTHER_MONEY: (
        ErrorCode.VALIDATION_ERROR,
        "amount is not the target amount of the conversion",
    ),
    Refusal.CONVERSION_EXPIRED: (ErrorCode.TRANSFER_EXPIRED, "the conversion has expired"),
    Refusal.CONVERSION_HAS_ENDED: (ErrorCode.VALIDATION_ERROR, "the conversion for this transfer was aborted"),
    Refusal.FXP_IS_PARTY_OF_THE_TRANSFER: (ErrorCode.VALIDATION_ERROR, "the FXP is itself a party of the transfer"),
    Refusal.INITIATOR_IS_NOT_ACTIVE: (ErrorCode.VALIDATION_ERROR, "Participant initiatingFsp is inactive"),
    Refusal.FXP_IS_UNKNOWN: (ErrorCode.VALIDATION_ERROR, "Participant counterPartyFsp was not found"),
    Refusal.FXP_IS_NOT_ACTIVE: (ErrorCode.VALIDATION_ERROR, "Participant counterPartyFsp is inactive"),
    Refusal.INITIATOR_MAY_NOT_SEND: (ErrorCode.PAYER_PERMISSION_ERROR, "Participant initiatingFsp may not send"),
    # An FXP receives money in one currency and pays in another currency.
    Refusal.FXP_MAY_NOT_CONVERT: (ErrorCode.PAYEE_PERMISSION_ERROR, "the FXP may not both send and receive"),
    Refusal.INITIATOR_AND_FXP_ARE_THE_SAME: (
        ErrorCode.VALIDATION_ERROR,
        "initiatingFsp and counterPartyFsp are the same",
    ),
    Refusal.INITIATOR_HAS_NO_ACTIVE_ACCOUNT: (
        ErrorCode.VALIDATION_ERROR,
        "Participant initiatingFsp has no active account in this currency",
    ),
    Refusal.FXP_HAS_NO_ACTIVE_ACCOUNT: (
        ErrorCode.VALIDATION_ERROR,
        "Participant counterPartyFsp lacks an active account in a currency",
    ),
    Refusal.DESTINATION_IS_NOT_THE_FXP: (
        ErrorCode.VALIDATION_ERROR,
        "FSPIOP-Destination is not the counterPartyFsp",
    ),
    Refusal.TRANSFER_IS_NOT_OPEN: (
        ErrorCode.VALIDATION_ERROR,
        "the determining transfer accepts no conversion by this DFSP now",
    ),
    Refusal.TRANSFER_IS_OF_OTHER_MONEY: (
        ErrorCode.VALIDATION_ERROR,
        "sourceAmount is not the amount of the determining transfer",
    ),
    Refusal.TRANSFER_IS_CONVERTED_ALREADY: (
        ErrorCode.VALIDATION_ERROR,
        "there is a conversion for the determining transfer",
    ),
    Refusal.REJECTED_BY_FXP: (ErrorCode.PAYEE_REJECTION, ""),
    Refusal.TRANSFER_DID_NOT_COME: (ErrorCode.TRANSFER_EXPIRED, "the determining transfer did not arrive in time"),
    Refusal.TRANSFER_WAS_ABORTED: (ErrorCode.VALIDATION_ERROR, "the determining transfer was aborted"),
}


# As in the reference hub, the error code for a bulk shows which party is at fault.
_OF_A_BULK = {
    Refusal.PAYER_IS_NOT_ACTIVE: ErrorCode.PAYER_FSP_ID_NOT_FOUND,
    Refusal.PAYEE_IS_UNKNOWN: ErrorCode.PAYEE_FSP_ID_NOT_FOUND,
    Refusal.PAYEE_IS_NOT_ACTIVE: ErrorCode.PAYEE_FSP_ID_NOT_FOUND,
}


def words_of(refusal: Refusal, *, of_bulk: bool = False) -> tuple[str, str]:
    """Returns the error code and the full description of a refusal. `of_bulk` is True for a bulk or its items."""
    error, detail = WIRE[refusal]
    if of_bulk:
        error = _OF_A_BULK.get(refusal, error)
    return error.code, f"{error.text} - {detail}" if detail else error.text


def words_of_rule(verdict: Verdict) -> tuple[str, str]:
    """Returns the error code and description for a refusal by a rule of the scheme. This description never names the
    rule.
    """
    code, description = words_of(Refusal.REFUSED_BY_RULE)
    return verdict.code or code, (verdict.text or description)[:MAX_DESCRIPTION]


def error_of(aborted: "TransferState | ConversionState | Bulk") -> tuple[str, str]:
    """Returns the error code and the description of the abort of a transfer or conversion."""
    error = ErrorCode.SERVER_ERROR
    return aborted.error_code or error.code, aborted.error_description or error.text


def cause_of(aborted: "TransferState | ConversionState") -> dict[str, object]:
    """Returns the extension list that reports the cause of an abort."""
    code, description = error_of(aborted)
    return {"extension": [{"key": "cause", "value": f"{code}: {description}"[:MAX_EXTENSION_VALUE]}]}


@dataclass(slots=True)
class Reserved:
    """The transfer's amount is reserved on the payer's position. The hub sends the payer's request to the payee."""

    command: Prepare
    transfer: "TransferState"


@dataclass(slots=True)
class Refused:
    """The hub refused the transfer request (the prepare). The hub stores the refusal, and refuses a repeated prepare in
    the same way.

    A refusal of a transfer also ends the conversions that belong to this transfer.
    """

    command: Prepare
    transfer: "TransferState"
    conversions: "Sequence[ConversionState]" = ()


@dataclass(slots=True)
class Committed:
    """The transfer is committed, and its two legs are posted. The legs of the transfer's conversions are posted at the
    same time.
    """

    command: Fulfil
    transfer: "TransferState"
    conversions: "Sequence[ConversionState]" = ()


@dataclass(slots=True)
class Aborted:
    command: Fulfil | Reject | Expire
    transfer: "TransferState"
    conversions: "Sequence[ConversionState]" = ()


@dataclass(slots=True)
class Repeated:
    """The message repeats an earlier message. The hub changes nothing and sends the earlier outcome again."""

    command: Prepare | Fulfil | Reject
    transfer: "TransferState"


@dataclass(slots=True)
class NotObeyed:
    """The sender is a party of the transfer, but the message does not change the transfer.

    The sender of the message receives an error callback.

    If another participant has already used the ID of the payer's transfer, the hub can never accept the payer's
    transfer. `conversions` has the conversions that waited for this transfer.
    """

    command: Prepare | Fulfil | Reject
    transfer: "TransferState"
    refusal: Refusal
    conversions: "Sequence[ConversionState]" = ()


@dataclass(slots=True)
class Unknown:
    """The transfer does not exist, or the sender is not a party to the transfer.

    The answer to the sender does not reveal whether the transfer exists.
    """

    command: Fulfil | Reject | Expire


@dataclass(slots=True)
class Implausible:
    """The payee's answer does not change the transfer, because the answer's completedTimestamp has a fault.

    The HTTP response to the payee reports the fault.
    """

    command: Fulfil


@dataclass(slots=True)
class Ignored:
    """The command changes nothing and causes no message. For example, another process has already expired the
    transfer."""

    command: Fulfil | Reject | Expire


Outcome = Reserved | Refused | Committed | Aborted | Repeated | NotObeyed | Unknown | Implausible | Ignored
