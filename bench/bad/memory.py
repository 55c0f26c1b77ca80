"""How much memory the hub's processes hold, read a few times a second while a trial runs."""

import statistics
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

_EVERY_S = 0.25
_MB = 1_000_000


@dataclass(frozen=True)
class Sample:
    """Megabytes resident by process, at a moment of time.monotonic."""

    at: float
    mb: dict[str, float]


class Watch:
    """Reads until it is closed. Usable as a context manager."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.samples: list[Sample] = []

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._is_over.wait(_EVERY_S):
            self.samples.append(Sample(time.monotonic(), {name: resident_mb(pid) for name, pid in self._pids.items()}))


def resident_mb(pid: int) -> float:
    """Of a process and its living descendants; what they share is counted for each."""
    total = 0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    for process in family:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / _MB


def median_mb(samples: list[Sample], name: str, since: float, until: float) -> float:
    """0 where nothing was read."""
    found = [sample.mb[name] for sample in samples if since <= sample.at < until]
    return statistics.median(found) if found else 0.0


def most_mb(samples: list[Sample], name: str, since: float, until: float) -> float:
    return max((sample.mb[name] for sample in samples if since <= sample.at < until), default=0.0)
