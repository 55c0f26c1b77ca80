"""The messages of a payment.

The bench prepares the parts of messages in advance. To create a message, the bench only joins these parts.

The payer's process and the payee's process build equal pools of packets. The payer's process uses the packets and
conditions. The payee's process uses the fulfilments.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from fspiop import base64url, ilp

AMOUNT, MINOR_UNITS, CURRENCY = "1", 100, "USD"
_POOL = 8  # packets for each payer and payee
_VALID_S = 600


class Packet(NamedTuple):
    """One payment's ILP packet, its condition and its fulfilment."""

    ilp_packet: bytes
    condition: bytes
    fulfilment: bytes


@cache
def pool(payer: str, payee: str, size: int = _POOL) -> list[Packet]:
    """Returns the packets for this payer's transfers to this payee. The transfers use the packets one after the other.

    The packets are identical in every process.
    """
    return [packet(payer, payee, number) for number in range(size)]


def packet(payer: str, payee: str, number: int) -> Packet:
    """Returns one packet. Packets with different numbers have different conditions."""
    terms = json.dumps(_transaction(payer, payee, number), separators=(",", ":")).encode()
    account = f"g.{payee}.msisdn.{number}".lower()
    encoded = ilp.encode_payment(ilp.IlpPayment(MINOR_UNITS, account, base64url.encode(terms).encode()))
    fulfilment = ilp.fulfilment_for(encoded, hashlib.sha256(payee.encode()).digest())
    return Packet(encoded.encode(), ilp.condition_for(fulfilment).encode(), fulfilment.encode())


def _transaction(payer: str, payee: str, number: int) -> dict[str, object]:
    """Returns the description of a payment (Transaction). The size of the description is realistic. This matters
    because the ILP packet contains the description, and is the largest part of a prepare."""
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
    """The current time as text for headers and bodies. The text is computed only once per second."""

    def __init__(self) -> None:
        self._second = 0
        self.date = self.now = self.expiration = b""

    def tick(self) -> None:
        """Updates the times `date`, `now` and `expiration`."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self.date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second)).encode()
            self.now = _datetime(second)
            self.expiration = _datetime(second + _VALID_S)


def _datetime(second: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(second)).encode()


# --- bodies: with sorted keys and without spaces, the form that every JWS validator signs
# ---------------------------------------


def prepare_body(
    payer: bytes, payee: bytes, ilp_packet: bytes, condition: bytes, transfer_id: bytes, clock: Clock
) -> bytes:
    """Returns the body of POST /transfers."""
    return (
        b'{"amount":{"amount":"%b","currency":"%b"},"condition":"%b","expiration":"%b","ilpPacket":"%b",'
        b'"payeeFsp":"%b","payerFsp":"%b","transferId":"%b"}'
    ) % (AMOUNT.encode(), CURRENCY.encode(), condition, clock.expiration, ilp_packet, payee, payer, transfer_id)


def party(payer: bytes, payee: bytes, alias: bytes) -> bytes:
    """Returns the body of PUT /parties/{Type}/{ID}."""
    return (
        b'{"party":{"name":"Bench Payee","partyIdInfo":{"fspId":"%b","partyIdType":"MSISDN","partyIdentifier":"%b"},'
        b'"personalInfo":{"complexName":{"firstName":"Bench","lastName":"Payee"}}}}'
    ) % (payee, alias)


def quote(payer: bytes, payee: bytes, alias: bytes, quote_id: bytes, clock: Clock) -> bytes:
    """Returns the body of POST /quotes. The quote's id is also the id of the transaction and of the transfer."""
    return quote_between(payer, payee, b"441", alias, quote_id, clock)


def quote_between(
    payer: bytes,
    payee: bytes,
    payer_alias: bytes,
    alias: bytes,
    quote_id: bytes,
    clock: Clock,
    *,
    scenario: bytes = b"TRANSFER",
    kyc_tier: bytes = b"",
) -> bytes:
    """Returns the body of POST /quotes with additional fields that rules read."""
    more = b'"extensionList":{"extension":[{"key":"kycTier","value":"%b"}]},' % kyc_tier if kyc_tier else b""
    return (
        b'{"amount":{"amount":"%b","currency":"%b"},"amountType":"SEND","expiration":"%b",%b"note":"bench",'
        b'"payee":{"partyIdInfo":{"fspId":"%b","partyIdType":"MSISDN","partyIdentifier":"%b"}},'
        b'"payer":{"name":"Bench Payer","partyIdInfo":{"fspId":"%b","partyIdType":"MSISDN","partyIdentifier":"%b"}},'
        b'"quoteId":"%b","transactionId":"%b",'
        b'"transactionType":{"initiator":"PAYER","initiatorType":"CONSUMER","scenario":"%b"}}'
    ) % (
        AMOUNT.encode(),
        CURRENCY.encode(),
        clock.expiration,
        more,
        payee,
        alias,
        payer,
        payer_alias,
        quote_id,
        quote_id,
        scenario,
    )


