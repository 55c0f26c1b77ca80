"""What one courier knows of its destinations: what it has open at each, and what it leaves alone for a while. Pure.

Only silence counts: a connection that is refused, or a request that gets no answer in time. A destination that answers
is there, whatever it answers, and what the hub itself could not send says nothing about it.

Silence after the messages of one source and kind makes the courier leave alone just these: a DFSP whose server hangs
on one kind of message, or on what one participant sends it, still gets all the others. Only if messages of several
sources get no answer, and nothing else does, is the destination itself left alone. All of this is a hint that one
process has; another process knows something else.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from hub.growing_pauses import FAILURES, GrowingPause
from hub.outbox.store import Claimed, Room

_FIRST_PAUSE_S = 0.5
_PROBES = 4  # open at once at a destination that gives no answer: of different sources, as claims are fair
_SEVERAL_SOURCES = 2


@dataclass(slots=True)
class _Silence:
    """Requests that got no answer, one after the other, and until when none is sent for that."""

    count: int = 0
    pause: GrowingPause = field(default_factory=lambda: GrowingPause(_FIRST_PAUSE_S))

    @property
    def is_long(self) -> bool:
        return self.count >= FAILURES

    def goes_on(self, now: float) -> float:
        """Notes one more, and returns the pause that follows, seconds."""
        if self.pause.is_on(now):
            return 0.0  # it was sent before the pause, and failed for the same reason
        self.count += 1
        return self.pause.begin(now) if self.is_long else 0.0


@dataclass(slots=True)
class _Stream:
    """The messages of one source and kind."""

    silence: _Silence = field(default_factory=_Silence)
    has_probe: bool = False


@dataclass(slots=True)
class Destination:
    """One participant that messages go to. Times are of a clock that only goes forward, in seconds."""

    id: int
    has_news: bool = False
    open_requests: int = 0
    open_octets: int = 0
    open_by_source: Counter[int] = field(default_factory=Counter)
    _silence: _Silence = field(default_factory=_Silence)
    _silent_sources: set[int] = field(default_factory=set)
    _streams: dict[tuple[int, str], _Stream] = field(default_factory=dict)

    def room(self, now: float, *, most: int, most_at_once: int, most_octets: int) -> Room | None:
        """What may be claimed for it now; None for nothing."""
        if self._silence.pause.is_on(now):
            return None
        messages = min(most_at_once, (_PROBES if self._is_silent else most) - self.open_requests)
        octets = most_octets - self.open_octets
        return Room(messages, octets) if messages > 0 and octets > 0 else None

    def pause_before(self, message: Claimed, now: float, *, probe_s: float) -> float | None:
        """For how many seconds this message is left alone; None if it may be sent. `probe_s`: a request's deadline."""
        stream = self._streams.get((message.source_id, message.kind))
        if stream is None or not stream.silence.is_long or self._is_silent:
            return None
        if stream.silence.pause.is_on(now):
            return stream.silence.pause.until - now
        if stream.has_probe:
            return probe_s
        stream.has_probe = True
        return None

    def begins(self, message: Claimed) -> None:
        """A request is under way."""
        self.open_requests += 1
        self.open_octets += len(message.body)
        self.open_by_source[message.source_id] += 1

    def ends(self, message: Claimed) -> None:
        """It is not, any more."""
        self.open_requests -= 1
        self.open_octets -= len(message.body)
        self.open_by_source[message.source_id] -= 1
        if not self.open_by_source[message.source_id]:
            del self.open_by_source[message.source_id]

    def answered(self, message: Claimed) -> None:
        """It took the message, or said why not."""
        if self._is_silent:
            self._streams.clear()  # all of them got no answer for the one reason, which is over
        self._streams.pop((message.source_id, message.kind), None)
        self._silence = _Silence()
        self._silent_sources.clear()

    def was_silent(self, message: Claimed, now: float) -> float:
        """It gave no answer; returns the pause of the whole destination that follows, seconds."""
        stream = self._streams.setdefault((message.source_id, message.kind), _Stream())
        stream.has_probe = False
        stream.silence.goes_on(now)
        self._silent_sources.add(message.source_id)
        if len(self._silent_sources) < _SEVERAL_SOURCES:
            return 0.0
        return self._silence.goes_on(now)

    def could_not_be_claimed(self, now: float) -> float:
        """The database failed on its messages alone; returns for how long they are left alone, seconds."""
        self._silence.count = max(self._silence.count, FAILURES - 1)
        self._silent_sources |= {-1, -2}  # as many as it takes
        return self._silence.goes_on(now)

    @property
    def _is_silent(self) -> bool:
        return self._silence.is_long


def open_by_source(destinations: Mapping[int, Destination]) -> dict[tuple[int, int], int]:
    """How many requests are under way, by (destination, source)."""
    return {
        (destination.id, source_id): count
        for destination in destinations.values()
        for source_id, count in destination.open_by_source.items()
    }
