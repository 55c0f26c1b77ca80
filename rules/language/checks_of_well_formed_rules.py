"""Finds faults in well-formed rules: contradictions, high costs, and limits that cannot be exact. Pure."""

import json

from rules.facts import Gate
from rules.language.contradictions import contradictions
from rules.language.counter_types import LIMITS, MOST_EVENTS
from rules.language.fact_catalogue import FACTS, LOCAL_TIME_NS
from rules.language.faults import Fault, RuleSetRefused
from rules.language.needed_counters import (
    COUNT_OF,
    comparisons,
    comparisons_with_places,
    counter_names,
    events_needed,
    is_limit,
)
from rules.language.parse import parse, parse_text
from rules.language.rule_types import Comparison, Rule, RuleSet

MOST_NS = 1_000_000
"""For one payment, all rules of one gate together may have at most this cost. docs/rules.md has the table of costs."""
RULE_NS = 60
CONDITION_NS = 60

GATES: tuple[Gate, ...] = ("lookup", "quote", "transfer")


def accept(document: object) -> RuleSet:
    """Reads and checks a rule set that is already parsed from JSON to Python values. If there are faults, raises one
    RuleSetRefused that lists all faults."""
    return _checked(parse(document))


def accept_text(raw: bytes) -> RuleSet:
    """Reads and checks a rule set from JSON text. If there are faults, raises one RuleSetRefused that lists all
    faults."""
    return _checked(parse_text(raw))


def accept_stored(raw: bytes) -> RuleSet:
    """Reads and checks a stored rule set from the database's JSON text. PostgreSQL adds spaces to the JSON, so the text
    can be larger than the largest document that people can store. If there are faults, raises one RuleSetRefused that
    lists all faults."""
    return accept(json.loads(raw))


def check(rule_set: RuleSet) -> list[Fault]:
    """Returns every fault of a well-formed rule set."""
    faults: list[Fault] = []
    for number, rule in enumerate(rule_set.rules):
        path = f"rules[{number}]"
        faults += contradictions(rule, path)
        faults += _refund_faults(rule, path)
        if is_limit(rule):
            faults += _limit_faults(rule, path, rule_set.rules)
    for gate in GATES:
        faults += _cost_faults(rule_set, gate)
    return faults


def costs_ns(rule_set: RuleSet, gate: Gate) -> list[int]:
    """Returns, for each rule of the gate, the total cost of this rule and of all earlier rules.

    If several rules read the same counter, the counter is part of the cost only once.
    """
    total, seen, found = 0, set[object](), []
    for rule in rule_set.rules:
        if rule.gate == gate and rule.mode != "draft":
            total += RULE_NS + sum(_cost_ns(rule, each, seen) for each in comparisons(rule.whole_condition))
        found.append(total)
    return found


def _checked(rule_set: RuleSet) -> RuleSet:
    faults = check(rule_set)
    if faults:
        raise RuleSetRefused(faults)
    return rule_set


def _refund_faults(rule: Rule, path: str) -> list[Fault]:
    if rule.when.scenarios == {"REFUND"}:
        return []
    return [
        Fault(f"{place}.fact", "refund_needs_scenario", {"fact": each.fact})
        for each, place in comparisons_with_places(rule.condition, f"{path}.if")
        if any(subject == "original" for subject, _ in FACTS[each.fact].counters)
    ]


def _limit_faults(rule: Rule, path: str, rules: tuple[Rule, ...]) -> list[Fault]:
    found = (
        _limit_fault(rule, each, place, rules) for each, place in comparisons_with_places(rule.condition, f"{path}.if")
    )
    return [fault for fault in found if fault is not None]


def _limit_fault(rule: Rule, limit: Comparison, place: str, rules: tuple[Rule, ...]) -> Fault | None:
    counters = FACTS[limit.fact].counters
    if not any(measure in LIMITS for _, measure in counters):
        return None
    if len(counters) > 1:
        return Fault(f"{place}.fact", "inexact_fact", {"fact": limit.fact})
    ((subject, measure),) = counters
    events = events_needed(rule, limit, rules)
    if events is None:
        count = f"{subject}.{COUNT_OF[measure]}"
        return Fault(place, "limit_needs_count", {"fact": limit.fact, "count": count, "most": MOST_EVENTS - 1})
    if events > MOST_EVENTS:
        where = f"{place}.value" if measure not in COUNT_OF else place
        return Fault(where, "limit_too_high", {"most": MOST_EVENTS - 1})
    return None


def _cost_faults(rule_set: RuleSet, gate: Gate) -> list[Fault]:
    for number, cost in enumerate(costs_ns(rule_set, gate)):
        if cost > MOST_NS:
            params = {"gate": gate, "cost_us": cost // 1000, "most_us": MOST_NS // 1000}
            return [Fault(f"rules[{number}]", "too_costly", params)]
    return []


def _cost_ns(rule: Rule, comparison: Comparison, seen: set[object]) -> int:
    spec = FACTS[comparison.fact]
    key: object = counter_names(comparison, rule.when) if spec.counters else spec.name
    if spec.counters or spec.cost_ns >= LOCAL_TIME_NS:
        if key in seen:
            return CONDITION_NS
        seen.add(key)
    return spec.cost_ns
