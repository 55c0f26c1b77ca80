"""Celery's periodic task for alerts. The task adds reports to alerts, and notifies the fraud desk of new alerts."""

from celery import shared_task

from hub.sweeps import isolating_batches
from rules.alerts import notifications, services

_AT_ONCE = 50


@shared_task(name="rules.alerts.tasks.merge", ignore_result=True)
def merge() -> int:
    """Adds each new report to the alert of the same party. Notifies the fraud desk of new alerts."""
    return isolating_batches.each(_merge, notifications.notify_new)


def _merge() -> int:
    return isolating_batches.in_groups(services.BATCH, find=services.waiting, work=services.merge, most=_AT_ONCE)
