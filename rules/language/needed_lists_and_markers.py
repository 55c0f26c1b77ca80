"""Finds the lists and markers that the rules of a gate use. Pure."""

from collections.abc import Sequence

from rules.language.needed_counters import comparisons
from rules.language.rule_types import Rule

LABELS = frozenset({"payer.lists", "payee.lists", "payer.markers", "payee.markers"})


def list_names(rules: Sequence[Rule]) -> frozenset[str]:
    """Returns the names of the lists that these rules use."""
    return _texts(rules, ("payer.lists", "payee.lists"))


def marker_kinds(rules: Sequence[Rule]) -> frozenset[str]:
    """Returns the kinds of markers that these rules use."""
    return _texts(rules, ("payer.markers", "payee.markers"))


def is_about_labels(rule: Rule) -> bool:
    """Returns whether the rule reads lists or markers."""
    return any(each.fact in LABELS for each in comparisons(rule.condition))


def _texts(rules: Sequence[Rule], facts: tuple[str, str]) -> frozenset[str]:
    found: set[str] = set()
    for rule in rules:
        for comparison in comparisons(rule.condition):
            if comparison.fact in facts and isinstance(comparison.value, frozenset):
                found |= comparison.value
    return frozenset(found)