def terms(payer: bytes, payee: bytes, quote_id: bytes, packet: Packet, clock: Clock) -> bytes:
    """Returns the body of PUT /quotes/{ID}."""
    return (
        b'{"condition":"%b","expiration":"%b","ilpPacket":"%b","payeeReceiveAmount":{"amount":"%b","currency":"%b"},'
        b'"transferAmount":{"amount":"%b","currency":"%b"}}'
    ) % (packet.condition, clock.expiration, packet.ilp_packet, *(AMOUNT.encode(), CURRENCY.encode()) * 2)


def fulfilment_body(fulfilment: bytes, when: bytes) -> bytes:
    """Returns the body of PUT /transfers/{ID}, without completedTimestamp if `when` is empty."""
    moment = b'"completedTimestamp":"%b",' % when if when else b""
    return b'{%b"fulfilment":"%b","transferState":"COMMITTED"}' % (moment, fulfilment)


class Form(NamedTuple):
    """One of the two forms of the API's messages. A form has media types, bodies, and the keys of the values that a
    DFSP reads.
    """

    media_type: bytes  # the media type, with a placeholder for a resource's name
    version: bytes
    accepted: bytes
    transfer_id: bytes
    quote_id: bytes
    packet: bytes
    lock: bytes  # the key of the value from which the payee DFSP finds the fulfilment
    state: bytes
    committed: bytes
    error_code: bytes
    pool: Callable[[str, str], Sequence[Packet]]
    lock_of: Callable[[Packet], bytes]
    party: Callable[[bytes, bytes, bytes], bytes]
    quote: Callable[[bytes, bytes, bytes, bytes, Clock], bytes]
    terms: Callable[[bytes, bytes, bytes, Packet, Clock], bytes]
    transfer: Callable[[bytes, bytes, bytes, bytes, bytes, Clock], bytes]
    fulfilment: Callable[[bytes, bytes], bytes]

    def pool_of(self, payer: str, payee: str, size: int) -> Sequence[Packet]:
        """Returns the packets of this payer's transfers to this payee. Without a size, returns only a few packets."""
        return pool(payer, payee, size) if size else self.pool(payer, payee)


PLAIN = Form(
    media_type=b"application/vnd.interoperability.%b+json;version=",
    version=b"1.1",
    accepted=b"1",
    transfer_id=b"transferId",
    quote_id=b"quoteId",
    packet=b"ilpPacket",
    lock=b"condition",
    state=b"transferState",
    committed=b"COMMITTED",
    error_code=b"errorCode",
    pool=pool,
    lock_of=lambda packet: packet.condition,
    party=party,
    quote=quote,
    terms=terms,
    transfer=prepare_body,
    fulfilment=fulfilment_body,
)


# --- requests ---------------------------------------------------------------------------------------------------------


def post_transfer(host: bytes, payer: bytes, payee: bytes, body: bytes, clock: Clock, form: Form = PLAIN) -> bytes:
    """Returns the message POST /transfers that the payer DFSP sends (FSPIOP API v1.1, section 6.7.3.1)."""
    return request(host, b"POST", b"transfers", b"/transfers", payer, payee, clock, body, accept=True, form=form)


def prepare(
    host: bytes, payer: bytes, payee: bytes, packet: Packet, transfer_id: bytes, clock: Clock, form: Form = PLAIN
) -> bytes:
    """Returns POST /transfers with a packet of the pool."""
    body = form.transfer(payer, payee, packet.ilp_packet, packet.condition, transfer_id, clock)
    return post_transfer(host, payer, payee, body, clock, form)


def fulfil(
    host: bytes,
    payee: bytes,
    payer: bytes,
    fulfilment: bytes,
    transfer_id: bytes,
    clock: Clock,
    *,
    says_when: bool = True,
    form: Form = PLAIN,
) -> bytes:
    """Returns the message PUT /transfers/{ID} that the payee DFSP sends (FSPIOP API v1.1, section 6.7.4.1)."""
    body = form.fulfilment(fulfilment, clock.now if says_when else b"")
    return request(host, b"PUT", b"transfers", b"/transfers/" + transfer_id, payee, payer, clock, body, form=form)


