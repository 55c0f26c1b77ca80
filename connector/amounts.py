"""Amounts for a core: the API's text and whole ten-thousandths, without a second way to read them."""

from fspiop.money import format_amount, parse_amount

__all__ = ["format_amount", "parse_amount"]
