"""Limits the number of simultaneous requests, for each caller and for all callers. Each request runs in a thread of its
own and occupies one place. A caller's first request does not count against the shared places. So the first request can
run even while other callers occupy all shared places. A caller's further requests need shared places, and each caller
can occupy only some of the shared places. If there is no place for a request, the request waits. A free place goes to
the waiting caller that occupies the fewest places.
"""

import threading
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Caller = Hashable


class NoPlace(Exception):
    """Raised if too many requests of the caller already wait, or if no place becomes free in time."""


@dataclass(frozen=True, slots=True)
class Sizes:
    most: int  # how many requests can run at the same time
    shared: int  # the number of shared places; each request needs a shared place, except a caller's first request
    share: int  # how many shared places one caller can occupy
    waiting: int
    # how many requests a caller can have in the queue, while another request of the caller occupies a place
    waiting_share: int


@dataclass(slots=True, eq=False)
class _Waiting:
    caller: Caller
    turn: threading.Event = field(default_factory=threading.Event)
    is_admitted: bool = False


class Places:
    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held: Counter[Caller] = Counter()
        self._waiting: list[_Waiting] = []  # the oldest request first

    @contextmanager
    def taken(self, caller: Caller, sizes: Sizes, *, wait_s: float = 0) -> Iterator[None]:
        """Occupies a place for this caller while the block runs. Raises NoPlace if no place becomes free in time."""
        self._take(caller, sizes, wait_s)
        try:
            yield
        finally:
            with self._guard:
                self._held[caller] -= 1
                self._held += Counter()  # removes the zero counts
                self._admit(sizes)

    def _take(self, caller: Caller, sizes: Sizes, wait_s: float) -> None:
        with self._guard:
            if self._may_have_one(caller, sizes):
                self._held[caller] += 1
                return
            waiting = _Waiting(caller)
            self._let_wait(waiting, sizes)
        waiting.turn.wait(wait_s)
        with self._guard:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            if not waiting.is_admitted:
                raise NoPlace

    def _may_have_one(self, caller: Caller, sizes: Sizes) -> bool:
        held = self._held[caller]
        if self._held.total() >= sizes.most:
            return False
        beyond_the_first = self._held.total() - len(+self._held)
        return not held or (held <= sizes.share and beyond_the_first < sizes.shared)

    def _let_wait(self, newcomer: _Waiting, sizes: Sizes) -> None:
        """Adds a request to the queue. Raises NoPlace if too many requests of the caller already wait. If the queue is
        full, removes the newest request of the caller that has the most waiting requests.
        """
        count = Counter(waiting.caller for waiting in self._waiting)
        own = count[newcomer.caller]
        if own >= sizes.waiting_share and (own or self._held[newcomer.caller]):
            raise NoPlace
        if not sizes.waiting:
            raise NoPlace
        if len(self._waiting) >= sizes.waiting:
            greediest = max(count, key=lambda caller: count[caller])
            if count[greediest] <= own + 1:
                raise NoPlace
            last = next(waiting for waiting in reversed(self._waiting) if waiting.caller == greediest)
            self._waiting.remove(last)
            last.turn.set()
        self._waiting.append(newcomer)

    def _admit(self, sizes: Sizes) -> None:
        """Assigns free places to waiting requests.

        The caller that occupies the fewest places comes first. Between callers with the same number of places, the
        oldest request comes first.
        """
        for waiting in sorted(self._waiting, key=lambda waiting: self._held[waiting.caller]):
            if self._may_have_one(waiting.caller, sizes):
                self._held[waiting.caller] += 1
                self._waiting.remove(waiting)
                waiting.is_admitted = True
                waiting.turn.set()
