"""The facts that the rules read about one payment, at one gate. A gate is the lookup, the quote or the transfer. Pure.

The gate that judges a payment also collects the facts. The hub stores the facts of a quote together with the quote, and
uses these facts again at the transfer. Facts contain no counters, because counters change between the time of the quote
and the time of the transfer. `rules.profiles` provides the counters.
"""

import hashlib
from datetime import datetime
from typing import Literal

import msgspec

Gate = Literal["lookup", "quote", "transfer"]
PartyKey = int
"""The keyed 63-bit hash of an identifier's type and value. The hub stores no identifier as plain text."""


class Facts(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True):
    """The facts of one payment at one gate.

    Stored facts are arrays. So a developer must add a new field at the end, with a default, and must never move or
    remove a field.
    """

    gate: Gate
    now: datetime
    """The time of the database's clock, with a time zone."""
    payer_dfsp: str
    payee_dfsp: str | None = None
    """The value is None only at the lookup, if the hub does not know the party's DFSP yet."""
    currency: str | None = None
    """The value is None only at a lookup without a currency."""
    amount: int = 0
    """The amount in ten-thousandths: the requested amount at the quote, or the reserved amount at the transfer."""

    has_details: bool = True
    """Whether the details of the payment are known: parties, use case, elements, extensions.

    The value is False only if a transfer has no details, and the transfer's quote did not pass through this hub. If
    False, the next fields count as missing, not as absent.
    """
    quoted: bool = True
    """Whether the quote passed through this hub. The value is True at the quote itself."""
    payer: PartyKey | None = None
    payee: PartyKey | None = None
    payee_alias: PartyKey | None = None
    """The key of the payee's identifier with its sub-identifier. The value is equal to `payee` if there is no
    sub-identifier."""
    payer_id_type: str | None = None
    payee_id_type: str | None = None
    scenario: str | None = None
    sub_scenario: str | None = None
    initiator: str | None = None
    initiator_type: str | None = None
    payer_type: str | None = None
    """CONSUMER, AGENT, BUSINESS or DEVICE, if the message contains the payer's type."""
    refund_of: str | None = None
    """In a refund, the id of the original transaction."""
    merchant_code: str | None = None
    kyc_tier: str | None = None
    expires_in_s: int | None = None
    """Seconds until the message's expiration. The value is None if the message has no expiration."""
    present: frozenset[str] = frozenset()
    """The paths of the elements that POST /quotes has, for example `payee.personalInfo.dateOfBirth`."""
    extensions: dict[str, str] = {}

    quoted_amount: int | None = None
    """The transfer amount in the terms of the quote. The value is None at the quote, and at a transfer without a
    quote."""
    quoted_currency: str | None = None

    payer_lists: frozenset[str] = frozenset()
    payee_lists: frozenset[str] = frozenset()
    payer_markers: frozenset[str] = frozenset()
    payee_markers: frozenset[str] = frozenset()

    bulk: bool = False
    fx: bool = False

    counters: dict[str, int | bool | str | None] = {}
    """The counters that the hub read for the decision about this payment (`rules.recorded_counters`). Only a stored
    decision has these counters."""

    payer_alias: PartyKey | None = None
    """The key of the payer's identifier and sub-identifier together. The value is None if there is no
    sub-identifier."""
    is_judged_again: bool = False
    """Whether the rules of the quote gate also judge this transfer, although the transfer's quote passed through this
    hub.

    The value is True if another version of the rules judged the quote, or if the quote had another amount. The value is
    also True for a conversion without an FX quote.
    """
    original: str | None = None
    """In a refund, the transfer id of the original, if the original is committed. `refund_of` can be another id of the
    same original."""
    original_transaction: str | None = None
    """The transaction id of the original, if this id differs from the transfer id."""


def to_bytes(facts: Facts) -> bytes:
    """Encodes the facts. Equal facts always have the same bytes."""
    return _ENCODER.encode(facts)


def from_bytes(stored: bytes) -> Facts:
    """Decodes stored facts. Raises msgspec.ValidationError if the bytes do not contain valid facts."""
    return _DECODER.decode(stored)


def digest(facts: Facts) -> bytes:
    """Returns the SHA-256 of the facts. The hub stores this digest with the decision."""
    return hashlib.sha256(to_bytes(facts)).digest()


_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_DECODER = msgspec.msgpack.Decoder(Facts)
