"""Converts amounts between three forms: the decimal text in messages, the Decimals of the Python API, and the whole
ten-thousandths with which the connector computes.

All parts of the connector use this module to read amounts from a core.
"""

import re
from decimal import Decimal

from fspiop import money
from fspiop.money import format_amount
from kitovu_connector.errors import NothingBegun

__all__ = ["AmountError", "decimal_of", "format_amount", "format_decimal", "parse_amount", "ten_thousandths_of"]

_WITH_ZEROS = re.compile(r"([0-9]+)[.]([0-9]*?)0*\Z")
_MOST_DIGITS = 40  # on each side of the point; far more than an amount can have


class AmountError(NothingBegun, money.AmountError):
    """The error for an amount that the API does not allow, or that is neither a Decimal nor a decimal text."""


def parse_amount(text: object) -> int:
    """Returns an amount as ten-thousandths.

    A core can write an amount with zeros at the end, such as "10.00". An amount in the API's messages must not end in
    zeros.
    """
    if isinstance(text, str) and (found := _WITH_ZEROS.match(text)):
        whole, decimals = found.groups()
        if text.endswith("."):
            raise AmountError("an amount must not end with a point")
        text = f"{whole}.{decimals}" if decimals else whole
    try:
        return money.parse_amount(text)
    except money.AmountError as error:
        raise AmountError(str(error)) from None


def ten_thousandths_of(value: object) -> int:
    """Returns an amount of the Python API as ten-thousandths. `value` must be a Decimal, or a text such as "12.50".

    Refuses a float, because a float cannot hold most decimal fractions exactly. Refuses an int, because a program could
    mean ten-thousandths or cents with it.
    """
    if isinstance(value, str):
        return parse_amount(value)
    if not isinstance(value, Decimal):
        kind = type(value).__name__
        raise AmountError(f'an amount must be a Decimal, such as Decimal("12.50"), or a text, not {kind}')
    if not value.is_finite() or abs(value.adjusted()) > _MOST_DIGITS:
        raise AmountError(f"an amount must have at most 14 digits before the point and 4 after it, not {value}")
    if value < 0:
        raise AmountError("an amount must not be below 0")
    return parse_amount(f"{value.copy_abs():f}")


def decimal_of(amount: int) -> Decimal:
    """Returns ten-thousandths as a Decimal without zeros at the end: 125000 becomes Decimal("12.5")."""
    return Decimal(format_amount(amount))


def format_decimal(amount: Decimal) -> str:
    """Returns an amount of the Python API as the text in messages: Decimal("12.50") becomes "12.5"."""
    return format_amount(ten_thousandths_of(amount))
