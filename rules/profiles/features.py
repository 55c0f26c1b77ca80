"""Computes values about a profile's payments in a window of time: number, sum, counterparties, first and last payment.

Pure.
"""

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

import msgspec

from rules.profiles.events_and_buckets import Direction, Event, Profile

SECOND = 1_000_000


class Tally(msgspec.Struct, frozen=True, gc=False):
    """The payments of one direction and currency in a window."""

    count: int
    value: int
    kept: int  # the number of these payments that the profile keeps separately
    certain: int
    """At least this number of payments is in the window: the payments that the profile keeps separately, and the
    payments in buckets that begin in the window."""
    is_exact: bool
    """False if a bucket with payments inside the window may also have payments before the window.

    The count then includes the whole bucket.
    """


class Series(msgspec.Struct, gc=False):
    """The payments of one direction and currency. From this object, the hub counts the payments in windows of any
    length."""

    events: list[Event]
    moments: list[int]
    folded: list[tuple[int, int, int, int]]  # for each bucket: start, latest payment, number of payments, total
    sums: list[int] | None = None
    """The sums of the amounts before each moment, and the sum of all amounts. The value is None until the first call of
    `since`, because most series are only counted."""

    def number_since(self, moment: int) -> int:
        """Counts the payments since this moment. Call this function only for a profile that keeps every payment
        separately."""
        return len(self.moments) - bisect_left(self.moments, moment)

    def since(self, moment: int) -> Tally:
        """Returns the number of the payments since this moment, and the sum of their amounts."""
        if self.sums is None:
            self.sums = list(accumulate([event.amount for event in self.events], initial=0))
        first = bisect_left(self.moments, moment)
        count = kept = certain = len(self.moments) - first
        value = self.sums[-1] - self.sums[first]
        for start, latest, number, total in self.folded:
            if latest >= moment:
                count += number
                value += total
                if start >= moment:
                    certain += number
        return Tally(count, value, kept, certain, certain == count)


def series(profile: Profile, direction: Direction, currency: str, *, refunds: bool = False) -> Series:
    """Returns the payments that have this direction and currency.

    The result contains either only refunds, or only payments that are not refunds.
    """
    wanted = int(direction)
    events = [
        event
        for event in profile.events
        if event.direction == wanted and event.is_refund == refunds and event.currency == currency
    ]
    folded = [
        (key.start, bucket.latest, bucket.count, bucket.value)
        for key, bucket in profile.buckets.items()
        if key.direction == direction and key.currency == currency and key.is_refund == refunds
    ]
    return Series(events, [event.moment for event in events], folded)


def tally(profile: Profile, direction: Direction, currency: str, since: int, *, refunds: bool = False) -> Tally:
    """Returns the number of the payments since this moment, and the sum of their amounts."""
    return series(profile, direction, currency, refunds=refunds).since(since)


def count_in_all_currencies(profile: Profile, direction: Direction, since: int) -> int:
    """Returns the number of the profile's payments in this direction since this moment. Does not count refunds. The
    returned number can be too high."""
    kept = sum(
        event.moment >= since and event.direction == direction and not event.is_refund for event in profile.events
    )
    folded = sum(
        bucket.count
        for key, bucket in profile.buckets.items()
        if bucket.latest >= since and key.direction == direction and not key.is_refund
    )
    return kept + folded


@dataclass(frozen=True, slots=True)
class Distinct:
    """The counterparties in a window."""

    parties: frozenset[int]
    kept: int
    is_exact: bool
    """False if a bucket can have payments inside the window, because a bucket keeps no counterparties."""


def distinct(profile: Profile, direction: Direction, currency: str, since: int) -> Distinct:
    """Returns the different counterparties of the subject's payments in this direction since this moment. Refunds are
    left out."""
    parties: set[int] = set()
    kept = 0
    for event in reversed(profile.events):
        if event.moment < since:
            break
        if event.direction == direction and event.currency == currency and not event.is_refund:
            kept += 1
            if event.counterparty:
                parties.add(event.counterparty)
    are_folded = any(
        bucket.latest >= since and key.direction == direction and key.currency == currency and not key.is_refund
        for key, bucket in profile.buckets.items()
    )
    return Distinct(frozenset(parties), kept, not are_folded)


def first_moment(profile: Profile) -> int | None:
    """Returns the time of the subject's first payment.

    If this payment is in a bucket, returns the beginning of the hour, day or month that the bucket counts.
    """
    moments = [key.start for key in profile.buckets]
    if profile.events:
        moments.append(profile.events[0].moment)
    return min(moments, default=None)


def last_moment(profile: Profile) -> int | None:
    """Returns the time of the subject's latest payment."""
    moments = [bucket.latest for bucket in profile.buckets.values()]
    if profile.events:
        moments.append(profile.events[-1].moment)
    return max(moments, default=None)
