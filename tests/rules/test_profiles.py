"""Profiles against a plain list of payments: whatever is added and removed, in any order, every sum is the list's."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.profiles import events_and_buckets, features
from rules.profiles.events_and_buckets import DAY, HOUR, KEPT, Direction, Event, Profile

START = 1_800_000_000_000_000 - 1_800_000_000_000_000 % DAY


def event(
    moment: int, ref: int, *, direction: int = 0, refund: bool = False, currency: str = "TZS", **more: int
) -> Event:
    return Event(moment, ref, direction, refund, currency, more.get("amount", 100), more.get("counterparty", 7))


events = st.builds(
    Event,
    moment=st.one_of(st.integers(0, 3 * HOUR), st.integers(0, 90 * DAY)).map(START.__add__),
    ref=st.integers(0, 2**63 - 1),
    direction=st.sampled_from([0, 1]),
    is_refund=st.sampled_from([False, False, False, True]),
    currency=st.sampled_from(["TZS", "TZS", "KES"]),
    amount=st.integers(1, 10**18),
    counterparty=st.integers(1, 5),
)
# Many payments of one class, so that they are folded.
bursts = st.builds(
    lambda first, step, count: [event(START + first + step * n, n, counterparty=n % 9 + 1) for n in range(count)],
    st.integers(0, 40 * DAY),
    st.sampled_from([1, HOUR // 7, HOUR, 7 * HOUR]),
    st.integers(KEPT - 2, 3 * KEPT),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(events.map(lambda each: [each]), bursts), max_size=8), st.randoms(use_true_random=False))
def test_every_sum_is_that_of_the_list_whatever_the_order_of_additions_and_removals(
    groups: list[list[Event]], chance: object
) -> None:
    profile, payments = Profile(), set[Event]()
    for each in [each for group in groups for each in group]:
        if each not in payments:
            profile.add(each)
            payments.add(each)
        if payments and chance.random() < 0.3:  # type: ignore[attr-defined]
            gone = chance.choice(sorted(payments))  # type: ignore[attr-defined]
            assert profile.remove(gone)
            payments.remove(gone)
    profile = events_and_buckets.from_bytes(events_and_buckets.to_bytes(profile))
    assert list(events_and_buckets.differences(profile, payments)) == []
    kept = Counter((each.direction, each.is_refund, each.currency) for each in profile.events)
    assert max(kept.values(), default=0) <= KEPT
    for direction in Direction:
        for currency in ("TZS", "KES"):
            for refunds in (False, True):
                for since in (0, START + HOUR, START + 2 * DAY + 5 * HOUR, START + 41 * DAY + 1):
                    _check_window(profile, payments, direction, currency, since, refunds)


def _check_window(
    profile: Profile, payments: set[Event], direction: Direction, currency: str, since: int, refunds: bool
) -> None:
    inside = [
        each
        for each in payments
        if (each.direction, each.currency, each.is_refund) == (direction, currency, refunds) and each.moment >= since
    ]
    tally = features.tally(profile, direction, currency, since, refunds=refunds)
    found = (tally.count, tally.value)
    true = (len(inside), sum(each.amount for each in inside))
    assert found == true if tally.is_exact else found >= true
    assert tally.kept <= len(inside)
    if not refunds:
        distinct = features.distinct(profile, direction, currency, since)
        parties = {each.counterparty for each in inside}
        assert distinct.parties == parties if distinct.is_exact else distinct.parties <= parties


@settings(max_examples=40, deadline=None)
@given(bursts, st.sampled_from([HOUR, DAY, 31 * DAY]), st.integers(1, KEPT))
def test_a_limit_on_the_count_is_always_exact(burst: list[Event], window: int, limit: int) -> None:
    """As many are admitted as the limit says, judged by the profile alone; some of the admitted are aborted again."""
    profile, admitted = Profile(), list[Event]()
    for number, each in enumerate(burst):
        since = each.moment - window + 1
        tally = features.tally(profile, Direction.SENT, "TZS", since)
        true = sum(other.moment >= since for other in admitted)
        assert tally.is_exact
        assert tally.count == true
        if true < limit:
            profile.add(each)
            admitted.append(each)
        if number % 5 == 4 and admitted:
            profile.remove(gone := admitted.pop(len(admitted) // 2))
            assert gone not in profile.events


def test_a_payment_that_is_not_counted_is_not_removed() -> None:
    profile = events_and_buckets.of_events([event(START, 1)])
    before = events_and_buckets.to_bytes(profile)
    assert not profile.remove(event(START, 2))
    assert not profile.remove(event(START, 1, direction=1))
    assert events_and_buckets.to_bytes(profile) == before


def test_old_payments_take_little_room_and_keep_the_age_of_their_subject() -> None:
    many = [event(START + n * HOUR // 2, n) for n in range(24 * 2 * 400)]  # each half hour for 400 days
    profile = events_and_buckets.of_events(many)
    assert list(events_and_buckets.differences(profile, many)) == []
    assert len(profile.buckets) < 130
    first = features.first_moment(profile)
    assert first is not None
    assert 0 <= many[0].moment - first < events_and_buckets.MONTH
    assert features.last_moment(profile) == many[-1].moment


def test_each_difference_from_the_payments_is_told() -> None:
    many = [event(START + n, n, amount=10) for n in range(KEPT + 6)]
    profile = events_and_buckets.of_events(many)
    assert list(events_and_buckets.differences(profile, many)) == []
    told = {
        "lost": list(events_and_buckets.differences(events_and_buckets.of_events(many[:-1]), many)),
        "too many": list(events_and_buckets.differences(profile, many[:-1])),
        "folded and lost": list(events_and_buckets.differences(events_and_buckets.of_events(many[1:]), many)),
    }
    assert all(told.values()), told
    profile.events[-1] = event(many[-1].moment, many[-1].ref, amount=11)
    assert list(events_and_buckets.differences(profile, many))


def test_the_participant_that_serves_a_party_is_remembered_when_it_changes() -> None:
    profile = Profile()
    profile.note_dfsp(1, START)
    assert (profile.served_by, profile.moved_at) == (1, 0)
    profile.note_dfsp(1, START + 1)
    profile.note_dfsp(2, START + 2)
    profile.note_dfsp(2, START + 3)
    assert (profile.served_by, profile.moved_at) == (2, START + 2)
    assert events_and_buckets.from_bytes(events_and_buckets.to_bytes(profile)).moved_at == START + 2
