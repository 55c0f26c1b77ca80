"""Checks that amounts are whole minor units of their currency (MINOR_UNITS_ONLY): no bank settles a fraction of a cent.

Currencies without a minor unit in ISO 4217 (XXX, XTS, XDR) have the four decimals of the API.
"""

from typing import Any

from django.conf import settings

from fspiop import money
from fspiop.bodies import amounts
from fspiop.errors import ErrorCode, FspiopError


def check_message(message: Any) -> None:
    """FspiopError 3100 names a message's first amount with more decimals than its currency has."""
    if settings.MINOR_UNITS_ONLY:
        fault = amounts.finer_than_a_minor_unit(message)
        if fault is not None:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, fault)


def check(amount: int, currency: str) -> None:
    """The check for one amount in ten-thousandths."""
    fault = fault_of(amount, currency)
    if fault is not None:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"amount: {fault}")


def fault_of(amount: int, currency: str) -> str | None:
    return money.decimals_fault(money.format_amount(amount), currency) if settings.MINOR_UNITS_ONLY else None
