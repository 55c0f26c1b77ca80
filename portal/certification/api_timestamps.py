"""Times in the form that the API uses."""

from datetime import UTC, datetime, timedelta

from fspiop import time


def moment(seconds_from_now: float) -> str:
    return time.format_datetime(datetime.now(UTC) + timedelta(seconds=seconds_from_now))
