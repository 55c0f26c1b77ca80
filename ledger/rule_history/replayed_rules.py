"""The rules of a replay, and the activations and exceptions that applied at each moment of the past."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec.structs import replace

from rules.decide import Variances
from rules.facts import Facts, Gate
from rules.language.checks_of_well_formed_rules import accept_stored, accept_text
from rules.language.compile import compile_rules
from rules.language.compiled_types import CompiledRules
from rules.language.counter_types import Subject
from rules.language.needed_counters import comparisons, counter_names
from rules.language.rule_types import Rule, RuleSet
from rules.profiles.profiles_of_payment import asks_for, key_of_subject, keys_to_lock, limits_of, subjects_read
from rules.rulesets import queries, sql_for_payments
from rules.rulesets.active_rules import ALSO_AT_TRANSFERS, GATES, for_judging_again
from rules.rulesets.models import Activation, Variance
from rules.transfer_gate import rules_at_transfer

_JUDGED_WITHIN = timedelta(seconds=10)
"""The longest time between a group's reading of the active rules and the time at which the group judges payments."""
_PLANNED_BEFORE = timedelta(seconds=5)
"""An immediate activation is stored at most this time before it begins. A planned activation is stored earlier."""


@dataclass(frozen=True, slots=True)
class ReplayedRules:
    """One compiled rule set.

    `follows_history` is True for the live version. A replay of the live version reproduces the stored decisions, and
    counts each stored payment as the hub counted it. A replay of another rule set does not count payments that this
    rule set refuses. A replay of another rule set treats rules in the mode draft as live rules.

    The rules read the profiles of the subjects in `reads_profiles_of`. A replay counts payments in the profiles of
    parties and of refunds' original payments. A replay counts payments in the profiles of DFSPs and pairs only if the
    rules read these profiles.
    """

    name: str
    version: int | None  # None: a file
    follows_history: bool
    by_gate: Mapping[Gate, CompiledRules] = field(repr=False)
    without_quote: CompiledRules = field(repr=False)
    judged_again: CompiledRules = field(repr=False)
    reads_profiles_of: frozenset[Subject]

    def at_transfer(self, facts: Facts) -> CompiledRules:
        """Returns the rules that judge a transfer with these facts."""
        return rules_at_transfer(facts, self.by_gate["transfer"], self.without_quote, self.judged_again)

    def may_be_late(self, facts: Facts, rule_id: str) -> bool:
        """Returns whether the rule reads counters that could miss the latest payments.

        A rule that reads a profile without a lock can miss the latest payments. The same is true for the payees that
        the payer has already paid.
        """
        at_transfer = facts.gate == "transfer"
        compiled = self.without_quote if at_transfer else self.by_gate[facts.gate]
        rule = next((each for each in compiled.rules if each.id == rule_id), None)
        if rule is None:
            return False
        names = {name for each in comparisons(rule.whole_condition) for name in counter_names(each, rule.when)}
        read = [need for need in compiled.needs if (need.subject, need.measure, need.window_s, need.currency) in names]
        if asks_for(read, "paid_before"):
            return True
        locked = keys_to_lock(facts, limits_of(self.by_gate["transfer"])) if at_transfer else set()
        keys = [key_of_subject(need.subject, facts) for need in read if subjects_read([need])]
        return any(key not in locked for key in keys)


def live() -> int | None:
    """Returns the number of the version that is live now."""
    active = queries.active()
    return None if active is None else active.version_id


def of_version(number: int) -> ReplayedRules:
    """Returns a stored version. Raises RuleSetRefused if this release of the hub would interpret that version
    differently."""
    return _compiled(accept_stored(sql_for_payments.content(number)), number, follows_history=number == live())


def of_text(raw: bytes) -> ReplayedRules:
    """Returns the rules that this text contains. If the text has faults, raises one RuleSetRefused that lists all of
    them."""
    return _compiled(accept_text(raw), None, follows_history=False)


def _compiled(rule_set: RuleSet, version: int | None, *, follows_history: bool) -> ReplayedRules:
    if not follows_history:
        rule_set = replace(rule_set, rules=tuple(_judged(rule) for rule in rule_set.rules))
    by_gate = {gate: compile_rules(rule_set, gate) for gate in GATES}
    return ReplayedRules(
        rule_set.name,
        version,
        follows_history,
        by_gate,
        compile_rules(rule_set, "transfer", with_rules_of=ALSO_AT_TRANSFERS),
        compile_rules(for_judging_again(rule_set), "transfer", with_rules_of=ALSO_AT_TRANSFERS),
        subjects_read([need for compiled in by_gate.values() for need in compiled.needs]),
    )


def _judged(rule: Rule) -> Rule:
    return replace(rule, mode="live") if rule.mode == "draft" else rule


class ActiveThen:
    """For each moment of the past, the version of the rules that was active then."""

    def __init__(self) -> None:
        rows = [
            (each.valid_from, each.pk, each.valid_until, each.version_id, each.created_at)
            for each in Activation.objects.filter(cancelled_at__isnull=True)
        ]
        planned = {begin for begin, *_, created in rows if begin - created > _PLANNED_BEFORE}
        planned |= {until for _, _, until, *_ in rows if until is not None}
        self._planned = sorted(planned)
        moments = {begin for begin, *_ in rows} | {until for _, _, until, *_ in rows if until is not None}
        self._moments = sorted(moments)
        self._versions: list[int | None] = [None]
        for moment in self._moments:
            begun = [row for row in rows if row[0] <= moment and (row[2] is None or row[2] > moment)]
            self._versions.append(max(begun)[3] if begun else None)

    def version_at(self, moment: datetime) -> int | None:
        """Returns the version of the rules that was active at this moment, or None if no rules judged payments."""
        return self._versions[bisect_right(self._moments, moment)]

    def has_just_changed(self, moment: datetime) -> bool:
        """Returns whether another version became active shortly before this moment, as planned.

        A group reads the active rules, and then waits for locks. If a planned period begins or ends in between, the
        group judges its payments by the earlier version. An immediate activation waits until such groups have ended.
        """
        latest = bisect_right(self._planned, moment)
        return latest > 0 and moment - self._planned[latest - 1] < _JUDGED_WITHIN


class VariancesThen:
    """For each moment of the past, the exceptions that applied then. Callers of this class ask for moments roughly in
    ascending order."""

    def __init__(self) -> None:
        rows = Variance.objects.order_by("-id").values_list("created_at", "rule", "dfsp", "until")
        self._coming = list(rows)
        self._now: dict[str, dict[str, datetime]] = {}

    def at(self, moment: datetime) -> Variances:
        """Returns the exceptions to rules that applied at this moment."""
        while self._coming and self._coming[-1][0] <= moment:
            _, rule, dfsp, until = self._coming.pop()
            self._now.setdefault(rule, {})[dfsp] = until
        return self._now
