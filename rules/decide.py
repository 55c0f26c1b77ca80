"""Judges one payment at one gate. Several rules can fire for the payment. This module makes one verdict from the
results of these rules. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from rules.facts import Facts
from rules.language.compiled_types import CompiledRules
from rules.language.counter_types import Counters
from rules.language.fact_catalogue import FACTS
from rules.language.interpret import holds, reader_of
from rules.language.local_time import seconds_until
from rules.language.needed_counters import comparisons
from rules.language.refusal_codes import text_of
from rules.language.rule_types import Alert, Hold, Kind, Refuse, Rule
from rules.language.values_of_conditions import Reading, read_conditions

Outcome = Literal["ALLOW", "ALERT", "HOLD", "REFUSE"]
Variances = Mapping[str, Mapping[str, datetime]]
"""Exceptions from rules: rule id -> DFSP -> the end of the DFSP's exception."""


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that fired, or one rule that the hub could not check."""

    rule: str
    kind: Kind
    action: Literal["alert", "hold", "refuse"]
    """The effect of the hit. If the hub could not check the rule, but the rule lets payments pass in this case, the
    only effect is an alert."""
    code: str | None = None
    text: str = ""
    """The text that a DFSP receives with the error code. The text never names the fraud rule that fired."""
    hold_for_s: int | None = None
    shadow: bool = False
    """True for a rule in shadow mode. The hit is reported, but has no effect on the payment."""
    skipped: bool = False
    """True if the hub could not check the conditions because a fact was missing.

    Such a hit raises an alert, except for a shadow rule.
    """
    excused: bool = False
    """True if the payer or payee DFSP has an exception from the rule.

    The hit is reported, but has no effect on the payment.
    """
    readings: tuple[Reading, ...] = ()
    """Each condition of the rule, with the payment's value for the fact in the condition."""

    @property
    def counts(self) -> bool:
        """Returns whether the hit has an effect on the payment."""
        return not (self.shadow or self.excused)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The decision about a payment at one gate: the outcome, and every rule that fired."""

    outcome: Outcome
    code: str | None = None
    text: str = ""
    hold_for_s: int | None = None
    hits: tuple[Hit, ...] = ()

    @property
    def alerts(self) -> tuple[Hit, ...]:
        """Returns the hits that raise an alert, whatever the outcome of the payment is."""
        return tuple(hit for hit in self.hits if hit.counts and (hit.action == "alert" or hit.skipped))


ALLOW = Verdict(outcome="ALLOW")


def judge(facts: Facts, compiled: CompiledRules, counters: Counters, variances: Variances | None = None) -> list[Hit]:
    """Returns the rules that fire for this payment, in the order of the rule set.

    The facts must belong to the same gate as the compiled rules.
    """
    fired = compiled.evaluate(facts, counters.get)
    if fired and facts.fx:
        fired = [each for each in fired if _is_about_conversion(each, facts, compiled, counters)]
    if not fired:
        return []
    fired.sort(key=_position)
    return [_hit(position, facts, compiled, counters, variances) for position in fired]


def verdict_of(hits: Sequence[Hit]) -> Verdict:
    """Combines the hits of rules into one verdict. A refusal overrides a hold, and a hold overrides an alert.

    The verdict has the code of the first refusal, or the end of the longest hold.
    """
    if not hits:
        return ALLOW
    counting = [hit for hit in hits if hit.counts]
    for hit in counting:
        if hit.action == "refuse":
            return Verdict(outcome="REFUSE", code=hit.code, text=hit.text, hits=tuple(hits))
    holds = [hit.hold_for_s for hit in counting if hit.hold_for_s is not None]
    if holds:
        return Verdict(outcome="HOLD", hold_for_s=max(holds), hits=tuple(hits))
    return Verdict(outcome="ALERT" if counting else "ALLOW", hits=tuple(hits))


def _is_about_conversion(fired: int, facts: Facts, compiled: CompiledRules, counters: Counters) -> bool:
    """Returns whether a rule that fired for a conversion judges the conversion.

    Rules about parties and about the details of a payment judge the transfer to which the conversion belongs. If such a
    rule also has conditions that are enough for a conversion, such as a large amount, the rule judges the conversion.
    """
    rule = compiled.rules[_position(fired)]
    reads_only_conversions = all(FACTS[each.fact].is_of_conversions for each in comparisons(rule.whole_condition))
    if reads_only_conversions and not rule.when.scenarios:
        return True
    return fired >= 0 and holds(rule.whole_condition, reader_of(compiled, facts, counters.get), rule.when) is True


def _position(fired: int) -> int:
    return fired if fired >= 0 else ~fired


def _hit(fired: int, facts: Facts, compiled: CompiledRules, counters: Counters, variances: Variances | None) -> Hit:
    rule = compiled.rules[_position(fired)]
    skipped = fired < 0
    action = Alert() if skipped and rule.on_missing == "open" else rule.action
    return Hit(
        rule=rule.id,
        kind=rule.kind,
        action=_NAMES[type(action)],
        code=action.code if isinstance(action, Refuse) else None,
        text=(action.text or text_of(action.code)) if isinstance(action, Refuse) else "",
        hold_for_s=_hold_for(action, facts, compiled.time_zone) if isinstance(action, Hold) else None,
        shadow=rule.mode == "shadow",
        skipped=skipped,
        excused=variances is not None and _is_excused(rule, facts, variances),
        readings=read_conditions(rule, facts, compiled, counters),
    )


def _hold_for(hold: Hold, facts: Facts, time_zone: str) -> int:
    if hold.until_minute is not None:
        return seconds_until(hold.until_minute, facts.now, time_zone)
    assert hold.for_s is not None
    return hold.for_s


def _is_excused(rule: Rule, facts: Facts, variances: Variances) -> bool:
    dfsps = variances.get(rule.id)
    if not dfsps:
        return False
    ends = (dfsps.get(facts.payer_dfsp), dfsps.get(facts.payee_dfsp or ""))
    return any(end is not None and facts.now < end for end in ends)


_NAMES: Mapping[type, Literal["alert", "hold", "refuse"]] = {Alert: "alert", Hold: "hold", Refuse: "refuse"}
