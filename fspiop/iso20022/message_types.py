"""The parts of ISO 20022 messages that the hub and the connector read, with the ISO 20022 name of each part.

The messages are defined by Mojaloop's market practice:
- acmt.024: parties
- pacs.081 and pacs.082: quotes
- pacs.091 and pacs.092: the quotes of conversions
- pacs.008 and pacs.009: transfers and conversions
- pacs.002: every answer and error

This module ignores all other parts of a message, but the hub forwards the whole message to the receiver.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from fspiop.bodies.common import (
    AmountType,
    BinaryString32,
    CorrelationId,
    Currency,
    DateTime,
    FspId,
    IlpPacket,
    PartyIdType,
    Text128,
)

# ISO 20022 allows five decimals and trailing zeros. The hub's amounts have four decimals, so the fifth decimal must be
# zero.
IsoAmount = Annotated[str, Meta(pattern=r"^(?:0|[1-9][0-9]{0,17})(?:[.][0-9]{1,4}0?)?\Z")]
ReasonCode = Annotated[str, Meta(pattern=r"^[1-9][0-9]{3}\Z")]
Status = Literal["COMM", "RESV", "RECV", "ABOR"]


class FspOther(Struct, rename={"id": "Id"}):
    id: FspId


class Institution(Struct, rename={"other": "Othr"}):
    other: FspOther


class Agent(Struct, rename={"institution": "FinInstnId"}):
    """A DFSP or FXP in an ISO 20022 message."""

    institution: Institution

    @property
    def fsp(self) -> str:
        return self.institution.other.id


class Scheme(Struct, rename={"type": "Prtry"}):
    type: PartyIdType


class IdOther(Struct, rename={"scheme": "SchmeNm", "id": "Id"}):
    scheme: Scheme
    id: Text128


class Identification(Struct, rename={"other": "Othr"}):
    other: IdOther


class PartyId(Struct, rename={"person": "PrvtId", "organisation": "OrgId"}):
    person: Identification | None = None
    organisation: Identification | None = None


class Customer(Struct, rename={"id": "Id", "name": "Nm"}):
    """The payer or payee in an ISO 20022 message. Mojaloop's connectors write the party's four names as one text."""

    id: PartyId
    name: str | None = None


class SettledAmount(Struct, rename={"currency": "Ccy", "amount": "ActiveCurrencyAndAmount"}):
    currency: Currency
    amount: IsoAmount


class InstructedAmount(Struct, rename={"currency": "Ccy", "amount": "ActiveOrHistoricCurrencyAndAmount"}):
    currency: Currency
    amount: IsoAmount


class Lock(Struct, rename={"packet": "IlpV4PrepPacket", "condition": "Sh256Sgntr"}):
    """The condition that the fulfilment must match. A message contains either a packet with the condition, or only the
    condition."""

    packet: IlpPacket | None = None
    condition: BinaryString32 | None = None


class Header(Struct, rename={"expiration": "PmtInstrXpryDtTm"}):
    expiration: DateTime


class HeaderOfRequest(Struct, rename={"expiration": "PmtInstrXpryDtTm"}):
    expiration: DateTime | None = None


# Discovery


class PartyAccount(Struct, rename={"currency": "Ccy"}):
    currency: str | None = None


class Updated(Struct, rename={"party": "Pty", "agent": "Agt", "account": "Acct"}):
    party: Customer
    agent: Agent | None = None
    account: PartyAccount | None = None


class PartyReport(Struct, rename={"updated": "UpdtdPtyAndAcctId"}):
    updated: Updated


class Verification(Struct, rename={"report": "Rpt"}):
    """The message acmt.024 after a successful lookup: describes the party."""

    report: PartyReport


# Agreement


class QuoteId(Struct, rename={"quote_id": "TxId", "transaction_id": "EndToEndId", "request_id": "InstrId"}):
    quote_id: CorrelationId
    transaction_id: CorrelationId
    request_id: str | None = None  # if this payment answers a request to pay, the id of the request to pay


class Purpose(Struct, rename={"scenario": "Prtry"}):
    scenario: str | None = None


class AgentInstruction(Struct, rename={"text": "InstrInf"}):
    text: str | None = None


class Proposal(
    Struct,
    rename={
        "payment_id": "PmtId",
        "payee": "Cdtr",
        "payee_agent": "CdtrAgt",
        "payer": "Dbtr",
        "payer_agent": "DbtrAgt",
        "amount": "IntrBkSttlmAmt",
        "bearer": "ChrgBr",
        "purpose": "Purp",
        "details": "InstrForCdtrAgt",
        "note": "InstrForNxtAgt",
    },
):
    payment_id: QuoteId
    payee: Customer
    payee_agent: Agent
    payer: Customer
    payer_agent: Agent
    amount: SettledAmount
    bearer: str | None = None
    purpose: Purpose | None = None
    details: AgentInstruction | None = None
    note: AgentInstruction | None = None


class QuoteRequest(Struct, rename={"header": "GrpHdr", "proposal": "CdtTrfTxInf"}):
    """pacs.081: a request for a quote."""

    header: HeaderOfRequest
    proposal: Proposal


class Charges(Struct, rename={"amount": "Amt"}):
    amount: InstructedAmount


class Confirmation(
    Struct,
    rename={"amount": "IntrBkSttlmAmt", "lock": "VrfctnOfTerms", "received": "InstdAmt", "charges": "ChrgsInf"},
):
    amount: SettledAmount
    lock: Lock
    received: InstructedAmount | None = None  # the amount that the payee receives
    charges: Charges | None = None  # the payee DFSP's fee


class QuoteAnswer(Struct, rename={"header": "GrpHdr", "confirmation": "CdtTrfTxInf"}):
    """pacs.082: the answer to a request for a quote."""

    header: Header
    confirmation: Confirmation


class Underlying(Struct, rename={"amount": "InstdAmt"}):
    amount: InstructedAmount


class ConversionId(
    Struct, rename={"request_id": "TxId", "conversion_id": "InstrId", "determining_transfer_id": "EndToEndId"}
):
    request_id: CorrelationId
    conversion_id: CorrelationId
    determining_transfer_id: CorrelationId | None = None


class Instruction(Struct, rename={"amount_type": "InstrInf"}):
    amount_type: AmountType


class ConversionTerms(
    Struct,
    rename={
        "payment_id": "PmtId",
        "initiator": "Dbtr",
        "fxp": "Cdtr",
        "source": "UndrlygCstmrCdtTrf",
        "target": "IntrBkSttlmAmt",
        "instruction": "InstrForCdtrAgt",
        "lock": "VrfctnOfTerms",
    },
):
    payment_id: ConversionId
    initiator: Agent
    fxp: Agent
    source: Underlying
    target: SettledAmount
    instruction: Instruction
    lock: Lock | None = None


class ConversionQuote(Struct, rename={"header": "GrpHdr", "terms": "CdtTrfTxInf"}):
    """pacs.091 and pacs.092: the request for a conversion's quote, and the answer."""

    header: Header
    terms: ConversionTerms


