"""One courier's record of its destinations: their open requests, and the pauses after missing responses. Pure.

Only missing responses cause a pause: a refused connection, or a request that gets no response in time. After any
response, even an error, the destination counts as working. A message that the hub itself could not send causes no
pause.

If messages of one source and kind get no response, the courier pauses only messages of this source and kind. The reason
is that a DFSP's server can hang on one kind of message, or on messages of one participant, and still accept all other
messages. The courier pauses a whole destination only if messages of several sources get no response, and no other
message gets a response. Each process has a record of its own.

A message must wait during a pause, or until an earlier message of the same subject is delivered. The courier detects
this only after it has claimed the message. Then the courier postpones the message. For a source with a million waiting
messages, these claims would occupy a whole CPU core. So between two regular checks, the courier postpones only a
limited number of each source's messages to a destination. After that, the courier claims no more of these messages
until the next regular check. At the regular check, one SQL statement postpones many more messages of the source's
paused kinds. So messages of paused kinds do not delay the source's other messages for long.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from hub.growing_pauses import FAILURES, GrowingPause
from hub.outbox.claims import Claimed, Paused, Room

_FIRST_PAUSE_S = 0.5
_PROBES = 4  # the largest number of open requests, from several sources, to a destination that does not respond
_SEVERAL_SOURCES = 2
_POSTPONED_AT_MOST = 300  # the largest number of postponed messages of one source between two regular checks
_NONE_FREE = 1_000_000  # replaces a source's number of open requests, so that claims take no more of its messages


@dataclass(slots=True)
class _Silence:
    """The number of requests in a row that got no response, and the pause that results from this number."""

    count: int = 0
    pause: GrowingPause = field(default_factory=lambda: GrowingPause(_FIRST_PAUSE_S))

    @property
    def is_long(self) -> bool:
        return self.count >= FAILURES

    def goes_on(self, now: float) -> float:
        """Counts one more request without a response. If a pause begins now, returns its length in seconds, and
        otherwise 0."""
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
        """Returns for how many seconds these messages must still wait. Returns None if the courier is allowed to send
        one of them."""
        if not self.silence.is_long:
            return None
        if self.silence.pause.is_on(now):
            return self.silence.pause.until - now
        return probe_s if self.has_probe else None


@dataclass(slots=True)
class Destination:
    """A participant that receives messages. All times are seconds of a monotonic clock."""

    id: int
    has_news: bool = False
    open_requests: int = 0
    open_octets: int = 0
    open_by_source: Counter[int] = field(default_factory=Counter)
    # the number of each source's postponed messages since the last regular check
    _postponed: Counter[int] = field(default_factory=Counter)
    _silence: _Silence = field(default_factory=_Silence)
    _silent_sources: set[int] = field(default_factory=set)
    _streams: dict[tuple[int, str], _Stream] = field(default_factory=dict)

    def room(self, now: float, *, most: int, most_at_once: int, most_octets: int) -> Room | None:
        """Returns how many messages and bytes the courier is allowed to send to this destination now. Returns None if
        the courier is not allowed to send any message.
        """
        if self._silence.pause.is_on(now):
            return None
        messages = min(most_at_once, (_PROBES if self._is_silent else most) - self.open_requests)
        octets = most_octets - self.open_octets
        return Room(messages, octets) if messages > 0 and octets > 0 else None

    def pause_before(self, message: Claimed, now: float, *, probe_s: float) -> float | None:
        """Returns for how many seconds this message must still wait. Returns None if the courier is allowed to send the
        message. `probe_s` is the longest time that a request can take.
        """
        stream = self._streams.get((message.source_id, message.kind))
        if stream is None or not stream.silence.is_long or self._is_silent:
            return None
        seconds = stream.rests_for(now, probe_s)
        if seconds is None:
            stream.has_probe = True
        return seconds

    def begins(self, message: Claimed) -> None:
        """Records the beginning of a request to the destination."""
        self.open_requests += 1
        self.open_octets += len(message.body)
        self.open_by_source[message.source_id] += 1

    def ends(self, message: Claimed) -> None:
        """Records the end of a request to the destination."""
        self.open_requests -= 1
        self.open_octets -= len(message.body)
        self.open_by_source[message.source_id] -= 1
        if not self.open_by_source[message.source_id]:
            del self.open_by_source[message.source_id]

    def postponed(self, counts: Mapping[int, int]) -> None:
        """Records, for each source, the number of messages that were claimed and then postponed."""
        self._postponed.update(counts)

    def crowded(self, now: float, *, probe_s: float) -> list[Paused]:
        """Returns the paused streams of all sources for which the number of postponed messages has reached the
        limit."""
        if self._is_silent:
            return []
        return [
            Paused(self.id, source_id, kind, seconds)
            for (source_id, kind), stream in self._streams.items()
            if self._postponed[source_id] >= _POSTPONED_AT_MOST
            and (seconds := stream.rests_for(now, probe_s)) is not None
        ]

    def checked(self) -> None:
        """At a regular check, sets the numbers of postponed messages back to zero."""
        self._postponed.clear()

    def taken_by_source(self) -> dict[int, int]:
        """Returns the number of open requests of each source. If the source has reached the limit of postponed
        messages, returns a huge number instead, so that a claim takes no more messages of this source."""
        resting = {source: _NONE_FREE for source, count in self._postponed.items() if count >= _POSTPONED_AT_MOST}
        return {**self.open_by_source, **resting}

    def answered(self, message: Claimed) -> None:
        """Records that the destination has responded, even if the response was a refusal of the message."""
        if self._is_silent:
            self._streams.clear()  # the common cause has ended, so no stream stays paused
        self._streams.pop((message.source_id, message.kind), None)
        self._silence = _Silence()
        self._silent_sources.clear()

    def was_unsent(self, message: Claimed) -> None:
        """Records that the hub itself could not send the message. If the message was a probe, the courier can send
        another probe."""
        stream = self._streams.get((message.source_id, message.kind))
        if stream is not None:
            stream.has_probe = False

    def was_silent(self, message: Claimed, now: float) -> float:
        """Records a request without a response. If a pause of the whole destination begins now, returns its length in
        seconds, and otherwise 0.
        """
        stream = self._streams.setdefault((message.source_id, message.kind), _Stream())
        stream.has_probe = False
        stream.silence.goes_on(now)
        self._silent_sources.add(message.source_id)
        if len(self._silent_sources) < _SEVERAL_SOURCES:
            return 0.0
        return self._silence.goes_on(now)

    def could_not_be_claimed(self, now: float) -> float:
        """Records that the database refused the claim for this destination's messages, but accepted the other claims.
        Pauses the destination, and returns the length of the pause in seconds.
        """
        self._silence.count = max(self._silence.count, FAILURES - 1)
        # the ids of two invented sources: a destination is paused only if several sources get no response
        self._silent_sources |= {-1, -2}
        return self._silence.goes_on(now)

    @property
    def _is_silent(self) -> bool:
        return self._silence.is_long


def open_by_source(destinations: Mapping[int, Destination]) -> dict[tuple[int, int], int]:
    """Returns the number of open requests for each pair (destination, source), in the form that `claims.claim`
    needs."""
    return {
        (destination.id, source_id): count
        for destination in destinations.values()
        for source_id, count in destination.taken_by_source().items()
    }
