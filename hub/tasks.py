"""Ticks that belong to no app."""

from celery import shared_task
from django.core.cache import cache

HEARTBEAT = "worker-heartbeat"
HEARTBEAT_LIFETIME_S = 15


@shared_task(name="hub.tasks.heartbeat", ignore_result=True)
def heartbeat() -> None:
    """Says that beat ticks and a worker works; /health looks for it."""
    cache.set(HEARTBEAT, "alive", timeout=HEARTBEAT_LIFETIME_S)
