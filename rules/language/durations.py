"""Durations in the form of ISO 8601, with weeks, days, hours, minutes and seconds. Pure."""

import re

DURATION = r"^P(?!\Z)(?:[0-9]{1,4}W|(?:[0-9]{1,4}D)?(?:T(?!\Z)(?:[0-9]{1,5}H)?(?:[0-9]{1,6}M)?(?:[0-9]{1,8}S)?)?)\Z"

_DURATION = re.compile(DURATION)
_PARTS = re.compile(r"([0-9]+)([WDHMS])")
_SECONDS = {"W": 604_800, "D": 86_400, "H": 3_600, "M": 60, "S": 1}


def parse_duration(text: str) -> int | None:
    """Returns the seconds of a duration such as PT24H or P1DT12H. Returns None if the text is not a duration.

    Refuses months and years, because their lengths vary.
    """
    if _DURATION.match(text) is None:
        return None
    return sum(int(number) * _SECONDS[unit] for number, unit in _PARTS.findall(text))


def format_duration(seconds: int) -> str:
    """Returns a number of seconds as the text of a duration, such as PT1H30M for 5400."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    date = f"{days}D" if days else ""
    time = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M"), (rest, "S")) if number)
    return f"P{date}{'T' if time else ''}{time}" if date or time else "PT0S"
