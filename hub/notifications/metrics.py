"""The Prometheus counters of the notifications' sender."""

from prometheus_client import Counter

from hub.notifications.retries import Outcome
from hub.notifications.store import Claimed

ATTEMPTS = Counter("kitovu_notifications_attempts_total", "E-mails and webhooks sent", ["channel", "result"])


def count(message: Claimed, outcome: Outcome) -> None:
    """Counts one attempt to send a notification. Each result has its own counter."""
    ATTEMPTS.labels(message.channel.lower(), outcome.result).inc()
