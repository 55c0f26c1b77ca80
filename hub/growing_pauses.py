"""The pause for a server that gives no answer. It doubles each time until the server answers. Pure.

Destinations of callbacks (`hub.outbox.destinations`) and oracles (`directory.oracle_pauses`) both use it. Each has its
own rules for what counts as a failure, whom a pause concerns, and which requests may be sent after it.
"""

from dataclasses import dataclass

FAILURES = 5  # so many in a row are no coincidence
_LONGEST_S = 30.0
_MOST_DOUBLINGS = 6


@dataclass(slots=True)
class GrowingPause:
    """The time until which nothing is sent. Times are seconds of a monotonic clock."""

    first_s: float
    count: int = 0  # pauses since the last answer
    until: float = 0.0

    def is_on(self, now: float) -> bool:
        return now < self.until

    def begin(self, now: float) -> float:
        """Begins the next pause, twice as long as the previous one. Returns its length in seconds.

        Returns 0 during a pause: a request that was sent before the pause shows nothing new.
        """
        if self.is_on(now):
            return 0.0
        seconds = min(_LONGEST_S, self.first_s * 2.0 ** min(self.count, _MOST_DOUBLINGS))
        self.until = now + seconds
        self.count += 1
        return seconds
