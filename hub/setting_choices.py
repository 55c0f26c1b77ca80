"""Reads settings that allow only certain values. A misspelt value must cause an error. It must not disable a
protection, such as the check of credentials."""

from collections.abc import Collection, Mapping, Sequence

from django.core.exceptions import ImproperlyConfigured

from fspiop.money import CURRENCIES, parse_amount


def one(word: str, *, of: Collection[str]) -> str:
    """Returns the word. Raises ImproperlyConfigured if the word is not one of the allowed words."""
    if word not in of:
        raise ImproperlyConfigured(f"{word!r} is not one of {', '.join(sorted(of))}")
    return word


def one_or_more(words: Sequence[str], *, of: Collection[str]) -> frozenset[str]:
    """Returns the set of these words. For the single word "none", returns an empty set. Raises ImproperlyConfigured for
    an unknown word."""
    if list(words) == ["none"]:
        return frozenset()
    if not words:
        raise ImproperlyConfigured(f"give at least one of {', '.join(sorted(of))}, or none")
    return frozenset(one(word.strip(), of=of) for word in words)


def yes_or_no(word: str, *, unsaid: bool | None) -> bool | None:
    """Converts a word such as "true" or "off" into True or False. For an empty word, returns `unsaid`."""
    if not word:
        return unsaid
    if word.lower() not in _WORDS:
        raise ImproperlyConfigured(f"{word!r} is not one of {', '.join(_WORDS)}")
    return _WORDS[word.lower()]


_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}

RETENTION_KINDS = ("bodies", "quotes", "lookups", "deliveries", "sessions", "facts", "decisions", "hits", "signals")


def periods(days: Mapping[str, str], *, of: Collection[str]) -> dict[str, int]:
    """Returns the number of days for which the hub keeps each kind of data. 0 means that the hub keeps the data for
    ever."""
    for kind, text in days.items():
        if not (text.isascii() and text.isdecimal() and len(text) <= 5):
            raise ImproperlyConfigured(f"RETENTION_DAYS: {kind}={text} is not a number of days")
    return {one(kind, of=of): int(text) for kind, text in days.items()}


def amounts(said: Mapping[str, str]) -> dict[str, int]:
    """Reads the amount for each currency, and returns it in ten-thousandths. Raises ImproperlyConfigured for an unknown
    currency or an invalid amount."""
    for currency in said:
        if currency not in CURRENCIES:
            raise ImproperlyConfigured(f"{currency!r} is not an ISO 4217 code")
    try:
        return {currency: parse_amount(text) for currency, text in said.items()}
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from None
