"""Times in the formats of the API and HTTP (FSPIOP API v1.1, sections 7.2.14 and 7.2.15; RFC 9110, section 5.6.7)."""

import re
from datetime import UTC, datetime

_LEAP_YEAR = r"(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)"
_DAY = (
    r"(?:[1-9][0-9]{3}-(?:"
    r"(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31"
    rf")|{_LEAP_YEAR}-02-29)"
)
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{3}"
# Refuses times that are in the year 10000 in UTC. Neither Python's `datetime` nor a timestamp column can represent the
# year 10000.
_TOO_LATE = rf"(?!9999-12-31T{_CLOCK}-)"

DATE = rf"^{_DAY}\Z"
DATE_TIME = rf"^{_TOO_LATE}{_DAY}T{_CLOCK}(?:Z|[+-][01][0-9]:[0-5][0-9])\Z"

_DATE_TIME = re.compile(DATE_TIME)

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name: number for number, name in enumerate(_MONTHS, 1)}
_HTTP_DATE = re.compile(
    rf"(?:{'|'.join(_WEEKDAYS)}), ([0-9]{{2}}) ({'|'.join(_MONTHS)}) ([0-9]{{4}})"
    r" ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT\Z"
)


def parse_datetime(text: str) -> datetime:
    """Reads an API DateTime as a time in UTC. Raises ValueError if the text does not have exactly three decimals and a
    time zone."""
    if _DATE_TIME.match(text) is None:
        raise ValueError("a DateTime must look like 2026-01-31T08:00:00.000Z")
    return datetime.fromisoformat(text).astimezone(UTC)


def format_datetime(moment: datetime) -> str:
    """Writes a time as the API's DateTime in UTC. Leaves out the digits after the milliseconds."""
    return f"{_utc(moment).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def http_date(moment: datetime) -> str:
    """Writes a time as the IMF-fixdate of a Date header, always in English."""
    m = _utc(moment)
    weekday, month = _WEEKDAYS[m.weekday()], _MONTHS[m.month - 1]
    return f"{weekday}, {m.day:02} {month} {m.year:04} {m.hour:02}:{m.minute:02}:{m.second:02} GMT"


def parse_http_date(text: str) -> datetime:
    """Reads an IMF-fixdate. The text must contain the name of a weekday, but the function does not check that the
    weekday fits the date."""
    found = _HTTP_DATE.match(text)
    if found is None:
        raise ValueError("a date must look like Tue, 24 Nov 2026 08:00:00 GMT")
    day, month, year, hour, minute, second = found.groups()
    return datetime(int(year), _MONTH_NUMBERS[month], int(day), int(hour), int(minute), int(second), tzinfo=UTC)


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time must have a zone")
    return moment.astimezone(UTC)
