"""The languages of the pages: English, French, Swahili. The translations are gettext catalogues in `languages/`."""

import gettext
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


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """Returns the translations into a language. English has no translations."""
    if language == "en":
        return gettext.NullTranslations()
    with (FOLDER / f"{language}.mo").open("rb") as file:
        return gettext.GNUTranslations(file)


def chosen(wanted: str | None, accepted: str) -> str:
    """Returns the cookie's language, or otherwise the first of these languages that the browser accepts."""
    candidates: Iterable[str] = [
        wanted or "",
        *(part.split(";")[0].strip()[:2].lower() for part in accepted.split(",")),
    ]
    return next((language for language in candidates if language in LANGUAGES), "en")


def amount_shown(amount: int, language: str) -> str:
    """Returns an amount with separators, and with two decimals if it is not whole."""
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
    """Returns a time in East Africa."""
    if timestamp is None:
        return ""
    return datetime.fromtimestamp(timestamp, UTC).astimezone(_EAST_AFRICA).strftime("%d.%m.%Y %H:%M")


def when_shown(timestamp: float, now: float) -> str:
    """Returns the time of day if the moment is today, and otherwise the date."""
    if timestamp >= start_of_day(now):
        return clock_shown(timestamp)
    return datetime.fromtimestamp(timestamp, UTC).astimezone(_EAST_AFRICA).strftime("%d.%m.%Y")


def clock_shown(timestamp: float) -> str:
    """Returns the time of the day in East Africa."""
    return datetime.fromtimestamp(timestamp, UTC).astimezone(_EAST_AFRICA).strftime("%H:%M")


def start_of_day(timestamp: float) -> float:
    """Returns the time at which this day began in East Africa."""
    moment = datetime.fromtimestamp(timestamp, UTC).astimezone(_EAST_AFRICA)
    return moment.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
