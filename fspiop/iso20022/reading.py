"""Translates ISO 20022 messages into the plain API messages, so that views and ledger read only one form."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar, get_args

from fspiop import base64url, bodies, correlation_ids, money, strictjson
from fspiop.bodies.common import (
    ErrorInformation,
    Extension,
    ExtensionList,
    Money,
    Party,
    PartyIdInfo,
    TransactionType,
    TransferState,
)
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.fx_quotes import FxConversion, FxMoney, FxQuotePost, FxQuotePut
from fspiop.bodies.fx_transfers import FxTransferPatch, FxTransferPost, FxTransferPut
from fspiop.bodies.parties import PartyPut
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.transfers import TransferPatch, TransferPost, TransferPut
from fspiop.errors import MAX_DESCRIPTION, ErrorCode, FspiopError, text_of
from fspiop.iso20022 import ilp4, message_types, names, transaction_type_in_instruction

T = TypeVar("T")

STATES: Final[Mapping[str, TransferState]] = {
    "COMM": "COMMITTED",
    "RESV": "RESERVED",
    "RECV": "RECEIVED",
    "ABOR": "ABORTED",
}

_MOST_NOTE = 128
_LOCK = "CdtTrfTxInf.VrfctnOfTerms"
_SCENARIOS = get_args(TransactionType.__annotations__["scenario"])


def read(kind: type[T], raw: bytes, resource: str, *, check: Callable[[Any], None] = lambda message: None) -> T:
    """Reads a body of this resource as a message of the type `kind`.

    `check` also gets the ISO 20022 message. The message of the type `kind` lacks some elements of the ISO 20022
    message. Raises FspiopError 3100 to 3103 with the name of a wrong element.
    """
    form = _form(kind, resource)
    wire = bodies.read(form.wire, raw)
    message: T = form.translate(wire)
    check(message)
    check(wire)
    return message


def wire_of(kind: type[Any], resource: str) -> type[Any]:
    """Returns the ISO 20022 message type that corresponds to the plain message type `kind`."""
    return _form(kind, resource).wire


def content(raw: bytes) -> object:
    """Returns a message without its id and its time, because the id and the time change when a sender repeats the
    message."""
    value = strictjson.loads(raw)
    if isinstance(value, dict) and isinstance(header := value.get("GrpHdr"), dict):
        return value | {"GrpHdr": {name: part for name, part in header.items() if name not in ("MsgId", "CreDtTm")}}
    return value


def _party_put(m: message_types.Verification) -> PartyPut:
    found = m.report.updated
    party = _party(found.party, found.agent, "Rpt.UpdtdPtyAndAcctId.Pty")
    currency = found.account.currency if found.account else None
    if currency is not None and currency in money.CURRENCIES:
        party.supported_currencies = [currency]
    return PartyPut(party)


def _quote_post(m: message_types.QuoteRequest) -> QuotePost:
    asked = m.proposal
    scenario = asked.purpose.scenario if asked.purpose else None
    kind = TransactionType(
        scenario=scenario if scenario in _SCENARIOS else "TRANSFER",  # type: ignore[arg-type]
        initiator="PAYER",
        initiator_type="CONSUMER" if asked.payer.id.person else "BUSINESS",
    )
    request_id = asked.payment_id.request_id
    return QuotePost(
        quote_id=asked.payment_id.quote_id,
        transaction_id=asked.payment_id.transaction_id,
        transaction_request_id=request_id if correlation_ids.is_correlation_id(request_id or "") else None,
        payee=_party(asked.payee, asked.payee_agent, "CdtTrfTxInf.Cdtr"),
        payer=_party(asked.payer, asked.payer_agent, "CdtTrfTxInf.Dbtr"),
        # pacs.081 has no amount type, but pacs.081 names the party that bears the charges. If the payer bears the
        # charges, the payee receives the amount in pacs.081. If the payee bears the charges, the payer sends the amount
        # in pacs.081.
        amount_type="RECEIVE" if asked.bearer == "DEBT" else "SEND",
        amount=_money(asked.amount),
        transaction_type=transaction_type_in_instruction.with_details(
            kind, asked.details.text if asked.details else None
        ),
        note=(asked.note.text or "")[:_MOST_NOTE] or None if asked.note else None,
        expiration=m.header.expiration,
    )


def _quote_put(m: message_types.QuoteAnswer) -> QuotePut:
    found = m.confirmation
    transfer, received = _money(found.amount), _same_currency(found.received, found.amount)
    fee = _same_currency(found.charges.amount, found.amount) if found.charges else None
    return QuotePut(
        transfer_amount=transfer,
        payee_receive_amount=received,
        payee_fsp_fee=fee,
        payee_fsp_commission=_commission(transfer, received, fee),
        expiration=m.header.expiration,
        ilp_packet=found.lock.packet or "",
        condition=_condition(found.lock),
    )


def _same_currency(
    amount: message_types.InstructedAmount | None, transfer: message_types.SettledAmount
) -> Money | None:
    """Returns an amount of the terms, or None if the amount's currency differs from the currency of the transfer. After
    a conversion, the two currencies can differ."""
    return _money(amount) if amount is not None and amount.currency == transfer.currency else None


def _commission(transfer: Money, received: Money | None, fee: Money | None) -> Money | None:
    """Returns the payee DFSP's commission. ISO 20022 has no element for the commission, so this function computes the
    commission from the other amounts (FSPIOP API v1.1, section 5.1).
    """
    if received is None:
        return None
    try:
        total = money.parse_amount(received.amount) + (money.parse_amount(fee.amount) if fee else 0)
        commission = total - money.parse_amount(transfer.amount)
        return Money(transfer.currency, money.format_amount(commission)) if commission > 0 else None
    except money.AmountError:
        return None


def _fx_quote_post(m: message_types.ConversionQuote) -> FxQuotePost:
    terms = _conversion(m)
    # ISO 20022 requires both the source amount and the target amount. In a request, the amount that the FXP has to
    # state is 0.
    unknown = terms.target_amount if terms.amount_type == "SEND" else terms.source_amount
    if unknown.amount == "0":
        unknown.amount = None
    return FxQuotePost(m.terms.payment_id.request_id, terms)


def _fx_quote_put(m: message_types.ConversionQuote) -> FxQuotePut:
    return FxQuotePut(_conversion(m), _condition(m.terms.lock) if m.terms.lock else None)


def _conversion(m: message_types.ConversionQuote) -> FxConversion:
    terms = m.terms
    return FxConversion(
        conversion_id=terms.payment_id.conversion_id,
        initiating_fsp=terms.initiator.fsp,
        counter_party_fsp=terms.fxp.fsp,
        amount_type=terms.instruction.amount_type,
        source_amount=_fx_money(terms.source.amount),
        target_amount=_fx_money(terms.target),
        expiration=m.header.expiration,
        determining_transfer_id=terms.payment_id.determining_transfer_id,
    )


def _transfer_post(m: message_types.CreditTransfer) -> TransferPost:
    transfer = m.transfer
    return TransferPost(
        transfer_id=transfer.payment_id.id,
        payee_fsp=transfer.payee_agent.fsp,
        payer_fsp=transfer.payer_agent.fsp,
        amount=_money(transfer.amount),
        ilp_packet=transfer.lock.packet or "",
        condition=_condition(transfer.lock),
        expiration=m.header.expiration,
    )


def _transfer_put(m: message_types.StatusReport) -> TransferPut:
    return TransferPut(STATES[m.transaction.status], m.transaction.fulfilment, _completed(m), _cause(m))


def _transfer_patch(m: message_types.StatusReport) -> TransferPatch:
    completed = _completed(m)
    if completed is None:
        raise FspiopError(ErrorCode.MISSING_ELEMENT, "TxInfAndSts.PrcgDt is required")
    return TransferPatch(completed, STATES[m.transaction.status], _cause(m))


def _fx_transfer_post(m: message_types.InstitutionTransfer) -> FxTransferPost:
    conversion = m.conversion
    return FxTransferPost(
        commit_request_id=conversion.payment_id.request_id,
        initiating_fsp=conversion.initiator.fsp,
        counter_party_fsp=conversion.fxp.fsp,
        source_amount=_money(conversion.source.amount),
        target_amount=_money(conversion.target),
        condition=_condition(conversion.lock),
        determining_transfer_id=conversion.payment_id.determining_transfer_id,
        expiration=m.header.expiration,
    )


def _fx_transfer_put(m: message_types.StatusReport) -> FxTransferPut:
    return FxTransferPut(STATES[m.transaction.status], m.transaction.fulfilment, _completed(m), _cause(m))


def _fx_transfer_patch(m: message_types.StatusReport) -> FxTransferPatch:
    return FxTransferPatch(STATES[m.transaction.status], _completed(m), _cause(m))


def _completed(m: message_types.StatusReport) -> str | None:
    return m.transaction.completed_at.moment if m.transaction.completed_at else None


def _cause(m: message_types.StatusReport) -> ExtensionList | None:
    """Returns the reason for an abort as an extension list of the plain form."""
    cause = m.transaction.cause
    code = (cause.reason.proprietary or cause.reason.code) if cause else None
    if cause is None or not code:
        return None
    value = f"{code}: {cause.text or text_of(code)}"[:MAX_DESCRIPTION]
    return ExtensionList([Extension("cause", value)])


def _refusal(m: message_types.RefusalReport) -> ErrorPut:
    return _error(m.transaction.why.reason, m.transaction.why.text, "TxInfAndSts.StsRsnInf.Rsn.Prtry")


def _party_refusal(m: message_types.RefusedVerification) -> ErrorPut:
    return _error(m.report.reason, None, "Rpt.Rsn.Cd")


def _error(reason: message_types.Reason, text: str | None, path: str) -> ErrorPut:
    code = reason.proprietary or reason.code
    if code is None:
        raise FspiopError(ErrorCode.MISSING_ELEMENT, f"{path} is required")
    return ErrorPut(ErrorInformation(code, (text or text_of(code))[:MAX_DESCRIPTION]))


def _party(customer: message_types.Customer, agent: message_types.Agent | None, path: str) -> Party:
    found = customer.id.person or customer.id.organisation
    if found is None:
        raise FspiopError(ErrorCode.MISSING_ELEMENT, f"{path}.Id.PrvtId is required")
    party = Party(PartyIdInfo(found.other.scheme.type, found.other.id, fsp_id=agent.fsp if agent else None))
    return names.with_names(party, customer.name)


def _condition(lock: message_types.Lock) -> str:
    if lock.packet is None:
        if lock.condition is None:
            raise FspiopError(ErrorCode.MISSING_ELEMENT, f"{_LOCK}.IlpV4PrepPacket is required")
        return lock.condition
    try:
        condition = base64url.encode(ilp4.decode_prepare(lock.packet).condition)
    except ValueError as error:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{_LOCK}.IlpV4PrepPacket: {error}") from None
    if lock.condition not in (None, condition):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{_LOCK}.Sh256Sgntr: does not match the condition in the packet")
    return condition


def _money(amount: message_types.SettledAmount | message_types.InstructedAmount) -> Money:
    return Money(amount.currency, _amount_text(amount.amount))


def _fx_money(amount: message_types.SettledAmount | message_types.InstructedAmount) -> FxMoney:
    return FxMoney(amount.currency, _amount_text(amount.amount))


def _amount_text(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _form(kind: type[Any], resource: str) -> "_Form":
    return _PARTY_REFUSAL if kind is ErrorPut and resource == "parties" else _FORMS[kind]


class _Form(NamedTuple):
    wire: type[Any]
    translate: Callable[[Any], Any]


_PARTY_REFUSAL = _Form(message_types.RefusedVerification, _party_refusal)
_FORMS: Mapping[type, _Form] = {
    PartyPut: _Form(message_types.Verification, _party_put),
    QuotePost: _Form(message_types.QuoteRequest, _quote_post),
    QuotePut: _Form(message_types.QuoteAnswer, _quote_put),
    FxQuotePost: _Form(message_types.ConversionQuote, _fx_quote_post),
    FxQuotePut: _Form(message_types.ConversionQuote, _fx_quote_put),
    TransferPost: _Form(message_types.CreditTransfer, _transfer_post),
    TransferPut: _Form(message_types.StatusReport, _transfer_put),
    TransferPatch: _Form(message_types.StatusReport, _transfer_patch),
    FxTransferPost: _Form(message_types.InstitutionTransfer, _fx_transfer_post),
    FxTransferPut: _Form(message_types.StatusReport, _fx_transfer_put),
    FxTransferPatch: _Form(message_types.StatusReport, _fx_transfer_patch),
    ErrorPut: _Form(message_types.RefusalReport, _refusal),
}
