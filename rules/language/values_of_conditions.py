"""Reads, for one payment, the value of each condition of a rule. The values show people why the rule fired. Pure."""

from typing import Any

import msgspec

from rules.facts import Facts
from rules.language.compiled_types import CompiledRules
from rules.language.counter_types import Counters
from rules.language.fact_catalogue import FACTS
from rules.language.interpret import ABSENT, MISSING, compare, reader_of
from rules.language.needed_counters import comparisons
from rules.language.rule_types import Operator, Rule


class Reading(msgspec.Struct, frozen=True, omit_defaults=True):
    """One condition with the value that the payment had.

    Amounts are in ten-thousandths, durations in seconds, and times of day in minutes.
    """

    fact: str
    operator: Operator
    threshold: Any
    value: Any
    """The value is None if the message omits the fact, or if the fact is missing."""
    holds: bool | None
    """The result is None if the fact was missing."""
    unit: str
    window_s: int = 0
    key: str = ""
    currency: str = ""


def read_conditions(rule: Rule, facts: Facts, compiled: CompiledRules, counters: Counters) -> tuple[Reading, ...]:
    """Reads every condition of a rule, in the order of the document."""
    reader = reader_of(compiled, facts, counters.get)
    found = []
    for each in comparisons(rule.whole_condition):
        value = reader.value(each, rule.when)
        found.append(
            Reading(
                fact=each.fact,
                operator=each.operator,
                threshold=_plain(each.value),
                value=ABSENT if value is MISSING else _plain(value),
                holds=compare(each, value),
                unit=FACTS[each.fact].unit,
                window_s=each.window_s,
                key=each.key,
                currency=each.currency,
            )
        )
    return tuple(found)


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset | set) else value
