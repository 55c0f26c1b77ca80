"""The rules of a measurement are what it promises: live rules, exact limits, and payments that they hit."""

from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest

from bench import generated_rules, messages, parties, rules_cost_in_pairs
from bench.__main__ import plans, read_arguments
from bench.latency_and_cpu_figures import WHOLE
from bench.load import pairs
from bench.run import Plan
from fspiop import bodies, strictjson
from fspiop.bodies.quotes import QuotePost
from rules.decide import judge
from rules.language.checks_of_well_formed_rules import accept
from rules.language.compile import compile_rules
from rules.language.compiled_types import CompiledRules
from rules.profiles.counters import ProfileCounters
from rules.profiles.events_and_buckets import Profile
from rules.profiles.profiles_of_payment import keys_to_lock, limits_of

NAMES = ["n1", "n2", "n3"]


@pytest.fixture(scope="module")
def compiled() -> CompiledRules:
    return compile_rules(accept(generated_rules.document(200, NAMES)), "transfer")


def test_200_rules_of_which_20_are_exact_limits(compiled: CompiledRules) -> None:
    assert len(compiled.rules) == 200
    assert len(limits_of(compiled)) == 20
    assert all(rule.mode == "live" for rule in compiled.rules)


@pytest.mark.parametrize(("biller", "locked"), [(False, 2), (True, 1)])
def test_each_transfer_locks_its_two_parties_and_a_biller_is_not_locked(
    compiled: CompiledRules, biller: bool, locked: int
) -> None:
    now = datetime.now(UTC)
    facts = [generated_rules.facts_of_quote(number, "n1", "n2", now, biller=biller) for number in range(1_000)]
    assert {len(keys_to_lock(each, limits_of(compiled))) for each in facts} == {locked}
    assert len({each.payer for each in facts}) == 1_000
    assert len({each.payee for each in facts}) == (1 if biller else 1_000)
    profiles = {key: Profile() for each in facts for key in (each.payer, each.payee) if key is not None}
    counters = ProfileCounters(profiles, set(), {})
    hits = [judge(each, compiled, counters) for each in facts]
    assert 10 <= sum(map(bool, hits)) <= 50
    assert {hit.action for each in hits for hit in each} == {"alert"}


def test_a_request_for_terms_names_its_payer_and_some_are_watched() -> None:
    clock = messages.Clock()
    clock.tick()
    ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(300)]

    def read(payment_id: str, **more: Any) -> QuotePost:
        raw = parties.quote(b"n1", b"n2", b"27555", payment_id, clock, **more)
        return bodies.convert(QuotePost, strictjson.loads(raw))

    found = [read(each, biller=False) for each in ids]
    assert len({each.payer.party_id_info.party_identifier for each in found}) > 290
    watched = [each for each in found if each.extension_list is not None]
    assert 0 < len(watched) < 20
    assert read(ids[0], biller=True).transaction_type.scenario == "PAYMENT"


def test_everybody_pays_the_biller_and_no_packet_is_used_twice() -> None:
    assert list(islice(pairs(NAMES, 0, biller=True), 3)) == [("n2", "n1"), ("n3", "n1"), ("n2", "n1")]
    plan = Plan(rate=50, seconds=10, warmup=2, drain=1, dfsps=3, hot=0.5, rules=200)
    used = list(islice(pairs(NAMES, 0.5), 600))
    assert max(used.count(pair) for pair in used) <= plan.packets
    options = read_arguments(["--rules", "200", "--biller"])
    (_, made), *_ = plans(options)
    assert (made.rules, made.biller) == (200, True)
    for wrong in (["--biller"], ["--rules", "5"], ["--rules", "200", "--signed"]):
        with pytest.raises(SystemExit):
            read_arguments(wrong)


def figures_of(cpu: float, p99: float, rate: float) -> dict[str, Any]:
    used = {"web": cpu, "generator": 100.0}
    return {"cpu_ms_per_transfer": used, "hops_ms": {WHOLE: {"p99": p99}}, "transfers_per_s": rate}


def test_pairs_are_compared_by_their_medians_and_their_order_alternates() -> None:
    measured: list[int] = []
    found = {0: [(10, 50, 100), (10, 50, 100), (20, 90, 100)], 200: [(11, 52, 90), (10.5, 53, 84), (21.2, 91, 80)]}

    def measure(rules: int) -> dict[str, Any]:
        measured.append(rules)
        return figures_of(*found[rules][measured.count(rules) - 1])

    median = rules_cost_in_pairs.difference(rules_cost_in_pairs.run(3, 200, measure))
    assert measured == [0, 200, 200, 0, 0, 200]
    assert (round(median.cpu_share, 3), median.p99_ms, median.rate_share) == (0.06, 2, 0.84)
    assert median.faults(biller=False) == []
    assert len(median.faults(biller=True)) == 1
    assert len(rules_cost_in_pairs.Difference(0.09, 3.5, 1.0).faults(biller=False)) == 2
    assert str(median) == "+6.0% CPU, +2.0 ms p99, 84.0% of the rate"
