"""Interprets rules, one node of a rule at a time.

Tests compare compiled rules with this module. Outside of tests, the hub uses this module only to read the conditions of
rules that fired, and to check the rules that fired for a conversion. Pure.

The result of a condition is true, false or None. None means that the result is not known, because a fact is missing. If
the message omits an optional fact, the result is still known: the fact's value is None, and not MISSING. Each
comparison with the value None is false, except a comparison with the operator `absent` or `not_in`.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from rules.facts import Facts, Gate
from rules.language import local_time
from rules.language.compiled_types import CompiledRules, ReadCounter
from rules.language.counter_types import Need
from rules.language.fact_catalogue import FACTS, FactSpec, percent_of_average, percent_passed_on
from rules.language.needed_counters import CounterName, counter_names, needed_counters, rules_of_gates
from rules.language.needed_lists_and_markers import list_names, marker_kinds
from rules.language.rule_types import All, AnyOf, Comparison, Condition, Not, RuleSet, Trigger


class _Missing:
    def __repr__(self) -> str:
        return "missing"


MISSING: Final = _Missing()
ABSENT: Final = None


class Reader:
    """Reads the facts of one payment."""

    def __init__(
        self, facts: Facts, get: ReadCounter, needs: Mapping[CounterName, Need], gate: Gate, time_zone: str
    ) -> None:
        self._facts, self._get, self._needs, self._time_zone = facts, get, needs, time_zone
        self._has_details = facts.has_details or gate != "transfer"

    def value(self, comparison: Comparison, trigger: Trigger) -> Any:
        """Returns the value of a comparison's fact: MISSING, ABSENT (None) or the value itself."""
        spec, facts = FACTS[comparison.fact], self._facts
        if self._is_missing(spec):
            return MISSING
        if spec.counters:
            return self._counted(comparison, spec, trigger)
        match spec.name:
            case "extension":
                return facts.extensions.get(comparison.key, ABSENT)
            case "time_of_day":
                return local_time.minute_of(facts.now, self._time_zone)
            case "weekday":
                return local_time.weekday_of(facts.now, self._time_zone)
            case "date":
                return local_time.date_of(facts.now, self._time_zone)
            case "equals_quote":
                return (facts.amount, facts.currency) == (facts.quoted_amount, facts.quoted_currency)
        return getattr(facts, spec.field)

    def scenario(self) -> Any:
        """Returns the payment's scenario, for comparison with a trigger."""
        return self._facts.scenario if self._has_details else MISSING

    def _is_missing(self, spec: FactSpec) -> bool:
        facts = self._facts
        match spec.missing:
            case "details":
                return not self._has_details
            case "payer":
                return facts.payer is None
            case "payee":
                return facts.payee is None
            case "payee_dfsp":
                return facts.payee_dfsp is None
            case "quote":
                return facts.quoted_amount is None
        return False

    def _counted(self, comparison: Comparison, spec: FactSpec, trigger: Trigger) -> Any:
        if spec.counters[0][0] == "original":
            if not self._has_details:
                return MISSING
            if self._facts.refund_of is None:  # the refund does not name an original payment
                return 0 if spec.unit == "duration" else False
        found = [self._get(self._needs[name], self._facts) for name in counter_names(comparison, trigger)]
        match spec.name:
            case "payer.percent_of_average":
                value = percent_of_average(self._facts.amount, found[0], found[1])
            case "payer.percent_passed_on":
                value = percent_passed_on(found[0], found[1])
            case _:
                value = found[0]
        return MISSING if value is None else value


class ConversionReader(Reader):
    """Reads the facts of a conversion. Facts about parties, and details of a payment, are missing."""

    def _is_missing(self, spec: FactSpec) -> bool:
        return not spec.is_of_conversions or super()._is_missing(spec)


