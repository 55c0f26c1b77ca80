"""Describes rules in plain sentences, in the visitor's language."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import formats
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.amounts_and_durations import money
from portal.words import kinds
from rules.language.fact_catalogue import FACTS, MARKERS
from rules.language.refusal_codes import text_of
from rules.language.rule_types import AnyOf, Comparison, Condition, Hold, Not, Refuse, Rule

FACT_NAMES: Mapping[str, Promise] = {
    "amount": gettext_lazy("Amount"),
    "currency": gettext_lazy("Currency"),
    "payer.dfsp": gettext_lazy("Payer DFSP"),
    "payee.dfsp": gettext_lazy("Payee DFSP"),
    "payer.id_type": gettext_lazy("Type of the payer's identifier"),
    "payee.id_type": gettext_lazy("Type of the payee's identifier"),
    "payer.type": gettext_lazy("Type of payer"),
    "payer.kyc_tier": gettext_lazy("KYC tier of the payer"),
    "scenario": gettext_lazy("Use case"),
    "sub_scenario": gettext_lazy("Sub-scenario"),
    "initiator": gettext_lazy("Initiator"),
    "initiator_type": gettext_lazy("Type of initiator"),
    "merchant_code": gettext_lazy("Merchant code of the payee"),
    "elements": gettext_lazy("Elements of the quote's request"),
    "extension": gettext_lazy("Extension"),
    "expires_in": gettext_lazy("Time until the message expires"),
    "time_of_day": gettext_lazy("Time of day"),
    "weekday": gettext_lazy("Weekday"),
    "date": gettext_lazy("Date"),
    "bulk": gettext_lazy("The payment is an item of a bulk"),
    "fx": gettext_lazy("The payment is a conversion of currencies"),
    "quoted": gettext_lazy("The hub saw the quote of the transfer"),
    "equals_quote": gettext_lazy("The transfer has the amount and currency of its quote"),
    "payer.lists": gettext_lazy("Lists that the payer is on"),
    "payee.lists": gettext_lazy("Lists that the payee is on"),
    "payer.markers": gettext_lazy("Fraud markers on the payer"),
    "payee.markers": gettext_lazy("Fraud markers on the payee"),
    "payer.sent_count": gettext_lazy("Number of payments that the payer sent"),
    "payer.sent_value": gettext_lazy("Value of the payments that the payer sent"),
    "payer.received_count": gettext_lazy("Number of payments that the payer received"),
    "payer.received_value": gettext_lazy("Value of the payments that the payer received"),
    "payee.sent_count": gettext_lazy("Number of payments that the payee sent"),
    "payee.sent_value": gettext_lazy("Value of the payments that the payee sent"),
    "payee.received_count": gettext_lazy("Number of payments that the payee received"),
    "payee.received_value": gettext_lazy("Value of the payments that the payee received"),
    "alias.received_count": gettext_lazy("Number of payments that the payee's identifier received"),
    "alias.received_value": gettext_lazy("Value of the payments that the payee's identifier received"),
    "payer_dfsp.sent_count": gettext_lazy("Number of payments that the payer DFSP sent"),
    "payer_dfsp.sent_value": gettext_lazy("Value of the payments that the payer DFSP sent"),
    "payee_dfsp.received_count": gettext_lazy("Number of payments that the payee DFSP received"),
    "payee_dfsp.received_value": gettext_lazy("Value of the payments that the payee DFSP received"),
    "pair.sent_count": gettext_lazy("Number of payments from this payer to this payee"),
    "pair.sent_value": gettext_lazy("Value of the payments from this payer to this payee"),
    "payer.distinct_payees": gettext_lazy("Number of parties that the payer paid"),
    "payee.distinct_payers": gettext_lazy("Number of parties that paid the payee"),
    "payer.age": gettext_lazy("Time since the payer's first payment"),
    "payee.age": gettext_lazy("Time since the payee's first payment"),
    "payer.idle": gettext_lazy("Time since the payer's previous payment"),
    "payee.idle": gettext_lazy("Time since the payee's previous payment"),
    "payee.moved": gettext_lazy("The payee's identifier moved to another DFSP"),
    "pair.age": gettext_lazy("Time since this payer first paid this payee"),
    "pair.paid_before": gettext_lazy("This payer has paid this payee before"),
    "payer.percent_of_average": gettext_lazy("Amount compared with the payer's average payment"),
    "payer.percent_passed_on": gettext_lazy("Part of the received money that the payer passed on to others"),
    "refund.original_found": gettext_lazy("The refunded payment was committed in this hub"),
    "refund.parties_swapped": gettext_lazy("The refund goes back to the payer"),
    "refund.within_original": gettext_lazy("All refunds together are at most the refunded payment"),
    "refund.since_original": gettext_lazy("Time since the refunded payment"),
}

_OPERATORS: Mapping[str, Promise] = {
    "above": gettext_lazy("above %(value)s"),
    "at_least": gettext_lazy("at least %(value)s"),
    "below": gettext_lazy("below %(value)s"),
    "at_most": gettext_lazy("at most %(value)s"),
    "equals": gettext_lazy("exactly %(value)s"),
    "in": gettext_lazy("one of %(value)s"),
    "not_in": gettext_lazy("none of %(value)s"),
    "between": gettext_lazy("between %(value)s"),
    "not_between": gettext_lazy("not between %(value)s"),
    "has_any": gettext_lazy("at least one of %(value)s"),
    "has_all": gettext_lazy("all of %(value)s"),
    "has_none": gettext_lazy("not one of %(value)s"),
    "lacks_any": gettext_lazy("without at least one of %(value)s"),
    "true": gettext_lazy("yes"),
    "false": gettext_lazy("no"),
    "present": gettext_lazy("present"),
    "absent": gettext_lazy("absent"),
}
GATES: Mapping[str, Promise] = {
    "lookup": gettext_lazy("Lookup"),
    "quote": gettext_lazy("Quote"),
    "transfer": gettext_lazy("Transfer"),
}
"""The messages that rules judge."""
MOMENTS: Mapping[str, Promise] = {
    **GATES,
    "answer": gettext_lazy("Answer to the quote"),
    "release": gettext_lazy("Release of the held transfer"),
}
"""The moments at which the hub makes a decision."""
KINDS: Mapping[str, Promise] = {"scheme": gettext_lazy("Scheme rule"), "fraud": gettext_lazy("Fraud rule")}
MODES: Mapping[str, Promise] = {
    "live": gettext_lazy("Live: the rule acts"),
    "shadow": gettext_lazy("Shadow: the rule only reports"),
    "draft": gettext_lazy("Draft: the rule is not judged"),
}
ON_MISSING: Mapping[str, Promise] = {
    "open": gettext_lazy("Let the payment pass, and raise an alert"),
    "closed": gettext_lazy("Act as if the conditions were true"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A rule's condition in words, together with the conditions that this condition contains."""

    text: str
    parts: tuple["Part", ...] = ()


