"""The currencies of the API, with their names. The currencies in which the scheme has accounts come first."""

from typing import cast

from babel.numbers import get_currency_name
from django.core.cache import caches
from django.utils.translation import get_language

from fspiop import money
from ledger.models import Account

_KEY, _FRESH_S = "portal:scheme-currencies", 60


def _of_the_scheme() -> list[str]:
    """Returns the currencies of the accounts. Each process reads these currencies once a minute."""
    return cast("list[str]", caches["process"].get_or_set(_KEY, _read, _FRESH_S))


def _read() -> list[str]:
    return sorted(Account.objects.order_by().values_list("currency", flat=True).distinct())


def choices() -> list[tuple[str, str]]:
    """Returns the codes and names for a field of a form, in the visitor's language."""
    first = _of_the_scheme()
    return [(code, name_of(code)) for code in [*first, *sorted(set(money.CURRENCIES) - set(first))]]


def name_of(code: str) -> str:
    """Returns a currency's code and name, such as "TZS – Tanzanian Shilling"."""
    name = get_currency_name(code, locale=get_language() or "en")
    return code if name == code else f"{code} – {name}"
