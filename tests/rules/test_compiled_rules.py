"""Compiled rules judge as interpreted rules do, whatever the rules, the payment and the counters are."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.decide import judge, verdict_of
from rules.facts import Facts
from rules.language.compile import compile_rules
from rules.language.interpret import interpret_rules
from rules.language.parse import parse
from tests.rules.documents import RandomCounters, payments, rule_sets

GATES = {"lookup": (), "quote": (), "transfer": ("quote",)}


@st.composite
def _cases(draw: st.DrawFn) -> tuple[str, dict[str, Any], list[Facts], int]:
    gate = draw(st.sampled_from(sorted(GATES)))
    document = draw(rule_sets([gate, *GATES[gate]]))
    return gate, document, draw(st.lists(payments(gate), min_size=3, max_size=6)), draw(st.integers(0, 1000))


@settings(max_examples=100, deadline=None)
@given(_cases())
def test_compiled_and_interpreted_rules_judge_alike(case: tuple[str, dict[str, Any], list[Facts], int]) -> None:
    gate, document, group, seed = case
    parsed = parse(document)
    compiled = compile_rules(parsed, gate, with_rules_of=GATES[gate])
    interpreted = interpret_rules(parsed, gate, with_rules_of=GATES[gate])
    assert compiled.needs == interpreted.needs
    for facts in group:
        read, counters = RandomCounters(seed), RandomCounters(seed)
        fired = compiled.evaluate(facts, read.get)
        assert sorted(fired) == sorted(interpreted.evaluate(facts, counters.get))
        # Compiled rules read only the counters that were announced, and each of them once.
        assert len(set(read.asked)) == len(read.asked)
        assert set(read.asked) <= set(compiled.needs)
        hits = judge(facts, compiled, counters)
        assert hits == judge(facts, interpreted, counters)
        assert verdict_of(hits) == verdict_of(judge(facts, interpreted, counters))
