"""The results of a replay, in bounded memory. Pure."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import combinations

from rules.decide import Verdict
from rules.facts import Facts
from rules.rulesets.decisions import raises_alert

EXAMPLES = 20
_MOST_TOLD = 20


@dataclass(slots=True)
class OfRule:
    """The results of one rule in a replay."""

    hits: int = 0
    alerts: int = 0
    holds: int = 0
    refusals: int = 0
    skipped: int = 0
    no_effect: int = 0  # hits that change nothing, because of a shadow rule or an exception
    refused_value: Counter[str] = field(default_factory=Counter)  # for each currency, an amount in ten-thousandths


@dataclass(frozen=True, slots=True)
class Example:
    """An example for the report: one payment for which at least one rule fired."""

    gate: str
    subject: str
    at: datetime
    payer_dfsp: str
    payee_dfsp: str
    currency: str
    amount: int
    outcome: str
    code: str | None
    rules: tuple[str, ...]
    outcome_then: str


@dataclass(slots=True)
class Report:
    """The numbers that a replay computes for its report. A hit of a shadow rule has no effect on the payment."""

    judged: Counter[str] = field(default_factory=Counter)  # for each gate, the number of payments that the rules judged
    not_judged: int = 0  # payments without facts: the hub has erased the facts or has never stored them
    outcomes: Counter[str] = field(default_factory=Counter)
    # for each currency, the sum of the amounts of refused transfers and refused quotes
    refused_value: Counter[str] = field(default_factory=Counter)
    rules: dict[str, OfRule] = field(default_factory=dict)
    alerts: Counter[date] = field(default_factory=Counter)
    # for each pair of rules, the number of payments for which both rules fired
    overlaps: Counter[tuple[str, str]] = field(default_factory=Counter)
    of_dfsps: Counter[str] = field(default_factory=Counter)  # for each payer DFSP, the number of judged payments
    # for each payer DFSP, the number of its payments that were held, were refused, or raised an alert
    hits_of_dfsps: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)
    # for each pair (stored outcome, replayed outcome) of two different outcomes, the number of payments
    changed: Counter[tuple[str, str]] = field(default_factory=Counter)
    # The fields below are only for the live version:
    compared: int = 0  # the number of stored decisions that the live version made
    reproduced: int = 0
    by_kill_switch: int = 0  # reproduced decisions whose refusal came from a kill switch, not from a rule
    # decisions that differ only in rules that read counters without a lock; these counters can be a second old
    late: int = 0
    differences: list[str] = field(default_factory=list)
    different: int = 0
    _with_hits: int = 0
    _chance: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 (examples, no secret)

    def add(self, subject: str, facts: Facts, verdict: Verdict, then: str) -> None:
        """Adds one verdict to the results of the replay. `then` is the outcome that the hub stored for the same lookup,
        quote or transfer."""
        self.judged[facts.gate] += 1
        self.outcomes[verdict.outcome] += 1
        self.of_dfsps[facts.payer_dfsp] += 1
        if verdict.outcome != then:
            self.changed[then, verdict.outcome] += 1
        if verdict.outcome == "REFUSE" and facts.currency is not None:
            self.refused_value[facts.currency] += facts.amount
        if verdict.hits:
            self._add_hits(subject, facts, verdict, then)

    def _add_hits(self, subject: str, facts: Facts, verdict: Verdict, then: str) -> None:
        day = facts.now.date()
        for hit in verdict.hits:
            rule = self.rules.setdefault(hit.rule, OfRule())
            rule.hits += 1
            rule.skipped += hit.skipped
            if not hit.counts:
                rule.no_effect += 1
                continue
            if raises_alert(hit):
                rule.alerts += 1
                self.alerts[day] += 1
            rule.holds += hit.action == "hold"
            if hit.action == "refuse":
                rule.refusals += 1
                rule.refused_value[facts.currency or ""] += facts.amount
        if verdict.outcome != "ALLOW":
            self.hits_of_dfsps[facts.payer_dfsp] += 1
        fired = [hit.rule for hit in verdict.hits if not hit.skipped or (hit.counts and hit.action != "alert")]
        if not fired:
            return  # no rule fired; skipped rules do not count, because every payment without facts skips rules
        self.overlaps.update(combinations(sorted(set(fired)), 2))
        self._with_hits += 1
        place = len(self.examples) if len(self.examples) < EXAMPLES else self._chance.randrange(self._with_hits)
        if place < EXAMPLES:
            self.examples[place : place + 1] = [_example(subject, facts, verdict, then, fired)]

    def differs(self, text: str) -> None:
        """Adds a stored decision that the replay did not reproduce."""
        self.different += 1
        if len(self.differences) < _MOST_TOLD:
            self.differences.append(text)

    @property
    def hits(self) -> int:
        """The total number of hits of all rules in a replay."""
        return sum(rule.hits for rule in self.rules.values())

    @property
    def alerts_per_day(self) -> float:
        """The mean number of alerts per day, from the first day with an alert to the last day with an alert."""
        if not self.alerts:
            return 0.0
        return self.alerts.total() / ((max(self.alerts) - min(self.alerts)).days + 1)

    def worst_hit(self) -> Sequence[tuple[str, int, int]]:
        """Returns the DFSPs with the highest percentage of payments for which rules fired. Each tuple contains the
        DFSP's name, the number of these payments, and the number of judged payments.
        """
        shares = [(name, hit, self.of_dfsps[name]) for name, hit in self.hits_of_dfsps.items()]
        return sorted(shares, key=lambda each: (-each[1] / each[2], each[0]))[:5]


def _example(subject: str, facts: Facts, verdict: Verdict, then: str, fired: Sequence[str]) -> Example:
    return Example(
        facts.gate,
        subject,
        facts.now,
        facts.payer_dfsp,
        facts.payee_dfsp or "",
        facts.currency or "",
        facts.amount,
        verdict.outcome,
        verdict.code,
        tuple(fired),
        then,
    )
