"""Decides when the hub pauses an oracle for some or all callers. During the pause, the hub sends no requests of these
callers to the oracle. The module uses a clock, but no database and no network. Each process uses only the outcomes of
its own requests.

- If five requests in a row get no connection to an oracle, the oracle is paused for all callers.
- A caller chooses the alias of a request. An unusual alias can be the only reason for a server error or a missing
  answer. So if one caller's requests for five different aliases fail, and the caller gets no answer in between, the hub
  pauses the oracle for this caller only. The hub pauses the oracle for all callers under three conditions: requests of
  three or more callers fail, these requests are for at least five different aliases in total, and no caller gets an
  answer in between.
- After a pause each caller may have one open request to the oracle. When a caller gets an answer, this limit ends for
  the caller, and every other caller can immediately send one request. So if requests of one caller get no answer, the
  other callers are not delayed.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from hub.growing_pauses import FAILURES, GrowingPause

Caller = int

CALLERS = 3
_FIRST_PAUSE_S = 1.0
_MOST_ALIASES = 100  # counts at most this many aliases for each caller


class Outcome(Enum):
    ANSWERED = auto()
    FAILED = auto()  # the hub connected to the oracle, but got no usable answer
    UNREACHED = auto()
    UNKNOWN = auto()  # the outcome does not show whether the oracle works


def _no_pause() -> GrowingPause:
    return GrowingPause(_FIRST_PAUSE_S)


@dataclass(slots=True)
class _Own:
    """One caller's pause, and the aliases for which the caller's requests have failed since the last answer to this
    caller."""

    aliases: set[str] = field(default_factory=set)
    pause: GrowingPause = field(default_factory=_no_pause)


class OraclePauses:
    """The pauses of one oracle."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._asking: Counter[Caller] = Counter()
        self._pause = _no_pause()  # for all callers
        self._unreached = 0  # in a row
        # by caller: the aliases whose requests failed since the last answer to any caller, or since the last pause for
        # all callers
        self._failed: dict[Caller, set[str]] = {}
        self._own: dict[Caller, _Own] = {}

    def may_ask(self, caller: Caller) -> bool:
        """Returns whether this caller's request may be sent now. The client must call `end` after the request."""
        with self._guard:
            if self._is_paused(caller) or (self._is_suspect(caller) and self._asking[caller]):
                return False
            self._asking[caller] += 1
            return True

    def is_paused(self, caller: Caller) -> bool:
        with self._guard:
            return self._is_paused(caller)

    def end(self, caller: Caller, alias: str, outcome: Outcome) -> bool:
        """Records the outcome of a request. Returns whether the oracle is paused because of this outcome."""
        with self._guard:
            self._asking[caller] -= 1
            now = self._clock()
            match outcome:
                case Outcome.ANSWERED:
                    self._end_pauses(caller)
                case Outcome.UNREACHED:
                    return self._unreachable(now)
                case Outcome.FAILED:
                    self._unreached = 0
                    return self._fail(caller, alias, now)
            return False

    def _is_paused(self, caller: Caller) -> bool:
        now, own = self._clock(), self._own.get(caller)
        return self._pause.is_on(now) or (own is not None and own.pause.is_on(now))

    def _is_suspect(self, caller: Caller) -> bool:
        own = self._own.get(caller)
        return self._pause.count > 0 or (own is not None and own.pause.count > 0)

    def _end_pauses(self, caller: Caller) -> None:
        self._unreached, self._pause = 0, _no_pause()
        self._failed.clear()
        self._own.pop(caller, None)
        for own in self._own.values():
            own.pause.until = 0.0

    def _unreachable(self, now: float) -> bool:
        self._unreached += 1
        return self._unreached >= FAILURES and self._pause.begin(now) > 0

    def _fail(self, caller: Caller, alias: str, now: float) -> bool:
        own = self._own.setdefault(caller, _Own())
        failed = self._failed.setdefault(caller, set())
        for aliases in (own.aliases, failed):
            if len(aliases) < _MOST_ALIASES:
                aliases.add(alias)
        began = len(own.aliases) >= FAILURES and own.pause.begin(now) > 0
        if len(self._failed) >= CALLERS and len(set().union(*self._failed.values())) >= FAILURES:
            self._failed.clear()
            began |= self._pause.begin(now) > 0
        return began
