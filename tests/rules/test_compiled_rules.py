"""Compiled rules judge as interpreted rules do, whatever the rules, the payment and the counters are."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.decide import judge, verdict_of
from rules.language.compile import compile_rules
from rules.language.interpret import interpret_rules
from rules.language.parse import parse
from tests.rules.documents import RandomCounters, random_payment, random_rule_set

WITH_RULES_OF = {"lookup": [], "quote": [], "transfer": ["quote"]}


@settings(max_examples=250, deadline=None)
@given(st.randoms(use_true_random=True), st.sampled_from(sorted(WITH_RULES_OF)))
def test_compiled_and_interpreted_rules_judge_alike(chance: Random, gate: str) -> None:
    others = WITH_RULES_OF[gate]
    parsed = parse(random_rule_set(chance, [gate, *others]))
    compiled = compile_rules(parsed, gate, with_rules_of=others)
    interpreted = interpret_rules(parsed, gate, with_rules_of=others)
    assert compiled.needs == interpreted.needs
    for _ in range(6):
        facts, seed = random_payment(chance, gate), chance.randrange(1000)
        read, counters = RandomCounters(seed), RandomCounters(seed)
        fired = compiled.evaluate(facts, read.get)
        assert sorted(fired) == sorted(interpreted.evaluate(facts, counters.get))
        # Compiled rules read only the counters that were announced, and each of them once.
        assert len(set(read.asked)) == len(read.asked)
        assert set(read.asked) <= set(compiled.needs)
        hits = judge(facts, compiled, counters)
        assert hits == judge(facts, interpreted, counters)
        assert verdict_of(hits) == verdict_of(judge(facts, interpreted, counters))
