"""The periodic tasks that belong to no Django app. The module also starts the thread that runs the periodic tasks while
Celery does not run them."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from celery import Celery, current_app, shared_task, signals
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from redis.exceptions import RedisError

from hub.fallback_ticks import Standby, run_all

HEARTBEAT = "worker-heartbeat"
HEARTBEAT_LIFETIME_S = 15
_TICK_LIFETIME_S = 3

_standby: Standby | None = None


@shared_task(name="hub.tasks.heartbeat", ignore_result=True)
def heartbeat() -> None:
    """Records that Celery's beat sends periodic tasks and that a worker runs them. The URL /health reports this
    record."""
    cache.set(HEARTBEAT, "alive", timeout=HEARTBEAT_LIFETIME_S)


@shared_task(name="hub.tasks.each_second", ignore_result=True)
def each_second() -> None:
    """Does all periodic work that is due now.

    Before each part of this work, records that the work is in progress. Otherwise standby threads would begin the same
    work while the database is slow, and would make the database even slower.
    """
    run_all(of_each_second(), before_each=_note_the_work)


def _note_the_work() -> None:
    """Signals to the standby threads of all processes: periodic work is in progress."""
    if _standby is not None:
        _standby.given()
    with suppress(RedisError, OSError):
        cache.set(_tick_key(), "given", timeout=_TICK_LIFETIME_S)


def of_each_second() -> list[Callable[[], object]]:
    """Returns the functions that Celery's beat runs each second. The functions run so often because DFSPs wait for
    their results."""
    return _ticks(settings.EACH_SECOND)


def of_standby() -> list[Callable[[], object]]:
    """Returns the functions that a worker process runs itself while Celery does not run them."""
    return _ticks([*settings.EACH_SECOND, settings.SCREENING])


def _ticks(names: Sequence[str]) -> list[Callable[[], object]]:
    app: Celery = current_app
    return [app.tasks[name].run for name in names]


def is_given_to_others() -> bool:
    """Returns whether a worker process of this hub has recently begun the work that is due each second."""
    try:
        return cache.get(_tick_key()) is not None
    except (RedisError, OSError):
        return False


def _tick_key() -> str:
    # If two hubs share one Redis, a hub must not mistake the other hub's ticks for its own.
    return f"each-second:{connection.settings_dict['NAME']}"


@signals.worker_process_init.connect
def _start_standby(**_: object) -> None:
    global _standby
    _standby = Standby(of_standby(), is_given_to_others)
    _standby.start()


@signals.task_prerun.connect
def _note_a_task(**_: object) -> None:
    if _standby is not None:
        _standby.given()


@signals.worker_process_shutdown.connect
def _stop_standby(**_: object) -> None:
    if _standby is not None:
        _standby.stop()
