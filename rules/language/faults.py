"""The faults of a rule set. Each fault has a place in the rule set, a code and a text. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """One fault of a rule set."""

    path: str
    """The place of the fault, for example `rules[3].if.all[0].value.amount`. The place is empty for a fault of the
    whole document.
    """
    code: str
    params: Mapping[str, Any]

    @property
    def text(self) -> str:
        """Returns the fault in English, without its place."""
        return TEXTS[self.code].format(**self.params)

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


class RuleSetRefused(ValueError):
    """The error for a rule set with faults. The error contains every fault."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, faults)))


TEXTS: Mapping[str, str] = {
    "not_json": "the document is not JSON that the hub accepts: {reason}",
    "too_large": "the document has more than {most} bytes",
    "wrong_type": "must be {wanted}",
    "unknown_member": "{name} is not a known name in this object; known names are {known}",
    "missing_member": "{name} is missing",
    "wrong_language": "the hub reads version {known} of the language, not version {found}",
    "not_one_of": "{found} is not allowed; allowed values are {allowed}",
    "wrong_form": "{found} does not have the form {wanted}",
    "out_of_bounds": "the value must be from {least} to {most}",
    "too_many": "has more than {most} {things}",
    "empty": "must not be empty",
    "too_deep": "conditions are nested more than {most} levels deep",
    "id_twice": "another rule has the id {id}",
    "unknown_time_zone": "{found} is not a time zone",
    "unknown_fact": "there is no fact {found}{similar}",
    "fact_not_at_gate": "{fact} is not known at the gate {gate}, only at {gates}",
    "trigger_not_at_gate": "{name} are not known at the gate {gate}",
    "action_not_at_gate": "a payment cannot be held at the lookup",
    "wrong_operator": "{fact} cannot be compared by {found}; allowed operators are {allowed}",
    "wrong_unit": "{fact} is compared with {wanted}, not with {found}",
    "value_not_needed": "{operator} takes no value",
    "needs_window": "{fact} needs a window",
    "no_window": "{fact} has no window",
    "needs_key": "{fact} needs the key of an extension",
    "no_key": "{fact} has no key",
    "wrong_amount": "{found} is not an amount: {reason}",
    "mixed_currencies": "the rule already has amounts in {first}; a rule can have amounts in only one currency",
    "currency_not_of_trigger": "the rule looks at payments in {trigger}, so its amounts cannot be in {found}",
    "no_time_between": "the two times are equal",
    "hold_needs_one_end": 'a hold needs exactly one of the members "for" and "until"',
    "code_not_of_scheme": (
        "{found} is not a scheme's error code; a scheme's codes are xx40 to xx99 of the categories 3000, 4000, 5000"
    ),
    "text_of_fraud_rule": (
        "a fraud rule cannot have its own text, because a DFSP must not learn which rule refused the payment"
    ),
    "no_condition": (
        "a rule needs a condition or a trigger; a rule without a condition and a trigger would stop every payment"
    ),
    "refund_needs_scenario": "{fact} needs the trigger scenarios to be REFUND only",
    "contradiction": "the conditions on {fact} cannot be true at the same time",
    "too_costly": (
        "up to this rule, the rules of the gate {gate} cost {cost_us} us; the largest permitted cost is {most_us} us"
    ),
    "limit_too_high": (
        "a limit at the transfer can be exact only up to {most} payments; use an alert, a hold, or the gate quote"
    ),
    "limit_needs_count": (
        "{fact} is exact only if the number of payments is limited too: add a live rule at the transfer that "
        "refuses these payments by {count} above {most} or less, in an equal or longer window"
    ),
    "inexact_fact": "{fact} is not exact, so a live rule at the transfer cannot refuse payments by this fact",
}
"""The texts of all faults."""
