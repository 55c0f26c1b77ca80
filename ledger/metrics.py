"""The ledger's Prometheus metrics."""

from prometheus_client import Counter, Histogram

OUTCOMES = Counter("kitovu_ledger_outcomes_total", "Commands decided, by outcome", ["outcome"])
RETRIES = Counter(
    "kitovu_ledger_retries_total", "Groups of commands that the ledger decided again, by reason", ["reason"]
)
BATCH_SIZE = Histogram(
    "kitovu_ledger_group_size", "Commands in one transaction", buckets=(1, 2, 5, 10, 25, 50, 100, 200)
)
