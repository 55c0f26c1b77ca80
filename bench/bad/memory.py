"""Reads the memory use of the hub's processes, a few times per second during a trial."""

import statistics
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psutil

_EVERY_S = 0.25
_FAMILY_S = 5.0  # time between two searches for a process's children, because a search is slow
_MB = 1_000_000


@dataclass(frozen=True)
class Sample:
    """The resident megabytes of each process at one moment. `time.monotonic` measures the moment."""

    at: float
    mb: dict[str, float]


class Watch:
    """Reads the memory use of processes until `close` is called. An object of this class can be used as a context
    manager."""

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
        families: dict[str, list[psutil.Process]] = {}
        looked_at = float("-inf")
        while not self._is_over.wait(_EVERY_S):
            now = time.monotonic()
            if now - looked_at > _FAMILY_S:
                families, looked_at = {name: family(pid) for name, pid in self._pids.items()}, now
            self.samples.append(Sample(now, {name: resident_mb(each) for name, each in families.items()}))


def family(pid: int) -> list[psutil.Process]:
    """Returns a process and its living descendants."""
    try:
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def resident_mb(processes: Iterable[psutil.Process]) -> float:
    """Returns the resident megabytes of all these processes. Shared memory is counted once for each process."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / _MB


def median_mb(samples: list[Sample], name: str, since: float, until: float) -> float:
    """Returns the median of the samples in the interval, or 0 if the interval has no samples."""
    found = [sample.mb[name] for sample in samples if since <= sample.at < until]
    return statistics.median(found) if found else 0.0


def most_mb(samples: list[Sample], name: str, since: float, until: float) -> float:
    return max((sample.mb[name] for sample in samples if since <= sample.at < until), default=0.0)
