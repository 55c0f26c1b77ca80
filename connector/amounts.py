"""Amounts for a core: the API's text and whole ten-thousandths. The whole connector reads amounts with these."""

from fspiop.money import format_amount, parse_amount

__all__ = ["format_amount", "parse_amount"]