def reject(host: bytes, payee: bytes, payer: bytes, transfer_id: bytes, clock: Clock) -> bytes:
    """Returns the message PUT /transfers/{ID}/error that the payee DFSP sends (section 6.7.5.1)."""
    body = b'{"errorInformation":{"errorCode":"5100","errorDescription":"no"}}'
    path = b"/transfers/%b/error" % transfer_id
    return request(host, b"PUT", b"transfers", path, payee, payer, clock, body)


def ask_transfer(host: bytes, asker: bytes, other: bytes, transfer_id: str, clock: Clock) -> bytes:
    """Returns GET /transfers/{ID}, sent by the payer DFSP or the payee DFSP (section 6.7.3.2)."""
    path = b"/transfers/" + transfer_id.encode()
    return request(host, b"GET", b"transfers", path, asker, other, clock, b"", accept=True)


def ask_party(host: bytes, payer: bytes, alias: bytes, trace: bytes, clock: Clock, form: Form = PLAIN) -> bytes:
    """Returns the message GET /parties/MSISDN/{ID} that a payer DFSP sends to find the payee's DFSP (section
    6.3.3.1)."""
    path = b"/parties/MSISDN/" + alias
    return request(host, b"GET", b"parties", path, payer, b"", clock, b"", accept=True, trace=trace, form=form)


def answer_party(
    host: bytes, payee: bytes, payer: bytes, path: bytes, trace: bytes, body: bytes, clock: Clock, form: Form = PLAIN
) -> bytes:
    """Returns the message PUT /parties/MSISDN/{ID} that the payee DFSP sends (section 6.3.4.1)."""
    return request(host, b"PUT", b"parties", path, payee, payer, clock, body, trace=trace, form=form)


def ask_quote(host: bytes, payer: bytes, payee: bytes, body: bytes, clock: Clock, form: Form = PLAIN) -> bytes:
    """Returns the message POST /quotes that the payer DFSP sends (section 6.5.3.2)."""
    return request(host, b"POST", b"quotes", b"/quotes", payer, payee, clock, body, accept=True, form=form)


def answer_quote(
    host: bytes, payee: bytes, payer: bytes, quote_id: bytes, body: bytes, clock: Clock, form: Form = PLAIN
) -> bytes:
    """Returns the message PUT /quotes/{ID} that the payee DFSP sends (section 6.5.4.1)."""
    return request(host, b"PUT", b"quotes", b"/quotes/" + quote_id, payee, payer, clock, body, form=form)


def request(
    host: bytes,
    method: bytes,
    resource: bytes,
    path: bytes,
    source: bytes,
    destination: bytes,
    clock: Clock,
    body: bytes,
    *,
    accept: bool = False,
    trace: bytes = b"",
    form: Form = PLAIN,
) -> bytes:
    """Returns a request of the API, with its headers."""
    kind = form.media_type % resource
    parts = [b"%b %b HTTP/1.1\r\nHost: %b\r\nDate: %b\r\nFSPIOP-Source: %b" % (method, path, host, clock.date, source)]
    if destination:
        parts.append(b"FSPIOP-Destination: " + destination)
    if accept:
        parts.append(b"Accept: %b%b" % (kind, form.accepted))
    if trace:
        parts.append(b"traceparent: " + trace)
    parts.append(b"Content-Type: %b%b" % (kind, form.version))  # the reference hub requires this header even in a GET
    if body:
        parts.append(b"Content-Length: %d" % len(body))
    return b"%b\r\n\r\n%b" % (b"\r\n".join(parts), body)


# --- searching received messages --------------------------------------------------------------------------------------


def trace_of(payment_id: str) -> bytes:
    """Returns a traceparent header (W3C). The trace id is the payment's id.

    The payer DFSP, the hub and the payee DFSP forward the traceparent.
    """
    return b"00-%b-0000000000000001-01" % payment_id.replace("-", "").encode()


def id_of_trace(trace: bytes) -> str:
    """Returns the payment's id in a traceparent.

    A message that nobody requested has no traceparent. For a message without a traceparent, returns "".
    """
    try:
        return str(uuid.UUID(trace[3:35].decode()))
    except ValueError:
        return ""


def text_of(body: bytes, key: bytes) -> bytes:
    """Returns the value of a key in a JSON body, or empty bytes if the body does not have the key. Does not parse the
    rest of the body.
    """
    at = body.find(b'"' + key + b'"')
    if at < 0:
        return b""
    start = body.find(b'"', body.find(b":", at)) + 1
    return body[start : body.find(b'"', start)]
