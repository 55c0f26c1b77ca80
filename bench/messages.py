"""The messages of a transfer, prepared so far in advance that making one is a join of octets.

Both sides of a transfer make the same pool: the payer's side takes packet and condition from it, the payee's side
the fulfilment.
"""

import hashlib
import json
import time
import uuid
from typing import NamedTuple

from fspiop import base64url, ilp

AMOUNT, MINOR_UNITS, CURRENCY = "1", 100, "USD"
_TYPE = b"application/vnd.interoperability.transfers+json;version="
_POOL = 32  # packets for each payer and payee
_VALID_S = 600


class Prepared(NamedTuple):
    """One packet of the pool, in the body of a prepare that lacks its expiration and id."""

    condition: bytes
    fulfilment: bytes
    before_expiration: bytes
    before_id: bytes


def pool(payer: str, payee: str) -> list[Prepared]:
    """The packets that this payer's transfers to this payee use in turn; the same in every process."""
    return [_prepared(payer, payee, number) for number in range(_POOL)]


def _prepared(payer: str, payee: str, number: int) -> Prepared:
    terms = json.dumps(_transaction(payer, payee, number), separators=(",", ":")).encode()
    account = f"g.{payee}.msisdn.{number}".lower()
    packet = ilp.encode_payment(ilp.IlpPayment(MINOR_UNITS, account, base64url.encode(terms).encode()))
    fulfilment = ilp.fulfilment_for(packet, hashlib.sha256(payee.encode()).digest())
    condition = ilp.condition_for(fulfilment)
    # Keys in order and no blanks: the form that every JWS validator signs.
    return Prepared(
        condition.encode(),
        fulfilment.encode(),
        f'{{"amount":{{"amount":"{AMOUNT}","currency":"{CURRENCY}"}},"condition":"{condition}","expiration":"'.encode(),
        f'","ilpPacket":"{packet}","payeeFsp":"{payee}","payerFsp":"{payer}","transferId":"'.encode(),
    )


def _transaction(payer: str, payee: str, number: int) -> dict[str, object]:
    """As large as those of real quotes: the packet is most of a prepare's octets."""
    return {
        "transactionId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{payer}/{payee}/{number}")),
        "quoteId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{payer}/{payee}/{number}/quote")),
        "payee": {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": f"27{number:09}", "fspId": payee}},
        "payer": {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": f"44{number:09}", "fspId": payer}},
        "amount": {"amount": AMOUNT, "currency": CURRENCY},
        "transactionType": {"scenario": "TRANSFER", "initiator": "PAYER", "initiatorType": "CONSUMER"},
        "note": "bench",
    }


class Clock:
    """The moment as headers and bodies write it, written once a second."""

    def __init__(self) -> None:
        self._second = 0
        self.date = self.now = self.expiration = b""

    def tick(self) -> None:
        """Brings `date`, `now` and `expiration` up to date."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self.date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second)).encode()
            self.now = _datetime(second)
            self.expiration = _datetime(second + _VALID_S)


def _datetime(second: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(second)).encode()


def prepare(host: bytes, payer: bytes, payee: bytes, packet: Prepared, transfer_id: bytes, clock: Clock) -> bytes:
    """POST /transfers, by the payer (FSPIOP API v1.1, section 6.7.3.1)."""
    body = b"".join((packet.before_expiration, clock.expiration, packet.before_id, transfer_id, b'"}'))
    return b"".join(
        (
            b"POST /transfers HTTP/1.1\r\nHost: ",
            host,
            b"\r\nAccept: " + _TYPE + b"1\r\nContent-Type: " + _TYPE + b"1.1\r\nDate: ",
            clock.date,
            b"\r\nFSPIOP-Source: ",
            payer,
            b"\r\nFSPIOP-Destination: ",
            payee,
            b"\r\nContent-Length: %d\r\n\r\n" % len(body),
            body,
        )
    )


def fulfil(host: bytes, payee: bytes, payer: bytes, fulfilment: bytes, transfer_id: bytes, clock: Clock) -> bytes:
    """PUT /transfers/{ID}, by the payee (FSPIOP API v1.1, section 6.7.4.1)."""
    body = b'{"completedTimestamp":"%b","fulfilment":"%b","transferState":"COMMITTED"}' % (clock.now, fulfilment)
    return b"".join(
        (
            b"PUT /transfers/",
            transfer_id,
            b" HTTP/1.1\r\nHost: ",
            host,
            b"\r\nContent-Type: " + _TYPE + b"1.1\r\nDate: ",
            clock.date,
            b"\r\nFSPIOP-Source: ",
            payee,
            b"\r\nFSPIOP-Destination: ",
            payer,
            b"\r\nContent-Length: %d\r\n\r\n" % len(body),
            body,
        )
    )


def text_of(body: bytes, key: bytes) -> bytes:
    """The text under a key of a JSON body, found without reading the rest; empty where there is none."""
    at = body.find(b'"' + key + b'"')
    if at < 0:
        return b""
    start = body.find(b'"', body.find(b":", at)) + 1
    return body[start : body.find(b'"', start)]