def holds(condition: Condition, reader: Reader, trigger: Trigger) -> bool | None:
    """Returns whether a condition is true. Returns None if the result is not known."""
    match condition:
        case Comparison():
            return compare(condition, reader.value(condition, trigger))
        case All(conditions):
            return _all(holds(each, reader, trigger) for each in conditions)
        case AnyOf(conditions):
            found = _all(_not(holds(each, reader, trigger)) for each in conditions)
            return _not(found)
        case Not(inner):
            return _not(holds(inner, reader, trigger))


def compare(comparison: Comparison, value: Any) -> bool | None:
    """Compares a fact's value with the comparison's value. Returns None if the fact's value is missing."""
    if value is MISSING:
        return None
    wanted: Any = comparison.value
    match comparison.operator:
        case "present":
            return value is not ABSENT
        case "absent":
            return value is ABSENT
        case "not_in":
            return value not in wanted
    if value is ABSENT:
        return False
    match comparison.operator:
        case "above":
            return bool(value > wanted)
        case "at_least":
            return bool(value >= wanted)
        case "below":
            return bool(value < wanted)
        case "at_most":
            return bool(value <= wanted)
        case "equals":
            return bool(value == wanted)
        case "in":
            return value in wanted
        case "has_any":
            return bool(value & wanted)
        case "has_all":
            return bool(value >= wanted)
        case "has_none":
            return not value & wanted
        case "lacks_any":
            return not value >= wanted
        case "true":
            return bool(value)
        case "false":
            return not value
        case "between":
            return _is_between(value, wanted)
        case "not_between":
            return not _is_between(value, wanted)
    raise AssertionError(comparison.operator)


def applies(trigger: Trigger, facts: Facts, reader: Reader) -> bool | None:
    """Returns whether a rule applies to this payment. Returns None if the result is not known."""
    pairs = (
        (trigger.currencies, facts.currency),
        (trigger.payer_dfsps, facts.payer_dfsp),
        (trigger.payee_dfsps, MISSING if facts.payee_dfsp is None else facts.payee_dfsp),
        (trigger.scenarios, reader.scenario()),
    )
    return _all((None if value is MISSING else value in wanted) for wanted, value in pairs if wanted)


def interpret_rules(rule_set: RuleSet, gate: Gate, *, with_rules_of: Collection[Gate] = ()) -> CompiledRules:
    """Has the same result as `compile.compile_rules`. The returned object interprets the rules. For tests."""
    rules = rules_of_gates(rule_set.rules, (gate, *with_rules_of))
    needs = needed_counters(rules)

    def evaluate(facts: Facts, get: ReadCounter) -> list[int]:
        reader = Reader(facts, get, needs, gate, rule_set.time_zone)
        fired = []
        for position, rule in enumerate(rules):
            looks = applies(rule.when, facts, reader)
            if looks is False:
                continue
            found = _all((looks, holds(rule.whole_condition, reader, rule.when)))
            if found is not False:
                fired.append(position if found else ~position)
        return fired

    return CompiledRules(
        gate=gate,
        time_zone=rule_set.time_zone,
        rules=rules,
        evaluate=evaluate,
        needs=tuple(needs.values()),
        needs_by_name=needs,
        lists=list_names(rules),
        markers=marker_kinds(rules),
    )


def reader_of(compiled: CompiledRules, facts: Facts, get: ReadCounter) -> Reader:
    """Returns an object that reads a payment's facts for these compiled rules."""
    kind = ConversionReader if facts.fx else Reader
    return kind(facts, get, compiled.needs_by_name, compiled.gate, compiled.time_zone)


def _is_between(minute: int, bounds: tuple[int, int]) -> bool:
    start, end = bounds
    return start <= minute < end if start < end else minute >= start or minute < end


def _all(found: Iterable[bool | None]) -> bool | None:
    result: bool | None = True
    for each in found:
        if each is False:
            return False
        if each is None:
            result = None
    return result


def _not(found: bool | None) -> bool | None:
    return None if found is None else not found
