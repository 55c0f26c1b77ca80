"""Checks that amounts are whole minor units of their currency (MINOR_UNITS_ONLY), because no bank settles a fraction of
a cent.

ISO 4217 has no minor unit for XXX, XTS and XDR. Amounts in these currencies can have four decimals.
"""

from typing import Any

from django.conf import settings

from fspiop import money
from fspiop.bodies import finding_amounts
from fspiop.errors import ErrorCode, FspiopError


def check_message(message: Any) -> None:
    """Raises FspiopError 3100 if an amount in the message has more decimals than its currency."""
    if settings.MINOR_UNITS_ONLY:
        fault = finding_amounts.finer_than_a_minor_unit(message)
        if fault is not None:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, fault)


def check(amount: int, currency: str) -> None:
    """Raises FspiopError 3100 if this amount, in ten-thousandths, has more decimals than its currency."""
    fault = fault_of(amount, currency)
    if fault is not None:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"amount: {fault}")


def fault_of(amount: int, currency: str) -> str | None:
    return money.decimals_fault(money.format_amount(amount), currency) if settings.MINOR_UNITS_ONLY else None
