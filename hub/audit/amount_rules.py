"""Decides how many people must approve a change. This number depends on the change's amount. The setting
`THREE_PEOPLE_FROM` contains one amount for each currency."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings

from fspiop.money import CURRENCIES

_AMOUNTS = ("amount", "ndc")  # payload elements with these names are amounts in ten-thousandths


def checkers_for(payload: Mapping[str, Any]) -> int:
    """Returns how many people, besides the requester, must approve a change."""
    least: Mapping[str, int] = settings.THREE_PEOPLE_FROM
    if any(currency in least and amount >= least[currency] for currency, amount in amounts_in(payload)):
        return 2
    return 1


def amounts_in(payload: Any) -> Iterator[tuple[str, int]]:
    """Yields each amount in a payload as a pair: the currency, and the amount in ten-thousandths."""
    if isinstance(payload, Mapping):
        currency = payload.get("currency")
        for name in _AMOUNTS:
            amount = payload.get(name)
            if isinstance(currency, str) and isinstance(amount, int) and not isinstance(amount, bool):
                yield currency, amount
        for part in payload.values():
            yield from amounts_in(part)
    elif isinstance(payload, list) and [type(part) for part in payload] == [str, int] and payload[0] in CURRENCIES:
        yield payload[0], payload[1]  # a pair of currency and amount, as in the payload for a settlement's amounts
    elif isinstance(payload, list):
        for part in payload:
            yield from amounts_in(part)
