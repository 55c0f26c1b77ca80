"""Runs a sender in each Celery worker process. This module also contains the periodic task that deletes old
notifications."""

from celery import shared_task, signals

from hub.notifications import store
from hub.notifications.sender import Sender

_KEPT_DAYS = 90
_MOST_AT_ONCE = 10_000

_sender: Sender | None = None


@signals.worker_process_init.connect
def _start_sender(**_: object) -> None:
    global _sender
    _sender = Sender()
    _sender.start()


@signals.worker_process_shutdown.connect
def _stop_sender(**_: object) -> None:
    if _sender is not None:
        _sender.stop(timeout_s=8.0)


@shared_task(name="hub.notifications.tasks.tidy", ignore_result=True)
def tidy() -> None:
    """Deletes notifications that were sent, given up or withdrawn more than 90 days ago."""
    store.delete_old(days=_KEPT_DAYS, most=_MOST_AT_ONCE)
