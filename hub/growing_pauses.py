"""For how long a server that gives no answer is left alone: for longer each time, as long as it gives none. Pure.

A destination of callbacks (`hub.outbox.destinations`) and an oracle (`directory.oracle_pauses`) have this in common and
no more. What counts as a failure, for whom a pause holds, and who may try again after it, is a rule of its own in each.
"""

from dataclasses import dataclass

FAILURES = 5  # as many do not happen by chance
_LONGEST_S = 30.0
_MOST_DOUBLINGS = 6


@dataclass(slots=True)
class GrowingPause:
    """Until when nothing is sent. Moments are seconds of a clock that only goes forward."""

    first_s: float
    count: int = 0  # of pauses since the last answer
    until: float = 0.0

    def is_on(self, now: float) -> bool:
        return now < self.until

    def begin(self, now: float) -> float:
        """Begins the next pause, twice as long as the one before, and returns its seconds.

        None begins, and 0 is returned, as long as one is on: what was sent before it says nothing new.
        """
        if self.is_on(now):
            return 0.0
        seconds = min(_LONGEST_S, self.first_s * 2.0 ** min(self.count, _MOST_DOUBLINGS))
        self.until = now + seconds
        self.count += 1
        return seconds
