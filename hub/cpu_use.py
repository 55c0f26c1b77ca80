"""Reads how busy the machine's CPUs are. The busier the CPUs are, the larger are the hub's groups of messages. In a
larger group, each message needs less CPU time, but waits some milliseconds longer. While the CPUs are idle, this longer
wait would have no benefit.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_STATISTICS = Path("/proc/stat")
_READ_EVERY_S = 0.5
# Two shares of busy time: below the first share, the CPUs count as idle; from the second share on, they count as busy.
_IDLE, _BUSY = 0.5, 0.9


def _read() -> tuple[int, int]:
    """Returns the total time and the idle time since the start of the machine. Each of the two times is the sum over
    all CPUs. The time of programs with a lower priority (nice) counts as idle, because these programs give way to the
    hub."""
    with _STATISTICS.open() as lines:
        user, nice, system, idle, waiting, *interrupts_and_stolen = map(int, lines.readline().split()[1:9])
    return user + nice + system + idle + waiting + sum(interrupts_and_stolen), nice + idle + waiting


class Cpus:
    """Measures how much all programs together use this machine's CPUs.

    If the machine does not report the use of its CPUs, this class treats the CPUs as idle.
    """

    def __init__(
        self, read: Callable[[], tuple[int, int]] = _read, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read, self._clock = read, clock
        self._read_at = float("-inf")
        self._before: tuple[int, int] | None = None
        self._share = 0.0  # the share of busy time
        self._guard = threading.Lock()

    def shortage(self) -> float:
        """Returns the shortage of CPU time in the last half second: from 0 for idle CPUs to 1 for busy CPUs."""
        return min(1.0, max(0.0, (self.use() - _IDLE) / (_BUSY - _IDLE)))

    def use(self) -> float:
        """Returns the share of the last half second in which the CPUs were busy."""
        if self._clock() - self._read_at >= _READ_EVERY_S and self._guard.acquire(blocking=False):
            try:
                self._read_at = self._clock()
                self._compare()
            finally:
                self._guard.release()
        return self._share

    def _compare(self) -> None:
        before, self._before, share = self._before, None, 0.0
        with suppress(OSError, ValueError):
            now = self._before = self._read()
            if before is not None:
                took, idle = now[0] - before[0], now[1] - before[1]
                share = 1 - idle / took if took > 0 else self._share
        self._share = share


cpus = Cpus()
