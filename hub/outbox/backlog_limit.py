"""Finds participants that have caused too many waiting messages for one destination. The hub refuses further requests
of such a participant.

While requests arrive, each process counts the waiting messages once a second. So a participant can exceed the limit
only by the number of messages that it causes in one second.
"""

import threading
import time

import structlog
from django.conf import settings
from django.db import Error as DatabaseError

from hub.outbox import claims
from hub.sql_execution import give_back

log = structlog.get_logger("outbox")

_REFRESH_S = 1.0

_reading = threading.Lock()
_crowded: frozenset[tuple[str, str]] = frozenset()
_read_at = float("-inf")


def is_crowded(source: str, destination: str) -> bool:
    """Returns whether `source` has caused too many messages, and these messages still wait for `destination`. Both
    arguments are names of participants."""
    return (source, destination) in crowded()


def crowded() -> frozenset[tuple[str, str]]:
    """Returns pairs of names (source, destination). In each pair, the source has caused too many messages that wait for
    the destination."""
    global _crowded, _read_at
    if time.monotonic() - _read_at > _REFRESH_S and _reading.acquire(blocking=False):
        try:
            _crowded = claims.crowded(settings.OUTBOX_PENDING_PER_SOURCE)
        except DatabaseError as error:
            # the database fails for the request itself too, and the request reports this failure
            log.warning("backlog_not_read", error=str(error)[:200])
        finally:
            _read_at = time.monotonic()
            _reading.release()
            give_back()  # while the request waits for its group, it needs no database connection
    return _crowded


def forget() -> None:
    """Clears the cached counts, for tests."""
    global _crowded, _read_at
    _crowded, _read_at = frozenset(), float("-inf")
