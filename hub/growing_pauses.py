"""Pauses requests to a server that does not respond. Each pause is twice as long as the previous pause, until the
server responds. Pure.

The pauses of callback destinations (`hub.outbox.destination_pauses`) and of oracles (`directory.oracle_pauses`) use
this module. Each of these two modules has its own rules about the failures that count, the requests that a pause stops,
and the requests after a pause.
"""

from dataclasses import dataclass

FAILURES = 5  # a pause begins after so many failures in a row
_LONGEST_S = 30.0
_MOST_DOUBLINGS = 6


@dataclass(slots=True)
class GrowingPause:
    """The time until which the hub sends nothing to the server. Times are seconds of a monotonic clock."""

    first_s: float
    count: int = 0  # pauses since the last answer
    until: float = 0.0

    def is_on(self, now: float) -> bool:
        return now < self.until

    def begin(self, now: float) -> float:
        """Begins the next pause, which is twice as long as the previous pause. Returns its length in seconds.

        Returns 0 during a pause. A request that fails during a pause was sent before the pause, and does not make the
        pause longer.
        """
        if self.is_on(now):
            return 0.0
        seconds = min(_LONGEST_S, self.first_s * 2.0 ** min(self.count, _MOST_DOUBLINGS))
        self.until = now + seconds
        self.count += 1
        return seconds
