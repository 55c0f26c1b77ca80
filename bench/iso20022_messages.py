"""The messages of a payment in the ISO 20022 form of API v2.0.

The messages are as large as the messages of a real connector.

The bodies have sorted keys and no spaces, as in `bench.messages`. The ids in these messages are also UUIDs, because the
bench finds an id by its length.
"""

import json
from datetime import UTC, datetime
from functools import cache

from bench import messages
from bench.messages import AMOUNT, CURRENCY, MINOR_UNITS, Clock, Form, Packet
from fspiop import base64url
from fspiop.iso20022 import ilp4

_EXPIRES = datetime(2090, 1, 1, tzinfo=UTC)  # the packet's expiration; the message has a separate expiration
_ALIAS = b"27000000001"  # the payee's alias, for messages that do not contain it
_AMOUNT, _CURRENCY = AMOUNT.encode(), CURRENCY.encode()


@cache
def pool(payer: str, payee: str) -> list[Packet]:
    """Returns the packets for this payer's transfers to this payee, with conditions and fulfilments."""
    return [_packet(payee, number, plain) for number, plain in enumerate(messages.pool(payer, payee))]


def _packet(payee: str, number: int, plain: Packet) -> Packet:
    terms = json.dumps({"note": "bench", "quote": plain.ilp_packet.decode()}).encode()
    packet = ilp4.encode_prepare(
        ilp4.IlpPrepare(
            amount=MINOR_UNITS,
            expires_at=_EXPIRES,
            condition=base64url.decode(plain.condition.decode()),
            destination=f"g.{payee}.msisdn.{number}".lower(),
            data=base64url.encode(terms).encode(),
        )
    )
    return Packet(packet.encode(), plain.condition, plain.fulfilment)


def party(payer: bytes, payee: bytes, alias: bytes) -> bytes:
    """Returns acmt.024, the body of PUT /parties/{Type}/{ID}."""
    return (
        b'{"Assgnmt":{"Assgne":{"Agt":%b},"Assgnr":{"Agt":%b},"CreDtTm":"2026-01-01T00:00:00.000Z","MsgId":"%b"},'
        b'"Rpt":{"OrgnlId":"%b","UpdtdPtyAndAcctId":{"Acct":{"Ccy":"%b"},"Agt":%b,"Pty":%b},"Vrfctn":true}}'
    ) % (_agent(payer), _agent(payee), alias, alias, _CURRENCY, _agent(payee), _customer(alias, b"Bench Payee"))


def quote(payer: bytes, payee: bytes, alias: bytes, quote_id: bytes, clock: Clock) -> bytes:
    """Returns pacs.081, the body of POST /quotes."""
    return (
        b'{"CdtTrfTxInf":{"Cdtr":%b,"CdtrAgt":%b,"ChrgBr":"CRED","Dbtr":%b,"DbtrAgt":%b,"IntrBkSttlmAmt":%b,'
        b'"PmtId":{"EndToEndId":"%b","TxId":"%b"},"Purp":{"Prtry":"TRANSFER"}},"GrpHdr":%b}'
    ) % (*_sides(payer, payee, alias), _settled(), quote_id, quote_id, _payment_header(quote_id, clock))


def terms(payer: bytes, payee: bytes, quote_id: bytes, packet: Packet, clock: Clock) -> bytes:
    """Returns pacs.082, the body of PUT /quotes/{ID}."""
    instructed = b'{"ActiveOrHistoricCurrencyAndAmount":"%b","Ccy":"%b"}'
    creditor, creditor_agent, debtor, debtor_agent = _sides(payer, payee, _ALIAS)
    return (
        b'{"CdtTrfTxInf":{"Cdtr":%b,"CdtrAgt":%b,"ChrgBr":"CRED","ChrgsInf":{"Agt":%b,"Amt":%b},"Dbtr":%b,'
        b'"DbtrAgt":%b,"InstdAmt":%b,"IntrBkSttlmAmt":%b,"PmtId":{"TxId":"%b"},"VrfctnOfTerms":{"IlpV4PrepPacket":"%b"}},'
        b'"GrpHdr":%b}'
    ) % (
        creditor,
        creditor_agent,
        creditor_agent,
        instructed % (b"0", _CURRENCY),
        debtor,
        debtor_agent,
        instructed % (_AMOUNT, _CURRENCY),
        _settled(),
        quote_id,
        packet.ilp_packet,
        _payment_header(quote_id, clock),
    )


def transfer(
    payer: bytes, payee: bytes, ilp_packet: bytes, condition: bytes, transfer_id: bytes, clock: Clock
) -> bytes:
    """Returns pacs.008, the body of POST /transfers."""
    return (
        b'{"CdtTrfTxInf":{"Cdtr":%b,"CdtrAgt":%b,"ChrgBr":"CRED","Dbtr":%b,"DbtrAgt":%b,"IntrBkSttlmAmt":%b,'
        b'"PmtId":{"TxId":"%b"},"VrfctnOfTerms":{"IlpV4PrepPacket":"%b"}},"GrpHdr":%b}'
    ) % (*_sides(payer, payee, _ALIAS), _settled(), transfer_id, ilp_packet, _payment_header(transfer_id, clock))


def fulfilment(fulfilment: bytes, when: bytes) -> bytes:
    """Returns pacs.002, the body of PUT /transfers/{ID}."""
    moment = b'"PrcgDt":{"DtTm":"%b"},' % when if when else b""
    return b'{"GrpHdr":{"CreDtTm":"%b","MsgId":"%b"},"TxInfAndSts":{"ExctnConf":"%b",%b"TxSts":"COMM"}}' % (
        when or b"2026-01-01T00:00:00.000Z",
        fulfilment[:35],
        fulfilment,
        moment,
    )


def _agent(fsp: bytes) -> bytes:
    return b'{"FinInstnId":{"Othr":{"Id":"%b"}}}' % fsp


def _customer(alias: bytes, name: bytes) -> bytes:
    return b'{"Id":{"PrvtId":{"Othr":{"Id":"%b","SchmeNm":{"Prtry":"MSISDN"}}}},"Nm":"%b"}' % (alias, name)


def _sides(payer: bytes, payee: bytes, alias: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    return _customer(alias, b"Bench Payee"), _agent(payee), _customer(b"441", b"Bench Payer"), _agent(payer)


def _settled() -> bytes:
    return b'{"ActiveCurrencyAndAmount":"%b","Ccy":"%b"}' % (_AMOUNT, _CURRENCY)


def _payment_header(message_id: bytes, clock: Clock) -> bytes:
    return b'{"CreDtTm":"%b","MsgId":"%b","NbOfTxs":"1","PmtInstrXpryDtTm":"%b","SttlmInf":{"SttlmMtd":"CLRG"}}' % (
        clock.now,
        message_id.replace(b"-", b""),
        clock.expiration,
    )


ISO20022 = Form(
    media_type=b"application/vnd.interoperability.iso20022.%b+json;version=",
    version=b"2.0",
    accepted=b"2",
    transfer_id=b"TxId",
    quote_id=b"TxId",
    packet=b"IlpV4PrepPacket",
    lock=b"IlpV4PrepPacket",
    state=b"TxSts",
    committed=b"COMM",
    error_code=b"Prtry",
    pool=pool,
    lock_of=lambda packet: packet.ilp_packet,
    party=party,
    quote=quote,
    terms=terms,
    transfer=transfer,
    fulfilment=fulfilment,
)
