"""Writes a DFSP's own requests and answers in ISO 20022: parties, quotes, conversions and transfers.

States and errors are in `fspiop.iso20022.writing_states_and_errors`. ISO 20022 has no elements for five kinds of data:
the fees in a request, extensions, geographic codes, the charges of an FXP, and the sub-ids of parties. So the messages
in ISO 20022 do not contain these fields of the plain form.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from fspiop import base64url, bodies, time
from fspiop.bodies.common import Money, Party, PartyIdInfo, Transaction
from fspiop.bodies.fx_quotes import FxConversion, FxMoney, FxQuotePost, FxQuotePut
from fspiop.bodies.fx_transfers import FxTransferPost
from fspiop.bodies.parties import PartyPut
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.transfers import TransferPost
from fspiop.errors import FspiopError
from fspiop.iso20022 import ilp4, names, transaction_type_in_instruction
from fspiop.iso20022.message_ids import message_id

_MOST_ID = 35  # Max35Text


@dataclass(frozen=True, slots=True)
class Envelope:
    """The data that a message needs in addition to its body."""

    path: str
    date: datetime
    source: str
    destination: str


def write(message: Any, envelope: Envelope) -> dict[str, Any]:
    """Returns a request or an answer of the plain form as an ISO 20022 message."""
    header = {
        "MsgId": message_id(envelope.path, envelope.destination, msgspec.to_builtins(message), date=envelope.date),
        "CreDtTm": time.format_datetime(envelope.date),
    }
    return _WRITERS[type(message)](message, header, envelope)


def _party_put(message: PartyPut, header: dict[str, str], envelope: Envelope) -> dict[str, Any]:
    party = message.party
    found: dict[str, Any] = {"Pty": _customer(party), "Agt": _agent(party.party_id_info.fsp_id or envelope.source)}
    if party.supported_currencies:
        found["Acct"] = {"Ccy": party.supported_currencies[0]}
    sides = {"Assgnr": {"Agt": _agent(envelope.source)}, "Assgne": {"Agt": _agent(envelope.destination)}}
    report = {"OrgnlId": party.party_id_info.party_identifier[:_MOST_ID], "Vrfctn": True, "UpdtdPtyAndAcctId": found}
    return {"Assgnmt": header | sides, "Rpt": report}


def _quote_post(message: QuotePost, header: dict[str, str], envelope: Envelope) -> dict[str, Any]:
    kind = message.transaction_type
    ids = {"TxId": message.quote_id, "EndToEndId": message.transaction_id}
    if message.transaction_request_id is not None:
        ids["InstrId"] = message.transaction_request_id
    asked = {
        "PmtId": ids,
        **_sides(message.payer, message.payee, envelope.source, envelope.destination),
        "IntrBkSttlmAmt": _settled(message.amount),
        "ChrgBr": "DEBT" if message.amount_type == "RECEIVE" else "CRED",
        "Purp": {"Prtry": kind.scenario},
        "InstrForCdtrAgt": {"InstrInf": transaction_type_in_instruction.text_of(kind)},
    }
    if message.note is not None:
        asked["InstrForNxtAgt"] = {"InstrInf": message.note}
    return {"GrpHdr": _payment_header(header, message.expiration), "CdtTrfTxInf": asked}


def _quote_put(message: QuotePut, header: dict[str, str], envelope: Envelope) -> dict[str, Any]:
    currency = message.transfer_amount.currency
    found = {
        "PmtId": {"TxId": envelope.path.rsplit("/", 1)[1]},
        **_sides_in(message.ilp_packet, envelope.destination, envelope.source),
        "IntrBkSttlmAmt": _settled(message.transfer_amount),
        "InstdAmt": _instructed(message.payee_receive_amount or message.transfer_amount),
        "ChrgBr": "SHAR",
        "ChrgsInf": {
            "Amt": _instructed(message.payee_fsp_fee or Money(currency, "0")),
            "Agt": _agent(envelope.source),
        },
        "VrfctnOfTerms": {"IlpV4PrepPacket": message.ilp_packet},
    }
    return {"GrpHdr": _payment_header(header, message.expiration), "CdtTrfTxInf": found}


def _transfer_post(message: TransferPost, header: dict[str, str], _: Envelope) -> dict[str, Any]:
    found = {
        "PmtId": {"TxId": message.transfer_id},
        **_sides_in(message.ilp_packet, message.payer_fsp, message.payee_fsp),
        "IntrBkSttlmAmt": _settled(message.amount),
        "ChrgBr": "SHAR",
        "VrfctnOfTerms": {"IlpV4PrepPacket": message.ilp_packet},
    }
    return {"GrpHdr": _payment_header(header, message.expiration), "CdtTrfTxInf": found}


def _fx_quote_post(message: FxQuotePost, header: dict[str, str], _: Envelope) -> dict[str, Any]:
    return _conversion_quote(message.conversion_terms, message.conversion_request_id, None, header)


def _fx_quote_put(message: FxQuotePut, header: dict[str, str], envelope: Envelope) -> dict[str, Any]:
    request_id = envelope.path.rsplit("/", 1)[1]
    return _conversion_quote(message.conversion_terms, request_id, message.condition, header)


def _conversion_quote(
    terms: FxConversion, request_id: str, condition: str | None, header: dict[str, str]
) -> dict[str, Any]:
    ids = {"TxId": request_id, "InstrId": terms.conversion_id}
    if terms.determining_transfer_id is not None:
        ids["EndToEndId"] = terms.determining_transfer_id
    found = {
        "PmtId": ids,
        **_conversion(terms.initiating_fsp, terms.counter_party_fsp, terms.source_amount, terms.target_amount),
        "InstrForCdtrAgt": {"InstrInf": terms.amount_type},
    }
    if condition is not None:
        found["VrfctnOfTerms"] = {"Sh256Sgntr": condition}
    return {"GrpHdr": _payment_header(header, terms.expiration), "CdtTrfTxInf": found}


def _fx_transfer_post(message: FxTransferPost, header: dict[str, str], _: Envelope) -> dict[str, Any]:
    ids = {"TxId": message.commit_request_id}
    if message.determining_transfer_id is not None:
        ids["EndToEndId"] = message.determining_transfer_id
    found = {
        "PmtId": ids,
        **_conversion(message.initiating_fsp, message.counter_party_fsp, message.source_amount, message.target_amount),
        "VrfctnOfTerms": {"Sh256Sgntr": message.condition},
    }
    return {"GrpHdr": _payment_header(header, message.expiration), "CdtTrfTxInf": found}


def _payment_header(header: dict[str, str], expiration: str | None) -> dict[str, Any]:
    found: dict[str, Any] = header | {"NbOfTxs": "1", "SttlmInf": {"SttlmMtd": "CLRG"}}
    return found if expiration is None else found | {"PmtInstrXpryDtTm": expiration}


def _sides(payer: Party, payee: Party, payer_fsp: str, payee_fsp: str) -> dict[str, Any]:
    return {
        "Dbtr": _customer(payer),
        "DbtrAgt": _agent(payer.party_id_info.fsp_id or payer_fsp),
        "Cdtr": _customer(payee),
        "CdtrAgt": _agent(payee.party_id_info.fsp_id or payee_fsp),
    }


def _sides_in(packet: str, payer_fsp: str, payee_fsp: str) -> dict[str, Any]:
    """Returns the parties that a packet names. If the packet contains no transaction, returns the two DFSPs as the
    parties."""
    try:
        data = base64url.decode(ilp4.decode_prepare(packet).data.decode("ascii"))
        found = bodies.convert(Transaction, json.loads(data))
    except (ValueError, FspiopError, RecursionError):
        return {
            "Dbtr": _organisation(payer_fsp),
            "DbtrAgt": _agent(payer_fsp),
            "Cdtr": _organisation(payee_fsp),
            "CdtrAgt": _agent(payee_fsp),
        }
    # The result always has the two DFSPs of the message, even if the packet names different DFSPs.
    return _sides(found.payer, found.payee, payer_fsp, payee_fsp) | {
        "DbtrAgt": _agent(payer_fsp),
        "CdtrAgt": _agent(payee_fsp),
    }


def _customer(party: Party) -> dict[str, Any]:
    info: PartyIdInfo = party.party_id_info
    kind = "OrgId" if info.party_id_type == "BUSINESS" else "PrvtId"
    identification = {"Othr": {"SchmeNm": {"Prtry": info.party_id_type}, "Id": info.party_identifier}}
    name = names.text_of(party)
    return {"Id": {kind: identification}} | ({} if name is None else {"Nm": name})


def _organisation(fsp: str) -> dict[str, Any]:
    return {"Id": {"OrgId": {"Othr": {"Id": fsp}}}}


def _conversion(initiator: str, fxp: str, source: FxMoney | Money, target: FxMoney | Money) -> dict[str, Any]:
    return {
        "Dbtr": _agent(initiator),
        "Cdtr": _agent(fxp),
        "UndrlygCstmrCdtTrf": {
            "Dbtr": _organisation(initiator),
            "DbtrAgt": _agent(initiator),
            "Cdtr": _organisation(fxp),
            "CdtrAgt": _agent(fxp),
            "InstdAmt": _instructed(source),
        },
        "IntrBkSttlmAmt": _settled(target),
    }


def _agent(fsp: str) -> dict[str, Any]:
    return {"FinInstnId": {"Othr": {"Id": fsp}}}


def _settled(amount: FxMoney | Money) -> dict[str, str]:
    return {"Ccy": amount.currency, "ActiveCurrencyAndAmount": amount.amount or "0"}


def _instructed(amount: FxMoney | Money) -> dict[str, str]:
    return {"Ccy": amount.currency, "ActiveOrHistoricCurrencyAndAmount": amount.amount or "0"}


_WRITERS: Mapping[type, Callable[[Any, dict[str, str], Envelope], dict[str, Any]]] = {
    PartyPut: _party_put,
    QuotePost: _quote_post,
    QuotePut: _quote_put,
    FxQuotePost: _fx_quote_post,
    FxQuotePut: _fx_quote_put,
    TransferPost: _transfer_post,
    FxTransferPost: _fx_transfer_post,
}
