"""The ILPv4 prepare packet in ISO 20022 messages. A prepare packet contains the condition (Interledger RFC 27, section
3.1)."""

import hmac
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from fspiop import base64url
from fspiop.ilp import HASH_OCTETS, LONGEST_TEXT, condition_for, packet_octets
from fspiop.oer import octet_string, read_octet_string

_PREPARE_TYPE = 12
_AMOUNT_OCTETS = 8
_TIME_OCTETS = 17
_FIXED_OCTETS = _AMOUNT_OCTETS + _TIME_OCTETS + HASH_OCTETS
_TIME = re.compile(r"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{3})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class IlpPrepare:
    """The content of a packet: `amount` in the currency's minor units, the condition's bytes, and the payee's data.

    A connector writes the agreed terms as JSON, and encodes the JSON in base64url for the payee's data.
    """

    amount: int
    expires_at: datetime
    condition: bytes
    destination: str
    data: bytes


def encode_prepare(prepare: IlpPrepare) -> str:
    """Writes a prepare packet as text. Raises ValueError if a value does not fit into its field of the packet."""
    if not 0 <= prepare.amount < 2**64:
        raise ValueError("the amount is not an unsigned 64-bit integer")
    if len(prepare.condition) != HASH_OCTETS:
        raise ValueError("the condition does not have 32 bytes")
    contents = (
        prepare.amount.to_bytes(_AMOUNT_OCTETS, "big")
        + _time_text(prepare.expires_at).encode("ascii")
        + prepare.condition
        + octet_string(prepare.destination.encode("ascii"))
        + octet_string(prepare.data)
    )
    text = base64url.encode(bytes([_PREPARE_TYPE]) + octet_string(contents))
    if len(text) > LONGEST_TEXT:
        raise ValueError("the packet is too long")
    return text


def decode_prepare(text: str) -> IlpPrepare:
    """Reads a prepare packet from text. Raises ValueError if the text is not exactly one canonical packet."""
    packet = packet_octets(text)
    if packet[:1] != bytes([_PREPARE_TYPE]):
        raise ValueError("the packet is not an ILPv4 prepare")
    contents, rest = read_octet_string(packet[1:])
    if rest:
        raise ValueError("extra bytes follow the packet")
    if len(contents) < _FIXED_OCTETS:
        raise ValueError("the packet ends within the condition")
    destination, rest = read_octet_string(contents[_FIXED_OCTETS:])
    data, rest = read_octet_string(rest)
    if rest:
        raise ValueError("extra bytes follow the data")
    return IlpPrepare(
        amount=int.from_bytes(contents[:_AMOUNT_OCTETS], "big"),
        expires_at=_moment(contents[_AMOUNT_OCTETS : _AMOUNT_OCTETS + _TIME_OCTETS].decode("ascii")),
        condition=contents[_AMOUNT_OCTETS + _TIME_OCTETS : _FIXED_OCTETS],
        destination=destination.decode("ascii"),
        data=data,
    )


def is_prepare(text: str) -> bool:
    """Returns whether the text contains a prepare packet. The first byte of a packet shows its type."""
    return packet_octets(text)[:1] == bytes([_PREPARE_TYPE])


def with_condition(prepare: IlpPrepare, secret: bytes) -> str:
    """Writes a prepare packet as text. The packet contains the condition that matches the fulfilment of this packet."""
    fulfilment = _fulfilment_of(prepare, secret)
    return encode_prepare(replace(prepare, condition=base64url.decode(condition_for(fulfilment))))


def fulfilment_for(packet_text: str, secret: bytes) -> str:
    """Returns the fulfilment of a packet: the HMAC-SHA256 of all parts of the packet except the condition.

    Raises ValueError if the text is not a prepare packet.
    """
    return _fulfilment_of(decode_prepare(packet_text), secret)


def _fulfilment_of(prepare: IlpPrepare, secret: bytes) -> str:
    unlocked = encode_prepare(replace(prepare, condition=bytes(HASH_OCTETS)))
    return base64url.encode(hmac.digest(secret, packet_octets(unlocked), "sha256"))


def _time_text(moment: datetime) -> str:
    m = moment.astimezone(UTC)
    return f"{m.year:04}{m.month:02}{m.day:02}{m.hour:02}{m.minute:02}{m.second:02}{m.microsecond // 1000:03}"


def _moment(text: str) -> datetime:
    found = _TIME.match(text)
    if found is None:
        raise ValueError("the time of expiry does not have 17 digits")
    year, month, day, hour, minute, second, milliseconds = (int(part) for part in found.groups())
    return datetime(year, month, day, hour, minute, second, milliseconds * 1000, tzinfo=UTC)
