"""The terms of each payment in the answer to a bulk quote. The hub stores the terms in this form for the rules.
Pure."""

import msgspec

from fspiop.bodies.common import Money
from fspiop.money import AmountError, parse_amount


class TermsOfPayment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The terms of one payment of a bulk quote. The hub stores terms as arrays, so a new field must come after the
    existing fields."""

    terms: bytes
    """The digest of the condition and the packet (`quotes.terms_digest`)."""
    quote_id: str
    amount: int | None = None
    currency: str | None = None


def amount_of(money: Money | None) -> int | None:
    """Returns the payee's amount in ten-thousandths, or None if the amount is missing or too large for the hub."""
    try:
        return None if money is None else parse_amount(money.amount)
    except AmountError:
        return None


def to_bytes(terms: list[TermsOfPayment]) -> bytes:
    return _ENCODER.encode(terms)


def from_bytes(stored: bytes) -> list[TermsOfPayment]:
    return _DECODER.decode(stored)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[TermsOfPayment])
