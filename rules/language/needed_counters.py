"""Finds the counters that a rule set needs, and the counters that must be exact. Pure.

A limit is a live rule at the transfer that refuses payments because of a counter. A profile stores each of the latest
events. For the earlier events, a profile stores only sums. A count is exact if it includes only events that the profile
keeps separately. A sum, or a number of different parties, can include any number of events. If a limit uses a sum or a
number of different parties, a second limit must use the count of the same payments. The second limit refuses a payment
before the window contains more events than the profile keeps separately.
"""

from collections.abc import Collection, Iterator, Mapping

from rules.facts import Gate
from rules.language.counter_types import LIMITS, Measure, Need, Subject
from rules.language.fact_catalogue import FACTS
from rules.language.rule_types import All, AnyOf, Comparison, Condition, Not, Refuse, Rule, Trigger

CounterName = tuple[Subject, Measure, int, str]
"""Subject, measure, window in seconds, and the currency if the rule applies to only one currency."""

COUNT_OF: Mapping[Measure, Measure] = {
    "sent_value": "sent_count",
    "distinct_payees": "sent_count",
    "received_value": "received_count",
    "distinct_payers": "received_count",
}
"""For each measure without a bound, the count that limits how many events the measure includes."""


def comparisons(condition: Condition) -> Iterator[Comparison]:
    """Yields every comparison in a condition, from left to right."""
    match condition:
        case Comparison():
            yield condition
        case Not(inner):
            yield from comparisons(inner)
        case All(conditions) | AnyOf(conditions):
            for each in conditions:
                yield from comparisons(each)


def comparisons_with_places(condition: Condition, path: str) -> Iterator[tuple[Comparison, str]]:
    """Yields every comparison, with the place of the comparison in the document."""
    match condition:
        case Comparison():
            yield condition, path
        case Not(inner):
            yield from comparisons_with_places(inner, f"{path}.not")
        case All(conditions) | AnyOf(conditions):
            name = "all" if isinstance(condition, All) else "any"
            for number, each in enumerate(conditions):
                yield from comparisons_with_places(each, f"{path}.{name}[{number}]")


def counter_names(comparison: Comparison, trigger: Trigger) -> tuple[CounterName, ...]:
    """Returns the names of the counters that a comparison reads."""
    currency = next(iter(trigger.currencies)) if len(trigger.currencies) == 1 else ""
    return tuple(
        (subject, measure, comparison.window_s, currency) for subject, measure in FACTS[comparison.fact].counters
    )


def is_limit(rule: Rule) -> bool:
    """Returns whether the counters of a rule must be exact."""
    return rule.gate == "transfer" and rule.mode == "live" and isinstance(rule.action, Refuse)


def limits_that_refunds_pass(rules: Collection[Rule]) -> list[str]:
    """Returns the ids of the limits that a payer DFSP could avoid by marking each payment as a refund. Counters do not
    count refunds. If a live rule checks that a refund's original payment exists, returns an empty list.
    """
    limits = [rule for rule in rules if is_limit(rule)]
    facts = {rule.id: {each.fact for each in comparisons(rule.whole_condition)} for rule in limits}
    if any("refund.original_found" in read for read in facts.values()):
        return []
    return [id for id, read in facts.items() if any(_counts_payments(fact) for fact in read)]


def _counts_payments(fact: str) -> bool:
    return any(subject != "original" and measure in LIMITS for subject, measure in FACTS[fact].counters)


def rules_of_gates(rules: tuple[Rule, ...], gates: Collection[Gate]) -> tuple[Rule, ...]:
    """Returns the live and shadow rules of these gates."""
    return tuple(rule for rule in rules if rule.gate in gates and rule.mode != "draft")


def needed_counters(rules: tuple[Rule, ...]) -> Mapping[CounterName, Need]:
    """Returns every counter that the rules of one gate read. Rules that read the same counter share one `Need`."""
    found: dict[CounterName, Need] = {}
    for rule in rules:
        for comparison in comparisons(rule.whole_condition):
            for name in counter_names(comparison, rule.when):
                exact = is_limit(rule) and name[1] in LIMITS
                events = (events_needed(rule, comparison, rules) or 0) if exact else 0
                known = found.get(name)
                if known is not None:
                    exact, events = exact or known.exact, max(events, known.events)
                found[name] = Need(*name, exact=exact, events=events)
    return found


def events_needed(rule: Rule, limit: Comparison, rules: tuple[Rule, ...]) -> int | None:
    """Returns the number of events that a profile must keep separately for an exact result of this comparison.

    Returns None if the comparison can never be exact.
    """
    if len(FACTS[limit.fact].counters) != 1:
        return None
    ((subject, measure),) = FACTS[limit.fact].counters
    if subject == "original":
        return 0
    if measure in COUNT_OF.values():
        return _number(limit) + 1
    bounds = [
        _number(count) + 1
        for other in rules
        if is_limit(other) and _covers(other.when, rule.when)
        for count in comparisons(other.condition)
        if _bounds(count, limit, subject, measure) and _is_true_with(other.condition, count, _certain(rule))
    ]
    return min(bounds, default=None)


def _bounds(count: Comparison, limit: Comparison, subject: Subject, measure: Measure) -> bool:
    same = FACTS[count.fact].counters == ((subject, COUNT_OF[measure]),)
    return same and count.window_s >= limit.window_s and count.operator in ("above", "at_least")


def _covers(wide: Trigger, narrow: Trigger) -> bool:
    pairs = (
        (wide.currencies, narrow.currencies),
        (wide.scenarios, narrow.scenarios),
        (wide.payer_dfsps, narrow.payer_dfsps),
        (wide.payee_dfsps, narrow.payee_dfsps),
    )
    return all(not of_wide or (of_narrow and of_narrow <= of_wide) for of_wide, of_narrow in pairs)


def _certain(rule: Rule) -> tuple[Condition, ...]:
    """Returns the conditions of the rule that must be true when the rule fires. Leaves out conditions with counters."""
    condition = rule.condition
    parts = condition.conditions if isinstance(condition, All) else (condition,)
    return tuple(part for part in parts if not any(FACTS[each.fact].counters for each in comparisons(part)))


def _is_true_with(condition: Condition, count: Comparison, certain: tuple[Condition, ...]) -> bool:
    """Returns whether a condition is true whenever `count` and all `certain` conditions are true."""
    if condition == count or condition in certain:
        return True
    match condition:
        case All(conditions):
            return all(_is_true_with(each, count, certain) for each in conditions)
        case AnyOf(conditions):
            return any(_is_true_with(each, count, certain) for each in conditions)
    return False


def _number(comparison: Comparison) -> int:
    assert isinstance(comparison.value, int)
    return comparison.value
