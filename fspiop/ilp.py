"""The three Interledger values of a transfer: packet, fulfilment and condition (FSPIOP API v1.1, sections 4 and
6.5.2.3).

A packet has the form that ilp-packet 2.x and the Mojaloop SDK write. The packet begins with a type byte and a length.
The payment follows, as in listing 6. The packet in listing 45 of the API lacks the type byte, the length, and the last
byte for extensions. Like Mojaloop's reference implementation, this module refuses a packet that lacks the type byte,
the length or the last byte.
"""

import hashlib
import hmac
from dataclasses import dataclass

from fspiop import base64url
from fspiop.oer import octet_string, read_octet_string

_PAYMENT_TYPE = 1
_NO_EXTENSIONS = b"\x00"
_AMOUNT_OCTETS = 8
HASH_OCTETS = 32
_MOST_DATA = 32_767
LONGEST_TEXT = 32_768


@dataclass(frozen=True, slots=True)
class IlpPayment:
    """The content of a packet: `amount` in the currency's minor units, the payee's ILP address, and opaque data."""

    amount: int
    account: str
    data: bytes


def encode_payment(payment: IlpPayment) -> str:
    """Writes a payment as packet text (FSPIOP API v1.1, listing 6, canonical OER).

    Raises ValueError if a value does not fit into its field of the packet.
    """
    if not 0 <= payment.amount < 2**64:
        raise ValueError("the amount is not an unsigned 64-bit integer")
    if len(payment.data) > _MOST_DATA:
        raise ValueError("the data is too long")
    contents = (
        payment.amount.to_bytes(_AMOUNT_OCTETS, "big")
        + octet_string(payment.account.encode("ascii"))
        + octet_string(payment.data)
        + _NO_EXTENSIONS
    )
    text = base64url.encode(bytes([_PAYMENT_TYPE]) + octet_string(contents))
    if len(text) > LONGEST_TEXT:
        raise ValueError("the packet is too long")
    return text


def decode_payment(text: str) -> IlpPayment:
    """Reads packet text (FSPIOP API v1.1, listing 6). Raises ValueError if the text is not exactly one canonical
    packet."""
    packet = packet_octets(text)
    if packet[:1] != bytes([_PAYMENT_TYPE]):
        raise ValueError("the packet is not an ILP payment")
    contents, rest = read_octet_string(packet[1:])
    if rest:
        raise ValueError("extra bytes follow the packet")
    if len(contents) < _AMOUNT_OCTETS:
        raise ValueError("the packet ends within the amount")
    account, rest = read_octet_string(contents[_AMOUNT_OCTETS:])
    data, rest = read_octet_string(rest)
    if rest != _NO_EXTENSIONS:
        raise ValueError("the packet does not end with an empty list of extensions")
    if len(data) > _MOST_DATA:
        raise ValueError("the data is too long")
    return IlpPayment(int.from_bytes(contents[:_AMOUNT_OCTETS], "big"), account.decode("ascii"), data)


def fulfilment_for(packet_text: str, secret: bytes) -> str:
    """Returns the fulfilment of a packet: HMAC-SHA256 of the packet's bytes (FSPIOP API v1.1, listing 12).

    The Mojaloop SDK instead computes the fulfilment from the packet's text. DFSPs in one scheme can compute fulfilments
    in different ways, because only the payee DFSP computes a fulfilment. For the examples of FSPIOP API v1.1, this
    function returns the values in listings 42 to 44.
    """
    return base64url.encode(hmac.digest(secret, packet_octets(packet_text), "sha256"))


def condition_for(fulfilment: str) -> str:
    """Returns the condition that matches a fulfilment: the SHA-256 of the fulfilment (FSPIOP API v1.1, 4.4).

    Raises ValueError if the fulfilment is malformed.
    """
    return base64url.encode(hashlib.sha256(_hash_octets(fulfilment)).digest())


def fulfils(fulfilment: str, condition: str) -> bool:
    """Returns whether the fulfilment is the pre-image of the condition (FSPIOP API v1.1, section 4.4).

    The comparison takes the same time for every fulfilment.

    Returns False if either text is not canonical base64url of 32 bytes.
    """
    try:
        found, wanted = hashlib.sha256(_hash_octets(fulfilment)).digest(), _hash_octets(condition)
    except ValueError:
        return False
    return hmac.compare_digest(found, wanted)


def _hash_octets(text: str) -> bytes:
    if len(text) != 43:
        raise ValueError("not 43 characters")
    octets = base64url.decode(text)
    assert len(octets) == HASH_OCTETS
    return octets


def packet_digest(text: str) -> bytes:
    """Decodes packet text and returns the SHA-256 of its bytes. Padding of the packet text does not change the
    digest."""
    return hashlib.sha256(text.rstrip("=").encode()).digest()


def packet_octets(text: str) -> bytes:
    """Decodes packet text with or without padding. Raises ValueError if the text is malformed."""
    if len(text) > LONGEST_TEXT:
        raise ValueError("the packet is too long")
    # Padding is allowed, as in the pattern of IlpPacket and in listing 45, but must have the correct length.
    bare = text.rstrip("=")
    if text != bare and text != bare + "=" * (-len(bare) % 4):
        raise ValueError("not base64url")
    return base64url.decode(bare)
