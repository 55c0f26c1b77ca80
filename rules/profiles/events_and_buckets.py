"""The profile of a party. A profile contains each of the latest payments separately. For earlier payments, a profile
contains only sums for each hour, day or month. Pure.

An event is one payment in which the profile's subject took part. Payments of one class have the same direction and
currency. A class contains either only refunds, or no refunds. For each class, a profile keeps the latest `KEPT` events
separately. Older events are added to buckets. A bucket keeps the time of its latest event. So a reader can see whether
the bucket has events in a window. If many of the latest events are removed, a profile keeps fewer events separately.
`keep_again` then moves events from the buckets back.

Each profile has two boundaries, which separate buckets of different lengths. The bucket of an event depends only on the
event's time and on these boundaries. So the sums do not depend on the order of additions and removals. The order of
additions and removals affects only the choice of the events that the profile keeps separately.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import IntEnum

import msgspec

KEPT = 64
"""The number of events of one class that a profile keeps separately."""

HOUR = 3_600_000_000  # all times are in microseconds since the beginning of 1970
DAY = 24 * HOUR
MONTH = 30 * DAY
_HOURS_FOR = 2 * DAY  # each bucket up to this age covers one hour
_DAYS_FOR = 33 * DAY  # each bucket up to this age covers one hour or one day; this age exceeds the longest window

_FORMAT = 1


class Direction(IntEnum):
    """Whether the subject sent or received a payment."""

    SENT = 0
    RECEIVED = 1


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False, order=True):
    """One payment, in the profile of the payer or in the profile of the payee."""

    moment: int  # the time of the reservation
    ref: int  # a hash of the transfer's id
    direction: int
    is_refund: bool
    currency: str
    amount: int  # ten-thousandths
    counterparty: int  # the key of the counterparty, or 0 if the key is not known


class BucketKey(msgspec.Struct, frozen=True, order=True, gc=False):
    start: int
    length: int  # HOUR, DAY or MONTH
    direction: int
    is_refund: bool
    currency: str


class Bucket(msgspec.Struct, gc=False):
    count: int
    value: int
    latest: int  # No event in the bucket is later than this time. After a removal, all events can be earlier.


def _class_of(event: Event) -> tuple[int, bool, str]:
    return event.direction, event.is_refund, event.currency


class Profile:
    """The payments of one subject. The methods change the profile in place.

    `is_changed` is True if the profile must be saved.
    """

    __slots__ = (
        "buckets",
        "counted",
        "days_from",
        "events",
        "hours_from",
        "is_changed",
        "kept_of",
        "moved_at",
        "received",
        "sent",
        "served_by",
    )

    def __init__(self) -> None:
        self.events: list[Event] = []  # in order
        self.buckets: dict[BucketKey, Bucket] = {}
        # The number of events of each class that the profile keeps separately. The value is None until the profile has
        # more events than it keeps separately.
        self.kept_of: dict[tuple[int, bool, str], int] | None = None
        self.hours_from = 0  # a bucket of one hour has no events before this time
        self.days_from = 0  # a bucket of one day has no events before this time
        self.counted = 0  # the number of all events
        self.sent = 0  # the sum of all sent amounts in all currencies; only for the comparison with transfers
        self.received = 0
        # The participant that served the subject at the latest received payment. If this participant has changed, also
        # the time of the change. When a payment is removed, these values stay unchanged. So the hub never compares
        # these values with the transfers.
        self.served_by = 0
        self.moved_at = 0
        self.is_changed = False

    def note_dfsp(self, dfsp: int, moment: int) -> None:
        """Stores which participant served the subject when the subject received a payment."""
        if dfsp != self.served_by:
            if self.served_by:
                self.moved_at = max(self.moved_at, moment)
            self.served_by = dfsp
            self.is_changed = True

    def add(self, event: Event) -> None:
        """Counts a payment."""
        events = self.events
        if not events or events[-1] <= event:
            events.append(event)
        else:
            insort(events, event)
        self._note_kept(event, 1)
        self._move_totals(event, 1)
        if len(events) > KEPT:
            self._fold_oldest_like(event)

    def remove(self, event: Event) -> bool:
        """Removes a payment. If the profile cannot contain this payment, returns False and changes nothing."""
        place = bisect_left(self.events, event)
        if place < len(self.events) and self.events[place] == event:
            del self.events[place]
            self._note_kept(event, -1)
        elif not self._take_from_bucket(event):
            return False
        self._move_totals(event, -1)
        return True

    def keep_again(self, direction: Direction, currency: str, latest: Iterable[Event], *, others_until: int) -> None:
        """Keeps these events separately, although the profile has added some of them to buckets.

        The events are the latest payments of this direction and currency, without refunds. The profile must contain
        all these events. The profile's other events of this class must not be later than `others_until`.
        """
        for event in latest:
            place = bisect_left(self.events, event)
            is_kept = place < len(self.events) and self.events[place] == event
            if not is_kept and self._take_from_bucket(event):
                self.events.insert(place, event)
                self._note_kept(event, 1)
        for key, bucket in self.buckets.items():
            if (key.direction, key.is_refund, key.currency) == (direction, False, currency):
                bucket.latest = min(bucket.latest, others_until)
        self.is_changed = True

    def _take_from_bucket(self, event: Event) -> bool:
        bucket = self.buckets.get(key := self.bucket_of(event))
        if bucket is None or bucket.value < event.amount or event.moment > bucket.latest:
            return False
        bucket.count -= 1
        bucket.value -= event.amount
        if bucket.count == 0:
            del self.buckets[key]
        return True

    def bucket_of(self, event: Event) -> BucketKey:
        """Returns the bucket to which the profile adds this event."""
        length = HOUR if event.moment >= self.hours_from else DAY if event.moment >= self.days_from else MONTH
        start = event.moment - event.moment % length
        return BucketKey(start, length, event.direction, event.is_refund, event.currency)

    def _move_totals(self, event: Event, sign: int) -> None:
        self.counted += sign
        if event.direction == 0:  # sent
            self.sent += sign * event.amount
        else:
            self.received += sign * event.amount
        self.is_changed = True

    def _note_kept(self, event: Event, sign: int) -> None:
        if self.kept_of is not None:
            kind = _class_of(event)
            self.kept_of[kind] = self.kept_of.get(kind, 0) + sign

    def _fold_oldest_like(self, event: Event) -> None:
        if self.kept_of is None:
            self.kept_of = Counter(map(_class_of, self.events))
        kind = _class_of(event)
        while self.kept_of[kind] > KEPT:  # `keep_again` can keep more events
            oldest = next(place for place, other in enumerate(self.events) if _class_of(other) == kind)
            folded = self.events.pop(oldest)
            self._note_kept(folded, -1)
            self._coarsen(self.events[-1].moment)
            self._put(self.bucket_of(folded), Bucket(1, folded.amount, folded.moment))

    def _coarsen(self, now: int) -> None:
        """Moves the boundaries. Merges buckets of hours into days, and buckets of days into months."""
        hours_from = now - _HOURS_FOR - (now - _HOURS_FOR) % DAY
        if hours_from <= self.hours_from:
            return
        self.hours_from = hours_from
        self.days_from = max(self.days_from, now - _DAYS_FOR - (now - _DAYS_FOR) % MONTH)
        for key in [each for each in self.buckets if self._is_too_fine(each)]:
            bucket = self.buckets.pop(key)
            length = DAY if key.start >= self.days_from else MONTH
            start = key.start - key.start % length
            self._put(BucketKey(start, length, key.direction, key.is_refund, key.currency), bucket)

    def _is_too_fine(self, key: BucketKey) -> bool:
        return (key.length == HOUR and key.start < self.hours_from) or (
            key.length == DAY and key.start < self.days_from
        )

    def _put(self, key: BucketKey, more: Bucket) -> None:
        bucket = self.buckets.get(key)
        if bucket is None:
            self.buckets[key] = more
            return
        bucket.count += more.count
        bucket.value += more.value
        bucket.latest = max(bucket.latest, more.latest)


class _Stored(msgspec.Struct, array_like=True, gc=False):
    """The stored form of a profile. Sums are stored as texts, because a sum can be too large for 64 bits."""

    form: int
    hours_from: int
    days_from: int
    counted: int
    sent: str
    received: str
    served_by: int
    moved_at: int
    events: list[Event]
    buckets: list[tuple[int, int, int, bool, str, int, str, int]]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Stored)


def to_bytes(profile: Profile) -> bytes:
    """Encodes a profile for the database."""
    buckets = [
        (k.start, k.length, k.direction, k.is_refund, k.currency, b.count, str(b.value), b.latest)
        for k, b in sorted(profile.buckets.items())
    ]
    return _ENCODER.encode(
        _Stored(
            form=_FORMAT,
            hours_from=profile.hours_from,
            days_from=profile.days_from,
            counted=profile.counted,
            sent=str(profile.sent),
            received=str(profile.received),
            served_by=profile.served_by,
            moved_at=profile.moved_at,
            events=profile.events,
            buckets=buckets,
        )
    )


def from_bytes(stored: bytes) -> Profile:
    """Decodes a profile. Decodes empty bytes as a profile without payments."""
    profile = Profile()
    if not stored:
        return profile
    read = _DECODER.decode(stored)
    if read.form != _FORMAT:
        raise ValueError(f"profiles of format {read.form} cannot be read")
    profile.events = read.events
    profile.hours_from, profile.days_from = read.hours_from, read.days_from
    profile.counted, profile.sent, profile.received = read.counted, int(read.sent), int(read.received)
    profile.served_by, profile.moved_at = read.served_by, read.moved_at
    for start, length, direction, is_refund, currency, count, value, latest in read.buckets:
        profile.buckets[BucketKey(start, length, direction, is_refund, currency)] = Bucket(count, int(value), latest)
    return profile


def of_events(events: Iterable[Event]) -> Profile:
    """Creates the profile of these payments."""
    profile = Profile()
    for event in sorted(events):
        profile.add(event)
    return profile


def differences(profile: Profile, events: Iterable[Event]) -> Iterator[str]:
    """Compares a stored profile with the payments that the profile should contain, and yields each difference.

    The events that a profile keeps separately can differ, because they depend on the order of additions and removals. A
    profile must contain each event, either separately or in a bucket.
    """
    expected = set(events)
    kept = set(profile.events)
    if len(kept) != len(profile.events) or profile.events != sorted(profile.events):
        yield "its events are not in order, or an event occurs twice"
    for event in sorted(kept - expected):
        yield f"it has a payment of {event.currency} {event.amount} that should not be counted"
    sums: dict[BucketKey, Bucket] = {}
    for event in expected - kept:
        bucket = sums.setdefault(profile.bucket_of(event), Bucket(0, 0, 0))
        bucket.count += 1
        bucket.value += event.amount
        bucket.latest = max(bucket.latest, event.moment)
    for key in sorted(sums.keys() | profile.buckets.keys()):
        should, has = sums.get(key, Bucket(0, 0, 0)), profile.buckets.get(key, Bucket(0, 0, 0))
        if (should.count, should.value) != (has.count, has.value) or has.latest < should.latest:
            yield (
                f"a sum of {key.currency} has {has.count} payments of {has.value}"
                f" instead of {should.count} of {should.value}"
            )
    sent = sum(event.amount for event in expected if event.direction == Direction.SENT)
    received = sum(event.amount for event in expected if event.direction == Direction.RECEIVED)
    if (profile.counted, profile.sent, profile.received) != (len(expected), sent, received):
        yield (
            f"its totals are {profile.counted} payments, {profile.sent} sent and {profile.received} received"
            f" instead of {len(expected)}, {sent} and {received}"
        )
