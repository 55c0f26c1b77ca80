"""Ticks that come where Celery's do not: while Valkey is away, beat stands still, or a broker hands nothing on.

Beat, broker and worker are three that must live for a reservation to be released on time. Each worker process therefore
looks by itself once it has been given nothing for a while. All that a tick says is "look now": two that look at once do
no harm, and looking where nothing is due costs a few reads.
"""

import threading
import time
from collections.abc import Callable, Collection

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

log = structlog.get_logger("standby")

_EVERY_S = 0.5
_PATIENCE_S = 2.0  # beat ticks several times a second; of many worker processes each hears some of it


class Standby:
    """One worker process's own clock. Each tick is a function without arguments."""

    def __init__(self, ticks: Collection[Callable[[], object]]) -> None:
        self._ticks = ticks
        self._given_at = time.monotonic()
        self._is_at_work = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="standby", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Lets a tick that is under way end."""
        self._stopping.set()
        self._thread.join(5)

    def given(self) -> None:
        """Celery gave this process a task."""
        self._given_at = time.monotonic()

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_S):
            is_needed = time.monotonic() - self._given_at > _PATIENCE_S
            if is_needed != self._is_at_work:
                self._is_at_work = is_needed
                log.warning("celery_gives_no_ticks" if is_needed else "celery_gives_ticks_again")
                connection.close()  # idle from now on, or not used for long
            if is_needed:
                self._tick()

    def _tick(self) -> None:
        for tick in self._ticks:
            close_old_connections()
            try:
                tick()
            except (DatabaseError, InterfaceError) as error:
                log.warning("tick_failed", error=str(error)[:200])
                connection.close()
            except Exception:  # the next tick must come
                log.exception("tick_failed")
