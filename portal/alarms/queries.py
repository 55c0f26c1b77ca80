"""Reads alarms, for the portal and for Prometheus."""

from collections.abc import Iterable

from django.db.models import QuerySet
from django.urls import reverse
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from hub.sql_execution import execute
from portal.alarms.kinds import KINDS
from portal.models import Alarm

_COUNTS = """
    SELECT kind, count(*), count(*) FILTER (WHERE acknowledged_at IS NULL)
    FROM portal_alarm WHERE ended_at IS NULL GROUP BY kind
"""


def found(*, is_open: bool, kind: str = "", assigned_to: int | None = None) -> "QuerySet[Alarm]":
    """Returns either the open alarms or the ended alarms."""
    rows = Alarm.objects.filter(ended_at__isnull=is_open).select_related("assigned_to")
    if kind:
        rows = rows.filter(kind=kind)
    return rows if assigned_to is None else rows.filter(assigned_to=assigned_to)


def new() -> "QuerySet[Alarm]":
    """Returns the open alarms that no user has acknowledged."""
    return Alarm.objects.filter(ended_at__isnull=True, acknowledged_at__isnull=True)


def sentence_of(alarm: Alarm) -> str:
    """Returns the alarm's text in the active language."""
    try:
        return KINDS[alarm.kind].sentence(alarm.details)
    except KeyError:  # another version of the hub has stored this alarm
        return f"{alarm.kind} {alarm.subject}"


def page_of(alarm: Alarm) -> str:
    """Returns the path of the page about the alarm's subject."""
    try:
        return KINDS[alarm.kind].page(alarm.details)
    except KeyError:
        return reverse("alarms")


def runbook_of(alarm: Alarm) -> str:
    """Returns the path of the page that explains what to do."""
    return reverse("runbook", args=[alarm.kind])


def show() -> Iterable[Metric]:
    """Returns the numbers of open alarms as metrics for Prometheus. Each kind of alarm has a metric, even a kind
    without alarms."""
    counts = {kind: (count, new) for kind, count, new in execute(_COUNTS, [])}
    metrics = []
    for place, (name, text) in enumerate(
        (
            ("kitovu_alarms_open", "Open alarms"),
            ("kitovu_alarms_not_acknowledged", "Open alarms that nobody has acknowledged"),
        )
    ):
        metric = GaugeMetricFamily(name, text, labels=["kind"])
        for kind in KINDS:
            metric.add_metric([kind], counts.get(kind, (0, 0))[place])
        metrics.append(metric)
    return metrics
