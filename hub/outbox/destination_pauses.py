"""One courier's record of its destinations: their open requests, and the pauses after missing responses. Pure.

A destination is paused only because of missing responses: a refused connection, or a request without a response in
time. Any response shows that the destination works. If the hub itself could not send a message, this is not the
destination's fault.

If messages of one source and kind get no response, the courier pauses only messages of this source and kind. A DFSP's
server can hang on one kind of message, or on messages of one participant, and still accept all other messages. The
courier pauses the whole destination only if messages of several sources get no response, and no other message gets a
response. Each process has its own record of destinations, and this record is only a hint.

Only after the courier has claimed a message does it know whether the message must wait. A message must wait because of
a pause, or because an earlier message of the same subject is not delivered. If a source has a million waiting messages,
a courier that postponed them one after the other would use a whole processor. So between two regular checks, the
courier postpones only some of each source's messages. Once the courier has postponed these messages, it claims no more
messages of this source to this destination until the next regular check. At the regular check, one SQL statement
postpones many more messages of the source's paused kinds. So the source's other messages do not wait behind the paused
messages.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from hub.growing_pauses import FAILURES, GrowingPause
from hub.outbox.claims import Claimed, Paused, Room

_FIRST_PAUSE_S = 0.5
_PROBES = 4  # the most open requests to a silent destination; fair claims take them from several sources
_SEVERAL_SOURCES = 2
_POSTPONED_AT_MOST = 300  # messages of one source between two regular checks
_NONE_FREE = 1_000_000  # open requests of a source that may have no more


@dataclass(slots=True)
class _Silence:
    """The number of consecutive requests without a response, and the pause after these requests."""

    count: int = 0
    pause: GrowingPause = field(default_factory=lambda: GrowingPause(_FIRST_PAUSE_S))

    @property
    def is_long(self) -> bool:
        return self.count >= FAILURES

    def goes_on(self, now: float) -> float:
        """Counts one more request that got no response. Returns the length in seconds of the pause that begins now, or
        0 if no pause begins."""
        if self.pause.is_on(now):
            return 0.0  # the request was sent before the pause, and failed for the same reason
        self.count += 1
        return self.pause.begin(now) if self.is_long else 0.0


@dataclass(slots=True)
class _Stream:
    """The messages of one source and kind to one destination."""

    silence: _Silence = field(default_factory=_Silence)
    has_probe: bool = False

    def rests_for(self, now: float, probe_s: float) -> float | None:
        """Returns the seconds for which these messages remain paused, or None if the courier may send one of them."""
        if not self.silence.is_long:
            return None
        if self.silence.pause.is_on(now):
            return self.silence.pause.until - now
        return probe_s if self.has_probe else None


@dataclass(slots=True)
class Destination:
    """One participant that receives messages. Times are of a monotonic clock, in seconds."""

    id: int
    has_news: bool = False
    open_requests: int = 0
    open_octets: int = 0
    open_by_source: Counter[int] = field(default_factory=Counter)
    _postponed: Counter[int] = field(default_factory=Counter)  # by source, since the last regular check
    _silence: _Silence = field(default_factory=_Silence)
    _silent_sources: set[int] = field(default_factory=set)
    _streams: dict[tuple[int, str], _Stream] = field(default_factory=dict)

    def room(self, now: float, *, most: int, most_at_once: int, most_octets: int) -> Room | None:
        """Returns how many messages and bytes the courier may send to this destination now.

        Returns None if the courier may not send any message.
        """
        if self._silence.pause.is_on(now):
            return None
        messages = min(most_at_once, (_PROBES if self._is_silent else most) - self.open_requests)
        octets = most_octets - self.open_octets
        return Room(messages, octets) if messages > 0 and octets > 0 else None

    def pause_before(self, message: Claimed, now: float, *, probe_s: float) -> float | None:
        """Returns the seconds for which this message remains paused, or None if the courier may send the message.

        `probe_s` is a request's deadline.
        """
        stream = self._streams.get((message.source_id, message.kind))
        if stream is None or not stream.silence.is_long or self._is_silent:
            return None
        seconds = stream.rests_for(now, probe_s)
        if seconds is None:
            stream.has_probe = True
        return seconds

    def begins(self, message: Claimed) -> None:
        """Counts a request to the destination when it begins."""
        self.open_requests += 1
        self.open_octets += len(message.body)
        self.open_by_source[message.source_id] += 1

    def ends(self, message: Claimed) -> None:
        """Counts a request to the destination when it has ended."""
        self.open_requests -= 1
        self.open_octets -= len(message.body)
        self.open_by_source[message.source_id] -= 1
        if not self.open_by_source[message.source_id]:
            del self.open_by_source[message.source_id]

    def postponed(self, counts: Mapping[int, int]) -> None:
        """Counts messages that were claimed and postponed, by source."""
        self._postponed.update(counts)

    def crowded(self, now: float, *, probe_s: float) -> list[Paused]:
        """Returns the paused streams of each source for which the courier has reached its limit of postponed
        messages."""
        if self._is_silent:
            return []
        return [
            Paused(self.id, source_id, kind, seconds)
            for (source_id, kind), stream in self._streams.items()
            if self._postponed[source_id] >= _POSTPONED_AT_MOST
            and (seconds := stream.rests_for(now, probe_s)) is not None
        ]

    def checked(self) -> None:
        """After a regular check, lets the courier postpone messages again."""
        self._postponed.clear()

    def taken_by_source(self) -> dict[int, int]:
        """Returns each source's number of occupied places. A source with many postponed messages has no free place."""
        resting = {source: _NONE_FREE for source, count in self._postponed.items() if count >= _POSTPONED_AT_MOST}
        return {**self.open_by_source, **resting}

    def answered(self, message: Claimed) -> None:
        """Records that the destination has responded. A refusal of the message is also a response."""
        if self._is_silent:
            self._streams.clear()  # the cause of all missing responses has ended
        self._streams.pop((message.source_id, message.kind), None)
        self._silence = _Silence()
        self._silent_sources.clear()

    def was_unsent(self, message: Claimed) -> None:
        """Records a message that the hub itself could not send, so that the courier may send another probe."""
        stream = self._streams.get((message.source_id, message.kind))
        if stream is not None:
            stream.has_probe = False

    def was_silent(self, message: Claimed, now: float) -> float:
        """Records a request without a response.

        Returns the pause's length in seconds if the whole destination pauses now, and otherwise 0.
        """
        stream = self._streams.setdefault((message.source_id, message.kind), _Stream())
        stream.has_probe = False
        stream.silence.goes_on(now)
        self._silent_sources.add(message.source_id)
        if len(self._silent_sources) < _SEVERAL_SOURCES:
            return 0.0
        return self._silence.goes_on(now)

    def could_not_be_claimed(self, now: float) -> float:
        """Records that the database failed only for the messages of this destination.

        Returns the pause's length in seconds.
        """
        self._silence.count = max(self._silence.count, FAILURES - 1)
        self._silent_sources |= {-1, -2}  # no source has these two ids, so the courier pauses the whole destination
        return self._silence.goes_on(now)

    @property
    def _is_silent(self) -> bool:
        return self._silence.is_long


def open_by_source(destinations: Mapping[int, Destination]) -> dict[tuple[int, int], int]:
    """Returns, for a claim, the number of open requests for each pair (destination, source)."""
    return {
        (destination.id, source_id): count
        for destination in destinations.values()
        for source_id, count in destination.taken_by_source().items()
    }
