"""When a payee says that it completed: believed within limits, as the reference hub does."""

from datetime import UTC, datetime, timedelta

from django.conf import settings

from fspiop import time
from fspiop.errors import ErrorCode, FspiopError


def moment_fault(text: str | None) -> str | None:
    """What is wrong with a completedTimestamp: it lies in the future or too far in the past. None where nothing is.

    A value and not an error: the same answer may come again when its moment has long passed, and the ledger knows it.
    """
    if text is None:
        return None
    moment, now = time.parse_datetime(text), datetime.now(UTC)
    if moment > now + timedelta(milliseconds=settings.COMPLETED_AHEAD_MS):
        return "completedTimestamp: lies in the future"
    if moment < now - timedelta(seconds=settings.COMPLETED_AGE_S):
        return f"completedTimestamp: is more than {settings.COMPLETED_AGE_S} s old"
    return None


def implausible(fault: str | None) -> FspiopError:
    assert fault is not None
    return FspiopError(ErrorCode.VALIDATION_ERROR, fault)
