"""Finds conditions of one rule that contradict each other. With contradicting conditions, the rule can never fire.
Pure.

Each condition excludes some values of a fact. If no value is left, the conditions contradict each other. If a rule
contains an `any`, each branch of the `any` is checked together with the conditions outside the `any`.

The value of one counter limits the values of related counters. One example is the same counter in a longer window.
Every event in a window is also in every longer window. The number of paid parties is at most the number of payments.
The number of a payer's payments to one payee is at most the number of all payments of this payer.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from rules.language.fact_catalogue import FACTS, FactSpec
from rules.language.faults import Fault
from rules.language.local_time import MINUTES_OF_A_DAY
from rules.language.rule_types import NOT_PAID_BEFORE, All, AnyOf, Comparison, Condition, Hold, Not, Operator, Rule

_FactName = tuple[str, str, int]
_NEGATED: dict[Operator, Operator] = {
    "above": "at_most",
    "at_most": "above",
    "below": "at_least",
    "at_least": "below",
    "in": "not_in",
    "not_in": "in",
    "has_any": "has_none",
    "has_none": "has_any",
    "has_all": "lacks_any",
    "lacks_any": "has_all",
    "true": "false",
    "false": "true",
    "present": "absent",
    "absent": "present",
    "between": "not_between",
    "not_between": "between",
}
_AT_MOST: Mapping[str, tuple[str, ...]] = {
    "payer.distinct_payees": ("payer.sent_count",),
    "payee.distinct_payers": ("payee.received_count",),
    "pair.sent_count": ("payer.sent_count", "payee.received_count"),
    "pair.sent_value": ("payer.sent_value", "payee.received_value"),
    "alias.received_count": ("payee.received_count",),
    "alias.received_value": ("payee.received_value",),
}
"""For each counter, the other counters whose values are never lower, in the same window or in a longer window.

Counters of DFSPs are not in this table, because such counters count only while a rule reads them."""
_EVERY_MINUTE = (1 << MINUTES_OF_A_DAY) - 1


class _Values(msgspec.Struct, frozen=True):
    """The values of a fact that are still possible after all conditions that this module has read.

    The unit of the fact decides which fields this object uses.
    """

    may_be_absent: bool
    may_be_present: bool = True
    least: int = 0
    most: int | None = None
    not_equal: frozenset[int] = frozenset()
    texts: frozenset[str] | None = None
    """The only possible texts. If the value is None, every text is possible."""
    not_texts: frozenset[str] = frozenset()
    has: frozenset[str] = frozenset()
    has_not: frozenset[str] = frozenset()
    has_one_of: tuple[frozenset[str], ...] = ()
    lacks_one_of: tuple[frozenset[str], ...] = ()
    truths: frozenset[bool] = frozenset({True, False})
    minutes: int = _EVERY_MINUTE
    """The possible times, with one bit for each minute of the day."""

    @property
    def is_empty(self) -> bool:
        """Returns True if no value is possible any more."""
        return not (self.may_be_absent or (self.may_be_present and self._some_value()))

    def _some_value(self) -> bool:
        if self.most is not None and not self._some_number(self.most):
            return False
        if self.texts is not None and not self.texts - self.not_texts:
            return False
        if self.has & self.has_not or any(texts <= self.has_not for texts in self.has_one_of):
            return False
        if any(texts <= self.has for texts in self.lacks_one_of):
            return False
        return bool(self.truths) and bool(self.minutes)

    def _some_number(self, most: int) -> bool:
        excluded = sum(self.least <= number <= most for number in self.not_equal)
        return most - self.least + 1 > excluded


_Context = dict[_FactName, _Values]


def contradictions(rule: Rule, path: str) -> list[Fault]:
    """Returns a fault for each condition that contradicts other conditions of the same rule."""
    context: _Context = {}
    when = rule.when
    triggers = (
        ("currency", when.currencies),
        ("scenario", when.scenarios),
        ("payer.dfsp", when.payer_dfsps),
        ("payee.dfsp", when.payee_dfsps),
    )
    for fact, texts in triggers:
        if texts:
            _narrow(context, Comparison(fact, "in", texts), False)
    if isinstance(rule.action, Hold) and rule.action.unless_paid_before:
        _narrow(context, NOT_PAID_BEFORE, False)
    return list(_check(rule.condition, False, f"{path}.if", context))


def _check(condition: Condition, negated: bool, path: str, context: _Context) -> Iterator[Fault]:
    narrowed = dict(context)
    branches: list[tuple[Condition, bool, str]] = []
    for part, part_negated, place in _parts(condition, negated, path, branches):
        if not _narrow(narrowed, part, part_negated) or not _agrees_with_others(narrowed, part):
            yield Fault(place, "contradiction", {"fact": part.fact})
            return
    for branch, branch_negated, place in branches:
        yield from _check(branch, branch_negated, place, narrowed)


def _agrees_with_others(context: _Context, comparison: Comparison) -> bool:
    """Returns False if the comparison's counter contradicts another counter, or the same counter in another window."""
    if not comparison.window_s:
        return True
    own = context[_name_of(comparison)]
    for (fact, key, window_s), others in context.items():
        if key != comparison.key or not window_s:
            continue
        if window_s >= comparison.window_s and _is_at_most(comparison.fact, fact) and not _may_be_at_most(own, others):
            return False
        if window_s <= comparison.window_s and _is_at_most(fact, comparison.fact) and not _may_be_at_most(others, own):
            return False
    return True


