"""A rule set in compiled form, for one gate. Pure."""

from collections.abc import Callable, Mapping

import msgspec

from rules.facts import Facts, Gate
from rules.language.counter_types import Need, Subject
from rules.language.needed_counters import CounterName
from rules.language.rule_types import Rule

ReadCounter = Callable[[Need, Facts], int | bool | None]
"""The method `Counters.get`, which reads the counters for the judged payment."""
Evaluate = Callable[[Facts, ReadCounter], list[int]]
"""Returns the position of each rule that fires. If the result of a rule is unknown because a fact is missing, returns
`~position` of this rule. The result is not sorted."""


class CompiledRules(msgspec.Struct, frozen=True):
    """The live and shadow rules of one rule set at one gate, with the counters, lists and markers that these rules
    need."""

    gate: Gate
    time_zone: str
    rules: tuple[Rule, ...]
    """The rules in the order of the document, without drafts and without rules of other gates."""
    evaluate: Evaluate
    needs: tuple[Need, ...] = ()
    """Every counter that the rules can read, without duplicates."""
    needs_by_name: Mapping[CounterName, Need] = {}
    """The counters of `needs` by subject, measure, window and currency."""
    lists: frozenset[str] = frozenset()
    """The names of the lists that the rules look into."""
    markers: frozenset[str] = frozenset()
    """The kinds of markers that the rules look for."""

    def exact_subjects(self, currency: str) -> frozenset[Subject]:
        """Returns the subjects whose profiles must be locked before the hub judges a payment in this currency."""
        return frozenset(need.subject for need in self.needs if need.exact and need.currency in ("", currency))
