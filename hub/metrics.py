"""The view of /metrics.

At each request, the hub reads the gauges from the database, because no single process knows their whole values.
"""

import os
import secrets
from collections.abc import Callable, Iterable

import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest, multiprocess
from prometheus_client.core import REGISTRY, GaugeMetricFamily

from hub.sql_execution import is_away, is_of_some_rows

log = structlog.get_logger("metrics")

# Functions with which other apps read their metrics from the database.
READERS: list[Callable[[], Iterable[Metric]]] = []

# Until `held_until`, a conversion perhaps waits for its transfer, so it is overdue only after this time.
_OVERDUE = """
    SELECT (SELECT count(*) FROM ledger_transfer WHERE state = 'RESERVED' AND expires_at < clock_timestamp())
         + (SELECT count(*) FROM ledger_fxtransfer WHERE state = 'RESERVED' AND held_until < clock_timestamp())
"""


def is_shared() -> bool:
    """Returns whether all processes of this deployment share their metric counters."""
    return bool(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))


class Gauges:
    """The metrics that the hub reads from the database, such as the number of waiting messages. If the database does
    not respond, /metrics contains none of these metrics, and `kitovu_database_up` is 0. This class does not use `Gauge`
    of the Prometheus library. If processes share their metrics, a `Gauge` stores its value in a file. Other processes
    would then report this value long after the true value has changed.
    """

    def collect(self) -> Iterable[Metric]:
        try:
            found = _read()
        except DatabaseError:
            found = []
        return [
            gauge("kitovu_database_up", ("1 if the database responded to this request for metrics"), 1 if found else 0),
            *found,
        ]


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
    """Returns the metrics of one app. If they cannot be read, returns an empty list, so that the metrics of the other
    apps are still reported."""
    try:
        return list(read())
    except DatabaseError as error:
        if is_away(error) and not is_of_some_rows(error):
            raise
        log.warning("metric_not_read", reader=f"{read.__module__}.{read.__qualname__}", error=str(error)[:200])
        return []


def show_metrics(request: HttpRequest) -> HttpResponse:
    """Returns the metrics in Prometheus' text format. If PROMETHEUS_MULTIPROC_DIR is set, the text includes the metrics
    of all processes."""
    if settings.PRODUCTION and not settings.METRICS_TOKEN:
        return HttpResponse(status=404)
    if settings.METRICS_TOKEN and not _has_token(request):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    registry = REGISTRY
    if is_shared():
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    gauges = CollectorRegistry()
    gauges.register(Gauges())
    return HttpResponse(generate_latest(registry) + generate_latest(gauges), content_type=CONTENT_TYPE_LATEST)


def _has_token(request: HttpRequest) -> bool:
    said = request.META.get("HTTP_AUTHORIZATION", "")
    return secrets.compare_digest(said.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
