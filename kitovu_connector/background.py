"""Runs tasks in the background. Logs each failure. All tasks end when the connector stops."""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

from kitovu_connector import logs

log = structlog.get_logger(__name__)


class Background:
    """The tasks of one part of the connector."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: set[str] = set()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[None, None, object]) -> None:
        """Runs the work in a task. Logs a failure of this task without stopping other tasks."""
        if self._is_closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(_guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def start_once(self, key: str, work: Callable[[], Coroutine[None, None, object]]) -> None:
        """Runs the work in a task, unless a task with this key runs already."""
        if key not in self._running and not self._is_closed:
            self._running.add(key)
            self.start(self._until_over(key, work()))

    async def _until_over(self, key: str, work: Coroutine[None, None, object]) -> None:
        try:
            await work
        finally:
            self._running.discard(key)

    async def close(self) -> None:
        """Stops all tasks immediately. Starts no new tasks. No step is lost, because every step is already stored."""
        self._is_closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Rounds:
    """Processes records. Each record has at most one task at a time. If a record changes while its task runs, the task
    runs the work once more.
    """

    def __init__(self, background: Background) -> None:
        self._background = background
        self._again: dict[str, bool] = {}  # key: a record with a task; value: whether the task must run again

    def __len__(self) -> int:
        return len(self._again)

    def __contains__(self, key: str) -> bool:
        return key in self._again

    def begin(self, key: str, work: Callable[[bool], Coroutine[None, None, object]]) -> None:
        """Runs the work in a task. If the record already has a task, makes this task run the work once more.

        `work` gets the argument False on the first run in a task, and True on each later run.
        """
        if key in self._again:
            self._again[key] = True
            return
        self._again[key] = False
        self._background.start(self._rounds(key, work))

    async def _rounds(self, key: str, work: Callable[[bool], Coroutine[None, None, object]]) -> None:
        try:
            await work(False)
            while self._again[key]:
                self._again[key] = False
                await work(True)
        finally:
            del self._again[key]


async def _guarded(work: Coroutine[None, None, object]) -> None:
    try:
        await work
    except Exception as error:
        log.error("step_failed", error=logs.trace_of(error))