# Transfer


class TransferId(Struct, rename={"id": "TxId"}):
    id: CorrelationId


class Transfer(
    Struct,
    rename={
        "payment_id": "PmtId",
        "payee_agent": "CdtrAgt",
        "payer_agent": "DbtrAgt",
        "amount": "IntrBkSttlmAmt",
        "lock": "VrfctnOfTerms",
    },
):
    payment_id: TransferId
    payee_agent: Agent
    payer_agent: Agent
    amount: SettledAmount
    lock: Lock


class CreditTransfer(Struct, rename={"header": "GrpHdr", "transfer": "CdtTrfTxInf"}):
    """pacs.008: a transfer."""

    header: Header
    transfer: Transfer


class CommitId(Struct, rename={"request_id": "TxId", "determining_transfer_id": "EndToEndId"}):
    request_id: CorrelationId
    determining_transfer_id: CorrelationId


class Conversion(
    Struct,
    rename={
        "payment_id": "PmtId",
        "initiator": "Dbtr",
        "fxp": "Cdtr",
        "source": "UndrlygCstmrCdtTrf",
        "target": "IntrBkSttlmAmt",
        "lock": "VrfctnOfTerms",
    },
):
    payment_id: CommitId
    initiator: Agent
    fxp: Agent
    source: Underlying
    target: SettledAmount
    lock: Lock


class InstitutionTransfer(Struct, rename={"header": "GrpHdr", "conversion": "CdtTrfTxInf"}):
    """pacs.009: a conversion."""

    header: Header
    conversion: Conversion


class Moment(Struct, rename={"moment": "DtTm"}):
    moment: DateTime


class CauseCode(Struct, rename={"proprietary": "Prtry", "code": "Cd"}):
    proprietary: str | None = None
    code: str | None = None


class Cause(Struct, rename={"reason": "Rsn", "text": "AddtlInf"}):
    """The reason for an abort, in addition to the state of the transfer or conversion. Any text is allowed here,
    because no decision of the hub depends on this text."""

    reason: CauseCode
    text: str | None = None


class TransactionStatus(
    Struct, rename={"status": "TxSts", "fulfilment": "ExctnConf", "completed_at": "PrcgDt", "cause": "StsRsnInf"}
):
    status: Status
    fulfilment: BinaryString32 | None = None
    completed_at: Moment | None = None
    cause: Cause | None = None


class StatusReport(Struct, rename={"transaction": "TxInfAndSts"}):
    """The message pacs.002 that reports an acceptance."""

    transaction: TransactionStatus


# Errors


class Reason(Struct, rename={"proprietary": "Prtry", "code": "Cd"}):
    proprietary: ReasonCode | None = None
    code: ReasonCode | None = None


class StatusReason(Struct, rename={"reason": "Rsn", "text": "AddtlInf"}):
    reason: Reason
    text: str | None = None


class RefusedTransaction(Struct, rename={"why": "StsRsnInf"}):
    why: StatusReason


class RefusalReport(Struct, rename={"transaction": "TxInfAndSts"}):
    """The message pacs.002 that reports a refusal."""

    transaction: RefusedTransaction


class UnfoundParty(Struct, rename={"reason": "Rsn"}):
    reason: Reason


class RefusedVerification(Struct, rename={"report": "Rpt"}):
    """The message acmt.024 after a failed lookup: reports that no party was found."""

    report: UnfoundParty
