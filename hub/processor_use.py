"""Reads how much of the machine's processors is in use. While the processors are busy, the hub processes messages in
larger groups. In a larger group, each message needs less processor time, but waits some milliseconds longer. While the
processors are idle, this wait would have no benefit.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_STATISTICS = Path("/proc/stat")
_READ_EVERY_S = 0.5
# the processors count as busy if they are in use for at least this part of the time
_SHORT = 0.9


def _read() -> tuple[int, int]:
    """Returns two times since the start of the machine, added over all processors: the whole time, and the idle
    time."""
    with _STATISTICS.open() as lines:
        user, nice, system, idle, waiting, *interrupts_and_stolen = map(int, lines.readline().split()[1:9])
    return user + nice + system + idle + waiting + sum(interrupts_and_stolen), idle + waiting


class Processors:
    """Measures how much all programs together use this machine's processors.

    If the machine does not report the use of its processors, this class treats the processors as idle.
    """

    def __init__(
        self, read: Callable[[], tuple[int, int]] = _read, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read, self._clock = read, clock
        self._read_at = float("-inf")
        self._before: tuple[int, int] | None = None
        self._are_short = False
        self._guard = threading.Lock()

    def are_short(self) -> bool:
        """Returns whether the processors were busy for most of the last half second."""
        if self._clock() - self._read_at >= _READ_EVERY_S and self._guard.acquire(blocking=False):
            try:
                self._read_at = self._clock()
                self._compare()
            finally:
                self._guard.release()
        return self._are_short

    def _compare(self) -> None:
        before, self._before, was_short, self._are_short = self._before, None, self._are_short, False
        with suppress(OSError, ValueError):
            now = self._before = self._read()
            if before is not None:
                took, idle = now[0] - before[0], now[1] - before[1]
                self._are_short = 1 - idle / took >= _SHORT if took > 0 else was_short


processors = Processors()
