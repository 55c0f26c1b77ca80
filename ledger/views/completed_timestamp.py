"""Checks that a payee's completedTimestamp is near the hub's time. The reference hub has the same limits on a
completedTimestamp."""

from datetime import UTC, datetime, timedelta

from django.conf import settings

from fspiop import time
from fspiop.errors import ErrorCode, FspiopError


def moment_fault(text: str | None) -> str | None:
    """If a completedTimestamp is in the future or too old, returns this fault.

    Returns None if the timestamp has no fault. The function returns the fault and does not raise it, because a repeated
    answer can arrive long after its timestamp. Only the ledger can recognise a repeated answer.
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
