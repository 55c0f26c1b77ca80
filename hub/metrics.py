"""Metrics that each scrape reads from the database, because a count in one process would be only its own view."""

import os
from collections.abc import Callable, Iterable

import structlog
from django.db import DatabaseError, connection
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from hub.database import is_away

log = structlog.get_logger("metrics")

# Readers of other apps' metrics from the database.
READERS: list[Callable[[], Iterable[Metric]]] = []

# An agreed conversion past its time may wait for its transfer; then the transfer is counted if it is overdue.
_OVERDUE = """
    SELECT (SELECT count(*) FROM ledger_transfer WHERE state = 'RESERVED' AND expires_at < clock_timestamp())
         + (SELECT count(*) FROM ledger_fxtransfer WHERE state = 'RESERVED' AND held_until < clock_timestamp())
"""


def is_shared() -> bool:
    """Whether this deployment's processes share their counters."""
    return bool(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))


class Gauges:
    """The present state of the outbox and the reservations; omitted if the database does not respond.

    This is not a `Gauge`: with shared counters, a `Gauge` stores its value in a file of this process, and other
    processes would report it long after it has changed.
    """

    def collect(self) -> Iterable[Metric]:
        try:
            found = _read()
        except DatabaseError:
            found = []
        return [gauge("kitovu_database_up", "1 if the database answered this scrape", 1 if found else 0), *found]


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
    """The metrics of one app; if they cannot be read, those of other apps are still reported."""
    try:
        return list(read())
    except DatabaseError as error:
        if is_away(error):
            raise
        log.warning("metric_not_read", reader=f"{read.__module__}.{read.__qualname__}", error=str(error)[:200])
        return []
