"""What the outbox counts for Prometheus."""

from prometheus_client import Counter, Histogram

from hub.outbox.client import Answer
from hub.outbox.store import Claimed

ATTEMPTS = Counter("kitovu_outbox_attempts_total", "Requests sent to participants", ["kind", "result"])
AGE = Histogram(
    "kitovu_outbox_age_seconds",
    "From a message's transaction to its delivery",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)


def count(message: Claimed, answer: Answer) -> None:
    """Counts one attempt by what came of it."""
    result = "taken" if answer.is_taken else "no_answer" if answer.status == 0 else f"{answer.status // 100}xx"
    ATTEMPTS.labels(message.kind, result).inc()
    if answer.is_taken:
        AGE.observe(message.age_s)
