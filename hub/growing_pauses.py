"""Pauses requests to a server that does not respond. Each pause is twice as long as the previous pause, until the
server responds. Pure.

Two modules use this module: `hub.outbox.destination_pauses` for callback destinations, and `directory.oracle_pauses`
for oracles. Each of these two modules decides which failures cause a pause, which requests wait during a pause, and
which requests it sends after a pause.
"""

from dataclasses import dataclass

FAILURES = 5  # a pause begins after so many failures in a row
_LONGEST_S = 30.0
_MOST_DOUBLINGS = 6


@dataclass(slots=True)
class GrowingPause:
    """The pause of one server: the time until which the hub sends nothing to this server. Times are seconds of a
    monotonic clock."""

    first_s: float
    count: int = 0  # pauses since the last answer
    until: float = 0.0

    def is_on(self, now: float) -> bool:
        return now < self.until

    def begin(self, now: float) -> float:
        """Begins the next pause, which is twice as long as the previous pause. Returns the new pause's length in
        seconds.

        If a pause is in progress, begins no pause and returns 0. If a request fails during a pause, the hub sent it
        before the pause, so the failure does not make the pause longer.
        """
        if self.is_on(now):
            return 0.0
        seconds = min(_LONGEST_S, self.first_s * 2.0 ** min(self.count, _MOST_DOUBLINGS))
        self.until = now + seconds
        self.count += 1
        return seconds
