"""The outbox's metrics for Prometheus."""

from collections.abc import Iterable
from datetime import UTC, datetime

from prometheus_client import Counter, Histogram, Metric

from hub.metrics import gauge
from hub.outbox import queries
from hub.outbox.claims import Claimed
from hub.outbox.client import Answer

ATTEMPTS = Counter("kitovu_outbox_attempts_total", "Requests sent to participants", ["kind", "result"])
AGE = Histogram(
    "kitovu_outbox_age_seconds",
    "Time from the creation of a message to its delivery",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)


def count(message: Claimed, answer: Answer) -> None:
    """Counts one attempt to deliver a message. Each result has its own counter."""
    result = "taken" if answer.is_taken else "no_answer" if answer.status == 0 else f"{answer.status // 100}xx"
    ATTEMPTS.labels(message.kind, result).inc()
    if answer.is_taken:
        AGE.observe(message.age_s)


def show() -> Iterable[Metric]:
    """Returns metrics about the messages that are in the outbox now."""
    queues = queries.queues()
    oldest = min((queue.oldest for queue in queues if queue.oldest is not None), default=None)
    age_s = (datetime.now(UTC) - oldest).total_seconds() if oldest is not None else 0.0
    return [
        gauge("kitovu_outbox_pending", "Messages not delivered yet", sum(queue.pending for queue in queues)),
        gauge("kitovu_outbox_dead", "Given-up messages for an operator to check", sum(queue.dead for queue in queues)),
        gauge("kitovu_outbox_oldest_seconds", "Age of the oldest undelivered message", age_s),
        gauge(
            "kitovu_outbox_crowded",
            "Pairs of source and destination whose number of waiting messages has reached the limit",
            len(queries.crowds()),
        ),
    ]
