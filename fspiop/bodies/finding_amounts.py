"""Finds the amounts in a message of any type, and the currency of each amount."""

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args, get_type_hints

from msgspec import Struct

from fspiop import money


def finer_than_a_minor_unit(message: Struct) -> str | None:
    """Returns an error text for the first amount that has more decimals than its currency allows. Returns None if all
    amounts fit their currencies."""
    for where, text, currency in _amounts_in(message, ""):
        fault = money.decimals_fault(text, currency)
        if fault is not None:
            return f"{where}amount: {fault}"
    return None


def _amounts_in(message: Any, where: str) -> Iterator[tuple[str, str, str]]:
    """Finds each object in the message that has an amount and a currency, and yields (path, amount, currency)."""
    kind: Any = type(message)
    if _is_money(kind):
        if message.amount is not None:
            yield where, message.amount, message.currency
        return
    for name, sent_as in _ways_to_money(kind):
        part = getattr(message, name)
        if isinstance(part, list):
            for number, each in enumerate(part):
                yield from _amounts_in(each, f"{where}{sent_as}[{number}].")
        elif part is not None:
            yield from _amounts_in(part, f"{where}{sent_as}.")


@cache
def _is_money(kind: type[Struct]) -> bool:
    return {"amount", "currency"} <= {
        name for name, hint in get_type_hints(kind).items() if hint in (str, str | None) or name == "currency"
    }


@cache
def _ways_to_money(kind: type[Struct]) -> tuple[tuple[str, str], ...]:
    """Returns the fields of a message type that are amounts or objects with amounts, each as (name, name in JSON).

    The function caches its result for each message type. So the function searches the fields of a message type only
    once.
    """
    hints = get_type_hints(kind)
    names = zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
    return tuple(
        (name, sent_as)
        for name, sent_as in names
        if any(_is_money(inner) or _ways_to_money(inner) for inner in _structs_in(hints[name]))
    )


def _structs_in(hint: Any) -> Iterator[type[Struct]]:
    if isinstance(hint, type) and issubclass(hint, Struct):
        yield hint
    for inner in get_args(hint):
        yield from _structs_in(inner)