def _is_at_most(one: str, other: str) -> bool:
    return one == other or other in _AT_MOST.get(one, ())


def _may_be_at_most(one: _Values, other: _Values) -> bool:
    """Returns whether some value of `one` is less than or equal to some value of `other`.

    For values that are only true or false, returns whether `other` can be true whenever `one` is true.
    """
    if one.truths == {True} and other.truths == {False}:
        return False
    return other.most is None or one.least <= other.most


def _name_of(comparison: Comparison) -> _FactName:
    return comparison.fact, comparison.key, comparison.window_s


def _parts(
    condition: Condition, negated: bool, path: str, branches: list[tuple[Condition, bool, str]]
) -> Iterator[tuple[Comparison, bool, str]]:
    """Yields the comparisons that must all be true.

    Appends lists of branches to `branches`. In each appended list, at least one branch must be true.
    """
    match condition:
        case Comparison():
            yield condition, negated, path
        case Not(inner):
            yield from _parts(inner, not negated, f"{path}.not", branches)
        case All(conditions) | AnyOf(conditions):
            name = "all" if isinstance(condition, All) else "any"
            places = [(each, negated, f"{path}.{name}[{number}]") for number, each in enumerate(conditions)]
            if isinstance(condition, All) is not negated or len(places) == 1:
                for each, each_negated, place in places:
                    yield from _parts(each, each_negated, place, branches)
            else:
                branches += places


def _narrow(context: _Context, comparison: Comparison, negated: bool) -> bool:
    """Narrows the possible values of the comparison's fact. Returns False if no possible value is left."""
    spec = FACTS[comparison.fact]
    name = _name_of(comparison)
    values = context.get(name) or _Values(
        may_be_absent=spec.optional, texts=spec.domain if spec.unit == "text" else None
    )
    context[name] = msgspec.structs.replace(values, **_changes(values, comparison, negated, spec))
    return not context[name].is_empty


def _changes(values: _Values, comparison: Comparison, negated: bool, spec: FactSpec) -> dict[str, Any]:
    wanted: Any = comparison.value
    if comparison.operator == "equals":
        if negated:
            return {"not_equal": values.not_equal | {wanted}}
        return {"may_be_absent": False, **_bounds(values, wanted, wanted)}
    operator = _NEGATED[comparison.operator] if negated else comparison.operator
    # A comparison with an absent value is false, so the negation of such a comparison is true.
    absent = values.may_be_absent and (negated or operator in ("not_in", "absent"))
    if operator in ("present", "absent"):
        return {
            "may_be_absent": values.may_be_absent and operator == "absent",
            "may_be_present": values.may_be_present and operator == "present",
        }
    if comparison.operator == "not_in" and negated:
        absent = False
    match operator:
        case "above":
            found = _bounds(values, wanted + 1, None)
        case "at_least":
            found = _bounds(values, wanted, None)
        case "below":
            found = _bounds(values, 0, wanted - 1)
        case "at_most":
            found = _bounds(values, 0, wanted)
        case "in":
            found = {"texts": wanted if values.texts is None else values.texts & wanted}
        case "not_in":
            found = {"not_texts": values.not_texts | wanted}
        case "has_any":
            found = {"has_one_of": (*values.has_one_of, wanted)}
        case "has_none":
            found = {"has_not": values.has_not | wanted}
        case "has_all":
            found = {"has": values.has | wanted}
        case "lacks_any":
            found = {"lacks_one_of": (*values.lacks_one_of, wanted)}
        case "true" | "false":
            found = {"truths": values.truths & {operator == "true"}}
        case _:
            found = {"minutes": values.minutes & _minutes(wanted, operator == "between")}
    return {"may_be_absent": absent, **found}


def _bounds(values: _Values, least: int, most: int | None) -> dict[str, Any]:
    upper = [each for each in (values.most, most) if each is not None]
    return {"least": max(values.least, least), "most": min(upper, default=None)}


def _minutes(bounds: tuple[int, int], between: bool) -> int:
    start, end = bounds
    before_end, before_start = (1 << end) - 1, (1 << start) - 1
    inside = before_end & ~before_start if start < end else _EVERY_MINUTE & ~(before_start & ~before_end)
    return inside if between else _EVERY_MINUTE & ~inside