@dataclass(frozen=True, slots=True)
class Sentence:
    """A rule described in words."""

    rule: Rule
    gate: Promise
    kind: Promise
    trigger: tuple[str, ...]
    condition: Part | None
    action: str
    on_missing: Promise


def sentence_of(rule: Rule) -> Sentence:
    return Sentence(
        rule,
        GATES[rule.gate],
        KINDS[rule.kind],
        tuple(_trigger(rule)),
        _condition(rule.condition),
        _action(rule),
        ON_MISSING[rule.on_missing],
    )


def _trigger(rule: Rule) -> list[str]:
    when = rule.when
    named = (
        (_("Use cases"), when.scenarios),
        (_("Currencies"), when.currencies),
        (_("Payer DFSPs"), when.payer_dfsps),
        (_("Payee DFSPs"), when.payee_dfsps),
    )
    return [f"{title}: {', '.join(sorted(texts))}" for title, texts in named if texts]


def _condition(condition: Condition) -> Part | None:
    """Returns the condition in words. Returns None for a condition that is always true."""
    if isinstance(condition, Comparison):
        return Part(comparison_text(condition.fact, condition.operator, condition.value, **_more(condition)))
    if isinstance(condition, Not):
        return Part(_("Not true:"), _known(condition.condition))
    parts = _known(*condition.conditions)
    if not parts:
        return None
    return Part(_("One of these:") if isinstance(condition, AnyOf) else _("All of these:"), parts)


def _known(*conditions: Condition) -> tuple[Part, ...]:
    return tuple(part for part in map(_condition, conditions) if part is not None)


def _more(condition: Comparison) -> dict[str, Any]:
    return {"window_s": condition.window_s, "key": condition.key, "currency": condition.currency}


def comparison_text(
    fact: str, operator: str, threshold: Any, *, window_s: int = 0, key: str = "", currency: str = ""
) -> str:
    """Returns one condition in words."""
    name = fact_text(fact, window_s=window_s, key=key)
    return f"{name}: {operator_text(FACTS[fact].unit, operator, threshold, currency=currency)}"


def fact_text(fact: str, *, window_s: int = 0, key: str = "") -> str:
    """Returns the name of a fact, with its window or key."""
    name = str(FACT_NAMES.get(fact, fact))
    if key:
        name = f"{name} {key}"
    return _("%(fact)s in %(time)s") % {"fact": name, "time": duration(window_s)} if window_s else name


def operator_text(unit: str, operator: str, threshold: Any, *, currency: str = "") -> str:
    """Returns the comparison of a condition in words. The argument `unit` is the unit of the fact."""
    return str(_OPERATORS[operator]) % {"value": value_text(unit, threshold, currency=currency)}


def value_text(unit: str, value: Any, *, currency: str = "") -> str:
    """Returns a value of this unit as text for people."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, frozenset | set | list | tuple) and unit != "time":
        texts = map(_name_in_set, value) if unit == "set" else map(str, value)
        return ", ".join(sorted(texts)) or "–"
    if unit == "time":
        return "–".join(map(_clock, value)) if isinstance(value, list | tuple) else _clock(value)
    if unit == "amount":
        return f"{money(value, currency)} {currency}".strip()
    if unit == "duration":
        return duration(value)
    if unit == "percent":
        return f"{value} %"
    return formats.number_format(value, use_l10n=True, force_grouping=True) if isinstance(value, int) else str(value)


def _name_in_set(name: str) -> str:
    """Returns a kind of marker in words. The names of lists and elements keep their form."""
    return kinds.word_of(name) if name in MARKERS else name


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def duration(seconds: int) -> str:
    """Returns an exact duration in the largest unit that fits: 24 h, 90 min, 7 d."""
    if seconds == 0:
        return "0 s"
    sizes = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    if seconds == 86_400:
        return "24 h"
    return next(f"{seconds // size} {unit}" for size, unit in sizes if seconds % size == 0)


def _action(rule: Rule) -> str:
    action = rule.action
    if isinstance(action, Refuse):
        return _("Refuse with %(code)s: %(text)s") % {"code": action.code, "text": action.text or text_of(action.code)}
    if not isinstance(action, Hold):
        return _("Raise an alert")
    if action.until_minute is not None:
        held = _("Hold until %(time)s") % {"time": _clock(action.until_minute)}
    else:
        held = _("Hold for %(time)s") % {"time": duration(action.for_s or 0)}
    if not action.unless_paid_before:
        return held
    return _("%(hold)s, except payees that the payer has paid before") % {"hold": held}
