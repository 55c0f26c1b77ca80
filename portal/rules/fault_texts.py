"""The faults of a rule set, in the visitor's language. The code of the fault selects the text."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from rules.language.faults import Fault

TEXTS: Mapping[str, Promise] = {
    "not_json": gettext_lazy("the document is not JSON that the hub accepts: %(reason)s"),
    "too_large": gettext_lazy("the document has more than %(most)s bytes"),
    "wrong_type": gettext_lazy("must be %(wanted)s"),
    "unknown_member": gettext_lazy("%(name)s is not a known name in this object; known names are %(known)s"),
    "missing_member": gettext_lazy("%(name)s is missing"),
    "wrong_language": gettext_lazy("the hub reads version %(known)s of the language, not version %(found)s"),
    "not_one_of": gettext_lazy("%(found)s is not allowed; allowed values are %(allowed)s"),
    "wrong_form": gettext_lazy("%(found)s does not have the form %(wanted)s"),
    "out_of_bounds": gettext_lazy("the value must be from %(least)s to %(most)s"),
    "too_many": gettext_lazy("has more than %(most)s %(things)s"),
    "empty": gettext_lazy("must not be empty"),
    "too_deep": gettext_lazy("conditions are nested more than %(most)s levels deep"),
    "id_twice": gettext_lazy("another rule has the id %(id)s"),
    "unknown_time_zone": gettext_lazy("%(found)s is not a time zone"),
    "unknown_fact": gettext_lazy("there is no fact %(found)s%(similar)s"),
    "fact_not_at_gate": gettext_lazy("%(fact)s is not known at the gate %(gate)s, only at %(gates)s"),
    "trigger_not_at_gate": gettext_lazy("%(name)s are not known at the gate %(gate)s"),
    "action_not_at_gate": gettext_lazy("a payment cannot be held at the lookup"),
    "wrong_operator": gettext_lazy("%(fact)s cannot be compared by %(found)s; allowed operators are %(allowed)s"),
    "wrong_unit": gettext_lazy("%(fact)s is compared with %(wanted)s, not with %(found)s"),
    "value_not_needed": gettext_lazy("%(operator)s takes no value"),
    "needs_window": gettext_lazy("%(fact)s needs a window"),
    "no_window": gettext_lazy("%(fact)s has no window"),
    "needs_key": gettext_lazy("%(fact)s needs the key of an extension"),
    "no_key": gettext_lazy("%(fact)s has no key"),
    "wrong_amount": gettext_lazy("%(found)s is not an amount: %(reason)s"),
    "mixed_currencies": gettext_lazy(
        "the rule already has amounts in %(first)s; a rule can have amounts in only one currency"
    ),
    "currency_not_of_trigger": gettext_lazy(
        "the rule looks at payments in %(trigger)s, so its amounts cannot be in %(found)s"
    ),
    "no_time_between": gettext_lazy("the two times are equal"),
    "hold_needs_one_end": gettext_lazy('a hold needs exactly one of the members "for" and "until"'),
    "code_not_of_scheme": gettext_lazy(
        "%(found)s is not a scheme's error code; a scheme's codes are xx40 to xx99 of the categories 3000, 4000, 5000"
    ),
    "text_of_fraud_rule": gettext_lazy(
        "a fraud rule cannot have its own text, because a DFSP must not learn which rule refused the payment"
    ),
    "no_condition": gettext_lazy(
        "a rule needs a condition or a trigger; a rule without a condition and a trigger would stop every payment"
    ),
    "refund_needs_scenario": gettext_lazy("%(fact)s needs the trigger scenarios to be REFUND only"),
    "contradiction": gettext_lazy("the conditions on %(fact)s cannot be true at the same time"),
    "too_costly": gettext_lazy(
        "up to this rule, the rules of the gate %(gate)s cost %(cost_us)s us; "
        "the largest permitted cost is %(most_us)s us"
    ),
    "limit_too_high": gettext_lazy(
        "a limit at the transfer can be exact only up to %(most)s payments; use an alert, a hold, or the gate quote"
    ),
    "limit_needs_count": gettext_lazy(
        "%(fact)s is exact only if the number of payments is limited too: add a live rule at the transfer that "
        "refuses these payments by %(count)s above %(most)s or less, in an equal or longer window"
    ),
    "inexact_fact": gettext_lazy(
        "%(fact)s is not exact, so a live rule at the transfer cannot refuse payments by this fact"
    ),
}


def text_of(fault: Fault) -> str:
    """Returns the text of the fault, without the fault's place in the rule set."""
    return str(TEXTS[fault.code]) % dict(fault.params)
