"""Hours, weekdays and dates in the scheme's time zone. Pure."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
MINUTES_OF_A_DAY = 24 * 60


def minute_of(now: datetime, time_zone: str) -> int:
    """Returns the minute of the local day: 90 at half past one."""
    local = now.astimezone(ZoneInfo(time_zone))
    return local.hour * 60 + local.minute


def weekday_of(now: datetime, time_zone: str) -> str:
    """Returns the local weekday: MON to SUN."""
    return WEEKDAYS[now.astimezone(ZoneInfo(time_zone)).weekday()]


def date_of(now: datetime, time_zone: str) -> str:
    """Returns the local date, such as 2026-12-25."""
    return now.astimezone(ZoneInfo(time_zone)).date().isoformat()


def seconds_until(minute: int, now: datetime, time_zone: str) -> int:
    """Returns the whole seconds until the local clock next shows this minute of the day. Returns a full day if the
    clock shows this minute now.

    If a clock change skips this minute, returns the seconds until a clock without the change would show the minute.
    """
    zone = ZoneInfo(time_zone)
    local = now.astimezone(zone)
    moment = local.replace(hour=minute // 60, minute=minute % 60, second=0, microsecond=0)
    if moment <= local:
        # If two times have the same time zone, Python compares only the local clock values.
        moment = moment.replace(fold=0) + timedelta(days=1)
    return -int((now - moment.astimezone(now.tzinfo)) // timedelta(seconds=1))
