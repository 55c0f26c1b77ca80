"""What a profile says about a window of time: number, sum, distinct counterparties, first and last payment. Pure."""

from dataclasses import dataclass

from rules.profiles.ring import Direction, Profile

SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Tally:
    """The payments of one direction and currency in a window."""

    count: int
    value: int
    kept: int  # how many of them the profile keeps one by one
    is_exact: bool
    """False if a bucket has payments inside of the window and maybe others before it. Then all of them are counted."""


def tally(profile: Profile, direction: Direction, currency: str, since: int, *, refunds: bool = False) -> Tally:
    """Counts and adds up the payments since this moment."""
    kept = value = 0
    for event in reversed(profile.events):
        if event.moment < since:
            break
        if event.direction == direction and event.currency == currency and event.is_refund == refunds:
            kept += 1
            value += event.amount
    count, is_exact = kept, True
    for key, bucket in profile.buckets.items():
        if (
            bucket.latest >= since
            and key.direction == direction
            and key.currency == currency
            and key.is_refund == refunds
        ):
            count += bucket.count
            value += bucket.value
            is_exact = is_exact and (key.start >= since)
    return Tally(count, value, kept, is_exact)


def count_in_all_currencies(profile: Profile, direction: Direction, since: int) -> int:
    """Returns the number of payments of this direction since this moment, without refunds. It may be too high."""
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
    """False if payments inside of the window may be folded, whose counterparties are not known any more."""


def distinct(profile: Profile, direction: Direction, currency: str, since: int) -> Distinct:
    """Returns the different parties that the subject paid or was paid by since this moment, without refunds."""
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
    """Returns when the subject's first payment was. If it is folded, the beginning of its hour, day or month."""
    moments = [key.start for key in profile.buckets]
    if profile.events:
        moments.append(profile.events[0].moment)
    return min(moments, default=None)


def last_moment(profile: Profile) -> int | None:
    """Returns when the subject's latest payment was."""
    moments = [bucket.latest for bucket in profile.buckets.values()]
    if profile.events:
        moments.append(profile.events[-1].moment)
    return max(moments, default=None)
