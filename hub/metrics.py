"""What is read from the database for each scrape: a count in a process would be one process's view of it."""

import os
from collections.abc import Callable, Iterable

import structlog
from django.db import DatabaseError, connection
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from hub.database import is_away

log = structlog.get_logger("metrics")

# What other apps show besides, read from the database.
READERS: list[Callable[[], Iterable[Metric]]] = []

# An agreed conversion past its time may wait for its transfer: that one is counted, if it is overdue.
_OVERDUE = """
    SELECT (SELECT count(*) FROM ledger_transfer WHERE state = 'RESERVED' AND expires_at < clock_timestamp())
         + (SELECT count(*) FROM ledger_fxtransfer WHERE state = 'RESERVED' AND held_until < clock_timestamp())
"""


def is_shared() -> bool:
    """Whether this deployment's processes count together."""
    return bool(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))


class Gauges:
    """The outbox and the reservations as they are now; without them where the database does not answer.

    No `Gauge`: where processes count together that one leaves its value in a file of this process, and other processes
    would show it long after it was true.
    """

    def collect(self) -> Iterable[Metric]:
        try:
            found = _read()
        except DatabaseError:
            found = []
        return [gauge("kitovu_database_up", "1 where the database answered this scrape", 1 if found else 0), *found]


def gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _read() -> list[Metric]:
    with connection.cursor() as cursor:
        cursor.execute(_OVERDUE)
        (overdue,) = cursor.fetchone()
    return [
        gauge("kitovu_transfers_overdue", "Reservations past their expiration", overdue),
        *(metric for read in READERS for metric in _alone(read)),
    ]


def _alone(read: Callable[[], Iterable[Metric]]) -> Iterable[Metric]:
    """What one app shows; where that cannot be read, the others are shown all the same."""
    try:
        return list(read())
    except DatabaseError as error:
        if is_away(error):
            raise
        log.warning("metric_not_read", reader=f"{read.__module__}.{read.__qualname__}", error=str(error)[:200])
        return []
