"""Queries that find the skipped rows. Batches, Prometheus and operators use the results."""

from collections.abc import Iterable

from django.db.models import CharField, Exists, OuterRef
from django.db.models.functions import Cast
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from hub.sql_execution import execute
from hub.sweeps.models import SkippedRow
from hub.sweeps.store import ALL as ALL

_COUNTS = "SELECT batch, count(*) FROM sweeps_skippedrow GROUP BY batch ORDER BY batch"


def is_skipped(batch: str) -> Exists:
    """Returns a condition for Django queries that selects the rows that this batch skips.
    `hub.sweeps.store.not_skipped` returns SQL for all other rows."""
    return Exists(SkippedRow.objects.filter(batch=batch, row=Cast(OuterRef("pk"), CharField())))


def counts() -> list[tuple[str, int]]:
    """Returns the number of skipped rows for each batch that skips rows."""
    return [(batch, count) for batch, count in execute(_COUNTS)]


def show() -> Iterable[Metric]:
    """Returns a metric for Prometheus: the number of skipped rows, for each batch."""
    skipped = GaugeMetricFamily("kitovu_rows_skipped", "Rows that a periodic batch could not process", labels=["batch"])
    for batch, count in counts():
        skipped.add_metric([batch], count)
    return [skipped]
