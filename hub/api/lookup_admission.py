"""Limits the lookups that a web process accepts while the machine's CPUs are busy all the time.

A lookup is the first request of a payment, and five more requests follow it. If a hub without free CPU time accepts all
lookups, it completes fewer payments, and each payment takes longer. So while the CPUs have no free time, the process
accepts fewer lookups in each half second than in the half second before. The process answers the other lookups with
503. After some seconds without a lookup, the process accepts all lookups again.

The participants share the accepted lookups equally. A participant that sends less than its share loses none of its
lookups.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable

from prometheus_client import Counter as Metric

from fspiop.errors import ErrorCode, FspiopError
from hub.cpu_use import cpus

REFUSED = Metric("kitovu_lookups_refused_total", "Lookups answered with 503 because the CPUs were busy all the time")

_PERIOD_S = 0.5
_GAP_S = 2.0  # after this time without a lookup, the last measured use of the CPUs is too old to count
_BUSY = 0.97  # at this use of the CPUs or more, the process accepts fewer lookups
_FREE = 0.5  # below this use of the CPUs, the process has time for twice as many lookups
_LESS, _MORE, _MUCH_MORE = 0.85, 1.15, 2.0  # the factors by which the limit falls and grows from period to period
_ALWAYS = 20  # the process accepts at least this number of lookups in a period


class LookupAdmission:
    def __init__(self, use: Callable[[], float] = cpus.use, clock: Callable[[], float] = time.monotonic) -> None:
        self._use, self._clock = use, clock
        self._guard = threading.Lock()
        self._began = clock()
        self._arrived: Counter[Hashable] = Counter()
        self._accepted: Counter[Hashable] = Counter()
        self._limit: float | None = None  # for all sources together
        self._limit_of_one = 0.0

    def accepts(self, source: Hashable) -> bool:
        """Returns whether the process accepts one more lookup of this source, and counts the lookup."""
        with self._guard:
            took_s = self._clock() - self._began
            if took_s >= _PERIOD_S:
                self._begin_period(took_s)
            self._arrived[source] += 1
            is_accepted = self._limit is None or self._accepted[source] < self._limit_of_one
            self._accepted[source] += is_accepted
            return is_accepted

    def _begin_period(self, took_s: float) -> None:
        self._began = self._clock()
        use = self._use()  # measures even after a gap, so that the next measurement covers only the next period
        if took_s >= _GAP_S:
            self._limit = None
        elif use >= _BUSY:
            self._limit = max(_ALWAYS, _LESS * self._accepted.total())
        elif self._limit is not None:
            self._limit *= _MUCH_MORE if use < _FREE else _MORE
            if self._limit > self._arrived.total():
                self._limit = None
        if self._limit is not None:
            self._limit_of_one = max(1.0, equal_share(self._arrived.values(), self._limit))
        self._arrived.clear()
        self._accepted.clear()


_admission = LookupAdmission()


def check(source: Hashable) -> None:
    """Raises FspiopError 2005 (503) if the process does not accept one more lookup of this source."""
    if not _admission.accepts(source):
        REFUSED.inc()
        raise FspiopError(ErrorCode.SERVER_BUSY, "the hub is busy; try again", http_status=503)


def equal_share(wanted: Iterable[int], total: float) -> float:
    """Returns each source's share of `total`. The share is equal for all sources, and as large as possible: all sources
    together get at most `total`. If a source wants less than its share, the other sources get the rest."""
    left, share = total, total
    ascending = sorted(wanted)
    for position, count in enumerate(ascending):
        share = left / (len(ascending) - position)
        if count > share:
            return share
        left -= count
    return max(share, left)
