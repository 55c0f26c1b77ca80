"""Divides long work of a web process into parts, with pauses in which the process serves other requests.

A batch of ten thousand aliases, or a file of a hundred thousand rows, keeps a CPU of the process and a CPU of
PostgreSQL busy for a second. Payments would wait for these CPUs at each of their steps.
"""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from hub.cpu_use import cpus

T = TypeVar("T")

_LEAST = 0.5  # the length of a pause on an idle machine, as a share of the time of the part before it
_LONGEST_S = 0.5

_sleep = time.sleep


def with_pauses(parts: Iterable[T]) -> Iterator[T]:
    """Yields the parts. Between two parts, pauses after the caller has worked on the first of them. The busier the CPUs
    are, the longer is the pause."""
    took_s: float | None = None
    for part in parts:
        if took_s is not None:
            pause_after(took_s)
        began = time.monotonic()
        yield part
        took_s = time.monotonic() - began


def pause_after(took_s: float) -> None:
    """Pauses after a part of the work that took this long. The caller must hold no lock and no connection meanwhile."""
    _sleep(min(_LONGEST_S, took_s * (_LEAST + cpus.shortage())))
