"""Runs the periodic ticks while Celery does not run them. Possible reasons: Valkey is down, beat is stopped, or the
broker delivers nothing. Without this module, expired transfers would stay reserved during such a failure. If no worker
process has received a tick for a while, each worker process runs the ticks itself. A tick only processes due rows, so
the same tick can run in several processes at the same time. Without due rows, a tick only runs a few queries.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

log = structlog.get_logger("standby")

_EVERY_S = 0.5
_PATIENCE_S = 2.0  # beat sends a tick each second, to any one of the worker processes
# After this time, a run begins no further tick. This time and the duration of the last tick together must be much
# shorter than CELERY_TASK_TIME_LIMIT.
_MOST_S = 10.0


class Standby:
    """The thread that runs the periodic ticks of one worker process. Each tick is a function without arguments."""

    def __init__(self, ticks: Sequence[Callable[[], object]], is_given_to_others: Callable[[], bool]) -> None:
        self._ticks, self._is_given_to_others = ticks, is_given_to_others
        self._given_at = time.monotonic()
        self._is_at_work = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="standby", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread when the tick in progress has ended."""
        self._stopping.set()
        self._thread.join(5)

    def given(self) -> None:
        """Records that this process received a task from Celery."""
        self._given_at = time.monotonic()

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_S):
            is_needed = time.monotonic() - self._given_at > _PATIENCE_S and not self._is_given_to_others()
            if is_needed != self._is_at_work:
                self._is_at_work = is_needed
                log.warning("celery_gives_no_ticks" if is_needed else "celery_gives_ticks_again")
                # this thread no longer needs its database connection, or the connection is perhaps broken
                connection.close()
            if is_needed:
                run_all(self._ticks)


def run_all(ticks: Sequence[Callable[[], object]], *, before_each: Callable[[], None] = lambda: None) -> None:
    """Runs the given ticks one after the other, and calls `before_each` before each tick.

    Each run begins with a tick that is chosen at random. After `_MOST_S` seconds, a run begins no further tick. So a
    slow or failing tick can prevent some other ticks in one run, but does not prevent these ticks in every run.
    """
    until = time.monotonic() + _MOST_S
    first = random.randrange(len(ticks)) if ticks else 0  # noqa: S311 (no secret)
    for number, tick in enumerate([*ticks[first:], *ticks[:first]]):
        if time.monotonic() > until:
            log.warning("ticks_left_to_the_next_second", ticks=len(ticks) - number)
            return
        before_each()
        close_old_connections()
        try:
            tick()
        except (DatabaseError, InterfaceError) as error:
            log.warning("tick_failed", error=str(error)[:200])
            connection.close()
        except Exception:  # a failed tick must not prevent the next tick
            log.exception("tick_failed")
