"""The languages of the pages: English, French, Swahili. The translations are gettext catalogues in `languages/`."""

import gettext
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path

from kitovu_connector import format_amount

LANGUAGES = {"en": "English", "fr": "Français", "sw": "Kiswahili"}
FOLDER = Path(__file__).parent / "languages"
_EAST_AFRICA = timezone(timedelta(hours=3))
_THOUSANDS = {"en": ",", "fr": "\u202f", "sw": ","}
_POINT = {"en": ".", "fr": ",", "sw": "."}


# An amount has only one kind of separator, and only between groups of three digits: "15,00" must not become 1,500.
_AMOUNT = (
    r"(?P<whole>[0-9]{1,3}(?:(?P<between>[%s])[0-9]{3}(?:(?P=between)[0-9]{3})*)?|[0-9]+)(?:%s(?P<decimals>[0-9]+))?\Z"
)
_ENGLISH_AMOUNT, _FRENCH_AMOUNT = re.compile(_AMOUNT % (" ,", "[.]")), re.compile(_AMOUNT % (" ", "[,.]"))
_AMOUNTS = {"en": _ENGLISH_AMOUNT, "fr": _FRENCH_AMOUNT, "sw": _ENGLISH_AMOUNT}
_SPACES = re.compile("[\u00a0\u2009\u202f]")


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """Returns the translations into a language. English has no translations."""
    if language == "en":
        return gettext.NullTranslations()
    with (FOLDER / f"{language}.mo").open("rb") as file:
        return gettext.GNUTranslations(file)


def chosen(wanted: str | None, accepted: str) -> str:
    """Returns the language in the cookie. If the cookie has no language, returns the first of the browser's languages
    that the site also has.
    """
    candidates: Iterable[str] = [
        wanted or "",
        *(part.split(";")[0].strip()[:2].lower() for part in accepted.split(",")),
    ]
    return next((language for language in candidates if language in LANGUAGES), "en")


def amount_entered(text: str, language: str) -> tuple[str, str] | None:
    """Splits an entered amount into the digits before the point and the digits after the point. Returns None if the
    text is not an amount."""
    found = _AMOUNTS[language].match(_SPACES.sub(" ", text.strip()))
    if found is None:
        return None
    return found["whole"].replace(" ", "").replace(",", ""), found["decimals"] or ""


def number_entered(text: str) -> str | None:
    """Returns an entered phone number in the scheme's spelling: with the country code, and without other characters.
    Returns None if the text is not a phone number.
    """
    number = "".join(character for character in text if character not in " +-()").removeprefix("00")
    if number.startswith("0") and len(number) == 10:
        number = "255" + number[1:]  # the user entered the number without its country code
    is_number = number.isascii() and number.isdecimal() and 9 <= len(number) <= 15 and not number.startswith("0")
    return number if is_number else None


def count_shown(count: int, language: str) -> str:
    """Returns a whole number with separators."""
    return f"{count:,}".replace(",", _THOUSANDS[language])


def amount_shown(amount: int, language: str) -> str:
    """Returns an amount with separators, and with two decimals if the amount is not whole."""
    whole, _, decimals = format_amount(abs(amount)).partition(".")
    groups = []
    while whole:
        groups.append(whole[-3:])
        whole = whole[:-3]
    shown = _THOUSANDS[language].join(reversed(groups))
    if decimals:
        shown += _POINT[language] + decimals.ljust(2, "0")
    return ("\N{MINUS SIGN}" if amount < 0 else "") + shown


def money_shown(amount: int, currency: str, language: str) -> str:
    """Returns an amount with its currency. No line break can separate the amount and the currency."""
    return f"{amount_shown(amount, language)}\N{NO-BREAK SPACE}{currency}"


def moment_shown(timestamp: float | None) -> str:
    """Returns a time in the time zone of East Africa."""
    if timestamp is None:
        return ""
    return datetime.fromtimestamp(timestamp, UTC).astimezone(_EAST_AFRICA).strftime("%d.%m.%Y %H:%M")


def when_shown(timestamp: float, now: float) -> str:
    """Returns the time of day if the time is today, and otherwise the date."""
    if timestamp >= start_of_day(now):
        return clock_shown(timestamp)
    return datetime.fromtimestamp(timestamp, UTC).astimezone(_EAST_AFRICA).strftime("%d.%m.%Y")


def clock_shown(timestamp: float) -> str:
    """Returns the time of the day in East Africa."""
    return datetime.fromtimestamp(timestamp, UTC).astimezone(_EAST_AFRICA).strftime("%H:%M")


def month_shown(timestamp: float) -> str:
    """Returns the year and the month in East Africa."""
    return datetime.fromtimestamp(timestamp, UTC).astimezone(_EAST_AFRICA).strftime("%Y-%m")


def start_of_day(timestamp: float) -> float:
    """Returns the time at which today began in East Africa."""
    moment = datetime.fromtimestamp(timestamp, UTC).astimezone(_EAST_AFRICA)
    return moment.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
