"""Converts a core's amounts from decimal text to whole ten-thousandths, and back.

All parts of the connector use this module to read amounts from a core.
"""

import re

from fspiop import money
from fspiop.money import AmountError, format_amount

__all__ = ["AmountError", "format_amount", "parse_amount"]

_WITH_ZEROS = re.compile(r"([0-9]+)[.]([0-9]*?)0*\Z")


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
    return money.parse_amount(text)
