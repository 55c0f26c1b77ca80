"""Whose messages wait at whom beyond the bound that one participant has: its next requests are refused.

Each process reads it anew once a second, while requests come. What is refused is counted by messages in the table, so
the bound is exceeded by what comes within that second, and no more.
"""

import threading
import time

import structlog
from django.conf import settings
from django.db import Error as DatabaseError

from hub.outbox import store

log = structlog.get_logger("outbox")

_REFRESH_S = 1.0

_reading = threading.Lock()
_crowded: frozenset[tuple[str, str]] = frozenset()
_read_at = float("-inf")


def is_crowded(source: str, destination: str) -> bool:
    """Whether as many messages as may wait do wait at this participant, caused by that one's requests. By names."""
    global _crowded, _read_at
    if time.monotonic() - _read_at > _REFRESH_S and _reading.acquire(blocking=False):
        try:
            _crowded = store.crowded(settings.OUTBOX_PENDING_PER_SOURCE)
        except DatabaseError as error:
            log.warning("backlog_not_read", error=str(error)[:200])  # the request itself will find out
        finally:
            _read_at = time.monotonic()
            _reading.release()
    return (source, destination) in _crowded


def forget() -> None:
    """Has it read anew at the next question; for tests."""
    global _crowded, _read_at
    _crowded, _read_at = frozenset(), float("-inf")
