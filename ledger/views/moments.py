"""When a payee says that it completed: believed within limits, as the reference hub does."""

from datetime import UTC, datetime, timedelta

from django.conf import settings

from fspiop import time
from fspiop.errors import ErrorCode, FspiopError


def completed_at(text: str | None) -> datetime | None:
    """The moment of a completedTimestamp; FspiopError 3100 where it lies in the future or too far in the past."""
    if text is None:
        return None
    moment, now = time.parse_datetime(text), datetime.now(UTC)
    if moment > now + timedelta(milliseconds=settings.COMPLETED_AHEAD_MS):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "completedTimestamp: lies in the future")
    if moment < now - timedelta(seconds=settings.COMPLETED_AGE_S):
        raise FspiopError(
            ErrorCode.VALIDATION_ERROR, f"completedTimestamp: is more than {settings.COMPLETED_AGE_S} s old"
        )
    return moment
