"""The amounts in a message of any kind, each with its currency."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from fspiop import money


def finer_than_a_minor_unit(message: Any) -> str | None:
    """What is wrong with the first amount that has more decimals than its currency; None where all are right."""
    for where, text, currency in _amounts_in(message, ""):
        fault = money.decimals_fault(text, currency)
        if fault is not None:
            return f"{where}amount: {fault}"
    return None


def _amounts_in(message: Any, where: str) -> Iterator[tuple[str, str, str]]:
    """(path of the object, amount, currency) wherever a message has the two side by side."""
    if isinstance(message, list):
        for number, part in enumerate(message):
            if isinstance(part, Struct):
                yield from _amounts_in(part, f"{where[:-1]}[{number}].")
    elif isinstance(message, Struct):
        amount, currency = getattr(message, "amount", None), getattr(message, "currency", None)
        if isinstance(amount, str) and isinstance(currency, str):
            yield where, amount, currency
            return
        for name, sent_as in zip(message.__struct_fields__, message.__struct_encode_fields__, strict=True):
            part = getattr(message, name)
            if isinstance(part, (Struct, list)):
                yield from _amounts_in(part, f"{where}{sent_as}.")
