"""What is read from the database for each scrape: a count in a process would be one process's view of it."""

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from django.db import DatabaseError, connection
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from hub.notifications import queries as notifications
from hub.outbox import queries as outbox

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
        queues = outbox.queues()
        cursor.execute(_OVERDUE)
        (overdue,) = cursor.fetchone()
    oldest = min((queue.oldest for queue in queues if queue.oldest is not None), default=None)
    age_s = (datetime.now(UTC) - oldest).total_seconds() if oldest is not None else 0.0
    return [
        gauge("kitovu_outbox_pending", "Messages not delivered yet", sum(queue.pending for queue in queues)),
        gauge("kitovu_outbox_dead", "Messages given up, to be looked at", sum(queue.dead for queue in queues)),
        gauge("kitovu_outbox_oldest_seconds", "Age of the oldest message not delivered yet", age_s),
        gauge("kitovu_outbox_crowded", "Pairs of DFSPs of which one is refused for what waits", len(outbox.crowds())),
        gauge("kitovu_transfers_overdue", "Reservations past their expiration", overdue),
        *notifications.show(),
        *(metric for read in READERS for metric in read()),
    ]
