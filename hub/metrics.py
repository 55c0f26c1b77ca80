"""What is read from the database for each scrape: a count in a process would be one process's view of it."""

import os
from collections.abc import Callable

from django.db import DatabaseError, connection
from prometheus_client import CollectorRegistry, Gauge

# What other apps show besides; each reads the database and adds its gauges.
READERS: list[Callable[[CollectorRegistry], None]] = []

_OUTBOX = """
    SELECT count(*) FILTER (WHERE state = 'PENDING'), count(*) FILTER (WHERE state = 'DEAD'),
           coalesce(extract(epoch FROM clock_timestamp() - min(created_at) FILTER (WHERE state = 'PENDING')), 0)::float8
    FROM outbox_message
"""
# An agreed conversion past its time may wait for its transfer: that one is counted, if it is overdue.
_OVERDUE = """
    SELECT (SELECT count(*) FROM ledger_transfer WHERE state = 'RESERVED' AND expires_at < clock_timestamp())
         + (SELECT count(*) FROM ledger_fxtransfer WHERE state = 'RESERVED' AND held_until < clock_timestamp())
"""


def is_shared() -> bool:
    """Whether this deployment's processes count together."""
    return bool(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))


def read_gauges() -> CollectorRegistry:
    """The outbox and the reservations as they are now; without them where the database does not answer."""
    registry = CollectorRegistry()
    up = Gauge("kitovu_database_up", "1 where the database answered this scrape", registry=registry)
    try:
        with connection.cursor() as cursor:
            cursor.execute(_OUTBOX)
            pending, dead, age_s = cursor.fetchone()
            cursor.execute(_OVERDUE)
            (overdue,) = cursor.fetchone()
        for read in READERS:
            read(registry)
    except DatabaseError:
        return registry
    up.set(1)
    for name, text, value in (
        ("kitovu_outbox_pending", "Messages not delivered yet", pending),
        ("kitovu_outbox_dead", "Messages given up, to be looked at", dead),
        ("kitovu_outbox_oldest_seconds", "Age of the oldest message not delivered yet", age_s),
        ("kitovu_transfers_overdue", "Reservations past their expiration", overdue),
    ):
        Gauge(name, text, registry=registry).set(value)
    return registry
