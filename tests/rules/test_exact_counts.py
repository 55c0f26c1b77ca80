"""A limit of k payments admits exactly k, also after so many aborts that a profile keeps too few of its payments."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import engine, quoted_facts
from ledger.rule_history import rebuild
from rules.facts import Facts
from rules.language.counter_types import Measure, Need
from rules.profiles import events_and_buckets, exact_counts, features, folding, store
from rules.profiles.counted_payments import CountedPayment, Keys, Role
from rules.profiles.counters import ProfileCounters
from rules.profiles.events_and_buckets import HOUR, KEPT, Direction, Profile
from rules.profiles.store import Latest, Unfolded
from rules.rulesets import decisions
from tests.rules.limits import activate, facts_in, key_of_customer, limit, pay, quoted
from tests.sweeps.statements import all_statements
from tests.world import World, reject

CASH = {"scenarios": ["WITHDRAWAL"]}
BEFORE = 30  # payments that the limits do not cover


@pytest.fixture(autouse=True)
def _small_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles keep few payments, and no window begins at the beginning of a bucket."""
    monkeypatch.setattr(events_and_buckets, "KEPT", 12)
    monkeypatch.setattr(exact_counts, "KEPT", 12)
    monkeypatch.setattr(events_and_buckets, "HOUR", 10**15)
    monkeypatch.setattr(decisions, "is_sampled", lambda subject: False)


