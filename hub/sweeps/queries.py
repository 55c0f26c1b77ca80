"""What is skipped now: for the batches, for Prometheus and for people."""

from collections.abc import Iterable

from django.db.models import CharField, Exists, OuterRef
from django.db.models.functions import Cast
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from hub.database import execute
from hub.sweeps.models import SkippedRow

_COUNTS = "SELECT batch, count(*) FROM sweeps_skippedrow GROUP BY batch ORDER BY batch"


def not_skipped(batch: str, key: str) -> str:
    """The SQL condition that this batch does not skip the row of this key; `key` is a column. Both are constants."""
    return f"NOT EXISTS (SELECT FROM sweeps_skippedrow s WHERE s.batch = '{batch}' AND s.row = {key}::text)"


def is_skipped(batch: str) -> Exists:
    """The same for Django's queries, the other way round: that this batch skips the row, by its primary key."""
    return Exists(SkippedRow.objects.filter(batch=batch, row=Cast(OuterRef("pk"), CharField())))


def show() -> Iterable[Metric]:
    """How many rows each batch skips, for Prometheus."""
    skipped = GaugeMetricFamily("kitovu_rows_skipped", "Rows that a periodic batch could not work on", labels=["batch"])
    for batch, count in execute(_COUNTS):
        skipped.add_metric([batch], count)
    return [skipped]
