"""Pauses requests to a server that does not respond. Each pause is twice as long as the previous pause, until the
server responds. Pure.

Two modules use this module: `hub.outbox.destination_pauses` for callback destinations, and `directory.oracle_pauses`
for oracles. Each of these two modules decides which failures cause a pause, which requests must wait, and which request
the hub sends first after a pause.
"""

from dataclasses import dataclass

FAILURES = 5  # a pause begins after this number of failures in a row
_LONGEST_S = 30.0
_MOST_DOUBLINGS = 6


@dataclass(slots=True)
class GrowingPause:
    """The state of one server: `until` is the time until which the hub sends nothing to this server. All times are
    seconds of a monotonic clock."""

    first_s: float
    count: int = 0  # number of pauses since the server last responded
    until: float = 0.0

    def is_on(self, now: float) -> bool:
        return now < self.until

    def begin(self, now: float) -> float:
        """Begins the next pause, which is twice as long as the previous pause. Returns the new pause's length in
        seconds.

        During a pause, does nothing and returns 0. A request that fails during a pause was sent before the pause, so
        this failure does not count.
        """
        if self.is_on(now):
            return 0.0
        seconds = min(_LONGEST_S, self.first_s * 2.0 ** min(self.count, _MOST_DOUBLINGS))
        self.until = now + seconds
        self.count += 1
        return seconds
