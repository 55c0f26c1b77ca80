"""The facts of one payment at one gate, as the rules see them. Pure.

The gate that judges a payment fills them in. The facts of a quote are stored beside the quote and used again when the
transfer comes. Only rules/profiles knows counters, because they change between the two.
"""

import hashlib
from datetime import datetime
from typing import Literal

import msgspec

Gate = Literal["lookup", "quote", "transfer"]
PartyKey = int
"""The keyed 63-bit hash of an identifier's type and value. No identifier is stored in clear."""


class Facts(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True):
    """One payment at one gate.

    Stored facts are arrays. So fields are only ever added at the end, each with a default, and never moved or removed.
    """

    gate: Gate
    now: datetime
    """The database's clock, with a zone."""
    payer_dfsp: str
    payee_dfsp: str | None = None
    """None only at the lookup, as long as the hub does not know the party's DFSP."""
    currency: str | None = None
    """None only at a lookup that names no currency."""
    amount: int = 0
    """Ten-thousandths. At the quote the requested amount, at the transfer the amount that is reserved."""

    has_details: bool = True
    """Are the details of the payment known: parties, use case, elements, extensions?

    False only at the transfer, if this hub never saw the quote and the transfer does not carry the details. Then the
    fields that follow count as missing, not as absent.
    """
    quoted: bool = True
    """Did this hub see the quote? True at the quote itself."""
    payer: PartyKey | None = None
    payee: PartyKey | None = None
    payee_alias: PartyKey | None = None
    """The key of the payee's identifier with its sub-identifier. The same as `payee` if there is no sub-identifier."""
    payer_id_type: str | None = None
    payee_id_type: str | None = None
    scenario: str | None = None
    sub_scenario: str | None = None
    initiator: str | None = None
    initiator_type: str | None = None
    payer_type: str | None = None
    """CONSUMER, AGENT, BUSINESS or DEVICE, if the message says what the payer is."""
    refund_of: str | None = None
    """The original transaction's id in a refund."""
    merchant_code: str | None = None
    kyc_tier: str | None = None
    expires_in_s: int | None = None
    """Seconds until the message's expiration. None if it has none."""
    present: frozenset[str] = frozenset()
    """The paths of the elements that POST /quotes has, for example `payee.personalInfo.dateOfBirth`."""
    extensions: dict[str, str] = {}

    quoted_amount: int | None = None
    """The transfer amount in the terms of the quote. None at the quote and for a transfer without a quote."""
    quoted_currency: str | None = None

    payer_lists: frozenset[str] = frozenset()
    payee_lists: frozenset[str] = frozenset()
    payer_markers: frozenset[str] = frozenset()
    payee_markers: frozenset[str] = frozenset()

    bulk: bool = False
    fx: bool = False


def to_bytes(facts: Facts) -> bytes:
    """Writes the facts, always the same bytes for equal facts."""
    return _ENCODER.encode(facts)


def from_bytes(stored: bytes) -> Facts:
    """Reads stored facts. Raises msgspec.ValidationError if they are not facts."""
    return _DECODER.decode(stored)


def digest(facts: Facts) -> bytes:
    """Returns the SHA-256 of the facts, which a decision stores."""
    return hashlib.sha256(to_bytes(facts)).digest()


_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_DECODER = msgspec.msgpack.Decoder(Facts)