@pytest.fixture(autouse=True)
def withdrawals(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The ids of the transfers that are withdrawals. All others are transfers from one person to another."""
    ids: set[str] = set()
    aliases.clear()

    def facts(prepares: Any) -> Any:
        found = {}
        for each in prepares:
            scenario = "WITHDRAWAL" if each.transfer_id in ids else "TRANSFER"
            alias = {"payee_alias": 7} if each.transfer_id in aliases else {}
            found[each.digest] = quoted(facts_in(each, scenario=scenario, **alias), each.transfer_id)
        return found

    monkeypatch.setattr(quoted_facts, "of", facts)
    return ids


aliases: set[str] = set()


def kinds(outcomes: Sequence[Any]) -> list[str]:
    return [type(outcome).__name__ for outcome in outcomes]


def differences(world: World) -> list[str]:
    return [*(each.text for each in rebuild.compare_now().differences), *world.breaks()]


LIMITS: dict[str, list[dict[str, Any]]] = {
    "payer count": [limit(above=5, when=CASH)],
    "payer value": [limit("payer.sent_value", above="5", when=CASH), limit(above=10, when=CASH)],
    "payee count": [limit("payee.received_count", above=5, when=CASH)],
    "payee value": [
        limit("payee.received_value", above="5", when=CASH),
        limit("payee.received_count", above=10, when=CASH),
    ],
    "alias": [limit("alias.received_count", above=5, when=CASH)],
    "pair": [limit("pair.sent_count", above=5, when=CASH)],
    "payer DFSP": [limit("payer_dfsp.sent_count", above=5, when=CASH)],
    "payee DFSP": [limit("payee_dfsp.received_count", above=5, when=CASH)],
    "payees": [limit("payer.distinct_payees", above=5, when=CASH), limit(above=10, when=CASH)],
    "payers": [
        limit("payee.distinct_payers", above=5, when=CASH),
        limit("payee.received_count", above=10, when=CASH),
    ],
    "narrowed by DFSP": [limit(above=5, when={**CASH, "payee_dfsps": ["blue"]})],
}


@pytest.mark.parametrize("in_one_group", [False, True])
@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_exact_after_aborts_of_payments_that_it_does_not_cover(
    world: World, withdrawals: set[str], name: str, in_one_group: bool
) -> None:
    activate(*LIMITS[name])
    numbers = iter(range(10, 1000))

    def one() -> Any:
        number = next(numbers)
        command = pay(world, number if name == "payers" else 1, number if name == "payees" else 2)
        if name == "alias":
            aliases.add(command.transfer_id)
        return command

    before = [one() for _ in range(BEFORE)]
    assert kinds([*engine.run(before[:4]), *engine.run(before[4:])]) == ["Reserved"] * BEFORE
    asked = [one() for _ in range(3)]
    withdrawals |= {each.transfer_id for each in asked}
    ends = [reject(world, "blue", each.transfer_id) for each in before[4:]]  # the first four stay
    if in_one_group:
        outcomes = engine.run([*ends, *asked])
        assert kinds(outcomes[: len(ends)]) == ["Aborted"] * len(ends)
        found = kinds(outcomes[len(ends) :])
    else:
        engine.run(ends)
        found = [kinds(engine.run([each]))[0] for each in asked]
    assert found == ["Reserved", "Refused", "Refused"]
    assert differences(world) == []


def test_a_full_window_refuses_although_the_profile_keeps_few_of_its_payments(
    world: World, withdrawals: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_and_buckets, "KEPT", KEPT)
    monkeypatch.setattr(exact_counts, "KEPT", KEPT)
    activate(limit(above=20, window="PT1H", when=CASH))
    before = [pay(world, 1, 2) for _ in range(200)]
    for start in range(0, 200, 50):
        assert set(kinds(engine.run(before[start : start + 50]))) == {"Reserved"}
    engine.run([reject(world, "blue", each.transfer_id) for each in before[-50:]])
    asked = pay(world, 1, 2)
    withdrawals.add(asked.transfer_id)
    assert kinds(engine.run([asked])) == ["Refused"]
    assert differences(world) == []
    # An activation in a window that is already full is exact, too.
    activate(limit("payee.received_count", above=20, window="PT1H"))
    assert kinds(engine.run([pay(world, 3, 2)])) == ["Refused"]


def test_a_group_of_any_size_reads_the_payments_of_all_its_profiles_by_one_statement(
    world: World, withdrawals: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    activate(limit(above=5, when=CASH))
    counts = []
    for first, size in ((1, 1), (100, 12)):
        payers = range(first, first + size)
        engine.run([pay(world, payer, 2) for payer in payers for _ in range(4)])
        gone = [pay(world, payer, 2) for payer in payers for _ in range(16)]
        engine.run(gone)
        engine.run([reject(world, "blue", each.transfer_id) for each in gone])
        numbers = []
        for wanted in ("Reserved", "Refused"):
            asked = [pay(world, payer, 2) for payer in payers]
            withdrawals |= {each.transfer_id for each in asked}
            with all_statements(monkeypatch) as statements:
                assert kinds(engine.run(asked)) == [wanted] * size
            numbers.append(sum("CROSS JOIN LATERAL ((SELECT c.*" in str(each) for each in statements))
        counts.append((len(statements), numbers))
    assert counts[0] == counts[1]
    assert counts[0][1] == [1, 0], "the profile keeps the payments that were read"


def test_payments_and_aborts_that_wait_for_a_profile_are_counted_once(world: World) -> None:
    activate(limit(above=5, when=CASH), limit("payee.received_count", above=5, when=CASH))
    before = [pay(world, 1, 2) for _ in range(BEFORE)]
    engine.run(before)
    folding.fold_profiles(store.waiting(100, 100))
    engine.run([reject(world, "blue", each.transfer_id) for each in before[4:]])
    folding.fold_profiles(store.waiting(100, 100))
    late = [pay(world, 1, 2) for _ in range(3)]  # these rows wait
    engine.run(late)
    engine.run([reject(world, "blue", each.transfer_id) for each in (late[0], before[0])])
    key, now = key_of_customer(2), datetime.now(UTC)
    profile = store.lock([key])[0][key]
    need = Need("payee", "received_count", 86_400, exact=True, events=6)
    payments, waiting = store.latest([Latest(key, Role.PAYEE, "TZS", now - timedelta(days=1), 12, None, None)])
    assert {each.transfer_id for _, _, each in payments} == {each.transfer_id for each in (*before[1:4], *late[1:])}
    assert len(waiting) == 5
    waiting[0].apply_to(profile)
    found = exact_counts.keep_again(
        {key: profile}, [facts_in(late[0])], [need], now=now, ending=(), known={waiting[0].id}
    )
    assert {each.id for each in found} == {each.id for each in waiting[1:]}
    live = [each for _, _, each in payments]
    assert list(events_and_buckets.differences(profile, [each.event(Role.PAYEE) for each in live])) == []
    tally = features.tally(profile, Direction.RECEIVED, "TZS", 0)
    assert (tally.count, tally.is_exact) == (5, True)


# --- against a plain list of payments ---------------------------------------------------------------------------------

START = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
STEPS = st.one_of(
    st.tuples(st.just("pay"), st.integers(1, 30), st.sampled_from([0, 1, 60, 3_000])),
    st.tuples(st.just("abort latest"), st.integers(1, 30), st.just(0)),
    st.tuples(st.just("abort some"), st.integers(1, 5), st.integers(0, 99)),
    st.tuples(st.just("ask"), st.integers(0, 11), st.sampled_from([60, 3_600, 86_400, 10 * 86_400])),
)


@dataclass
class Story:
    """A payer's payments as a plain list, and its profile."""

    profile: Profile = field(default_factory=Profile)
    payments: list[CountedPayment] = field(default_factory=list)
    now: datetime = START
    number: int = 0

    def pay(self, count: int, every_s: int) -> None:
        for _ in range(count):
            self.now += timedelta(seconds=every_s)
            self.number += 1
            keys = Keys(payer=1, payee=2 + self.number % 7)
            payment = CountedPayment(f"t{self.number}", keys, 1, False, "TZS", 1 + self.number % 5, self.now)
            payment.add_to(self.profile, Role.PAYER)
            self.payments.append(payment)

    def abort(self, payments: Sequence[CountedPayment]) -> None:
        for payment in payments:
            assert payment.remove_from(self.profile, Role.PAYER)
            self.payments.remove(payment)

    def latest(self, wanted: Sequence[Latest]) -> tuple[list[tuple[int, Role, CountedPayment]], list[Unfolded]]:
        """As `store.latest` reads the payments."""
        (one,) = wanted
        inside = [each for each in reversed(self.payments) if each.reserved_at >= one.since]
        return [(1, Role.PAYER, each) for each in inside[: one.most]], []

    def ask(self, limit: int, window_s: int, ending: Sequence[CountedPayment]) -> None:
        """Judges one payment by limits on the count, the value and the payees."""
        measures: tuple[Measure, ...] = ("sent_count", "sent_value", "distinct_payees")
        needs = [Need("payer", measure, window_s, exact=True, events=limit + 1) for measure in measures]
        facts = Facts(
            gate="transfer",
            now=self.now,
            payer_dfsp="green",
            payee_dfsp="blue",
            currency="TZS",
            amount=1,
            payer=1,
            payee=2,
            scenario="WITHDRAWAL",
        )
        exact_counts.keep_again({1: self.profile}, [facts], needs, now=self.now, ending=ending, known=())
        self.abort(ending)
        self.now += timedelta(seconds=20)  # the group has waited for locks
        counters, judged = (
            ProfileCounters({1: self.profile}, set(), {}),
            Facts(**{name: getattr(facts, name) for name in facts.__struct_fields__} | {"now": self.now}),
        )
        inside = [each for each in self.payments if self.now - each.reserved_at < timedelta(seconds=window_s)]
        count, value = len(inside) + 1, sum(each.amount for each in inside) + 1
        payees = len({each.keys.payee for each in inside} | {2})
        found = {need.measure: counters.get(need, judged) or 0 for need in needs}
        assert (found["sent_count"] > limit) == (count > limit)
        for most in (1, 3, 20):
            is_refused = found["sent_count"] > limit or found["sent_value"] > most
            assert is_refused == (count > limit or value > most)
            is_refused = found["sent_count"] > limit or found["distinct_payees"] > most
            assert is_refused == (count > limit or payees > most)
        assert not counters.has_estimated


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=14), st.integers(0, 3))
def test_limits_are_exact_whatever_is_added_and_removed(steps: list[tuple[str, int, int]], removable: int) -> None:
    story = Story()
    with pytest.MonkeyPatch.context() as patched:
        for module in (events_and_buckets, exact_counts):
            patched.setattr(module, "KEPT", 12)
        patched.setattr(events_and_buckets, "HOUR", HOUR)
        patched.setattr(store, "latest", story.latest)
        for what, number, other in steps:
            match what:
                case "pay":
                    story.pay(number, other)
                case "abort latest":
                    story.abort(story.payments[-number:])
                case "abort some":
                    story.abort(story.payments[other % 10 :: 10][:number])
                case "ask":
                    story.ask(number, other, story.payments[-removable:] if removable else [])
            events = [each.event(Role.PAYER) for each in story.payments]
            assert list(events_and_buckets.differences(story.profile, events)) == []
