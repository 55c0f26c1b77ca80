"""Places that callers share: how many work on something at once, and how much of that one caller gets. Plain threads.

Each caller's first request is admitted while others hold all that is shared; its further requests are admitted from a
shared part, of which it gets a part only. A request that is not admitted waits, and the next free place goes to the
caller that holds fewest.
"""

import threading
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Caller = Hashable


class NoPlace(Exception):
    """The caller has as many requests open as it may, or waited in vain."""


@dataclass(frozen=True, slots=True)
class Sizes:
    most: int  # requests admitted at once
    shared: int  # of them, those that are beyond their callers' first
    share: int  # of one caller beyond its first
    waiting: int
    waiting_share: int  # of one caller that has a request admitted


@dataclass(slots=True, eq=False)
class _Waiting:
    caller: Caller
    turn: threading.Event = field(default_factory=threading.Event)
    is_admitted: bool = False


class Places:
    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held: Counter[Caller] = Counter()
        self._waiting: list[_Waiting] = []  # the longest first

    @contextmanager
    def taken(self, caller: Caller, sizes: Sizes, *, wait_s: float = 0) -> Iterator[None]:
        """Holds a place for this caller; NoPlace where none comes free for it in time."""
        self._take(caller, sizes, wait_s)
        try:
            yield
        finally:
            with self._guard:
                self._held[caller] -= 1
                self._held += Counter()  # drops who holds none
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
        """NoPlace where the caller has its part of those that wait; where all may wait that can, the last one of the
        caller that has most gives way."""
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
        """Gives what is free to those who wait: to who holds fewest, and among them to who waits longest."""
        for waiting in sorted(self._waiting, key=lambda waiting: self._held[waiting.caller]):
            if self._may_have_one(waiting.caller, sizes):
                self._held[waiting.caller] += 1
                self._waiting.remove(waiting)
                waiting.is_admitted = True
                waiting.turn.set()
