"""The ticks that belong to no app. Also starts the clock that runs ticks while Celery gives none."""

from collections.abc import Callable

from celery import Celery, current_app, shared_task, signals
from django.conf import settings
from django.core.cache import cache

from hub.fallback_ticks import Standby

HEARTBEAT = "worker-heartbeat"
HEARTBEAT_LIFETIME_S = 15

_standby: Standby | None = None


@shared_task(name="hub.tasks.heartbeat", ignore_result=True)
def heartbeat() -> None:
    """Records that beat sends ticks and a worker runs them. /health reads this record."""
    cache.set(HEARTBEAT, "alive", timeout=HEARTBEAT_LIFETIME_S)


def of_each_second() -> list[Callable[[], object]]:
    """Returns the functions that beat runs each second, because DFSPs wait for their results."""
    app: Celery = current_app
    names = [entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values() if entry["schedule"] == 1.0]
    return [app.tasks[name].run for name in names]


@signals.worker_process_init.connect
def _start_standby(**_: object) -> None:
    global _standby
    _standby = Standby(of_each_second())
    _standby.start()


@signals.task_prerun.connect
def _note_a_task(**_: object) -> None:
    if _standby is not None:
        _standby.given()


@signals.worker_process_shutdown.connect
def _stop_standby(**_: object) -> None:
    if _standby is not None:
        _standby.stop()
