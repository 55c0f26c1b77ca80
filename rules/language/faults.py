"""The faults of a rule set. Each fault has its place in the rule set, a code and a text. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """One fault of a rule set."""

    path: str
    """The place of the fault, for example `rules[3].if.all[0].value.amount`. Empty for a fault of the whole document.
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
    """The error for a rule set with faults. It contains every fault."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, faults)))


TEXTS: Mapping[str, str] = {
    "not_json": "the document is no JSON that the hub accepts: {reason}",
    "too_large": "the document has more than {most} bytes",
    "wrong_type": "must be {wanted}",
    "unknown_member": "{name} is not known here; known are {known}",
    "missing_member": "{name} is missing",
    "wrong_language": "the hub knows language {known}, not {found}",
    "not_one_of": "{found} is not allowed; allowed are {allowed}",
    "wrong_form": "{found} does not have the form {wanted}",
    "out_of_bounds": "must be from {least} to {most}",
    "too_many": "has more than {most} {things}",
    "empty": "must not be empty",
    "too_deep": "conditions are nested deeper than {most}",
    "id_twice": "another rule has the id {id}",
    "unknown_time_zone": "{found} is no time zone",
    "unknown_fact": "there is no fact {found}{similar}",
    "fact_not_at_gate": "{fact} is not known at the gate {gate}, only at {gates}",
    "trigger_not_at_gate": "{name} are not known at the gate {gate}",
    "action_not_at_gate": "a payment cannot be held at the lookup",
    "wrong_operator": "{fact} cannot be compared by {found}; allowed are {allowed}",
    "wrong_unit": "{fact} is compared with {wanted}, not with {found}",
    "value_not_needed": "{operator} takes no value",
    "needs_window": "{fact} needs a window",
    "no_window": "{fact} has no window",
    "needs_key": "{fact} needs the key of an extension",
    "no_key": "{fact} has no key",
    "wrong_amount": "{found} is no amount: {reason}",
    "mixed_currencies": "the rule already has amounts in {first}; one rule has amounts of one currency",
    "currency_not_of_trigger": "the rule looks at payments in {trigger}, so its amounts cannot be in {found}",
    "no_time_between": "the two times are equal",
    "hold_needs_one_end": "a hold needs either for or until",
    "code_not_of_scheme": "{found} is no code of a scheme; these are xx40 to xx99 of the categories 3000, 4000, 5000",
    "text_of_fraud_rule": "a fraud rule has no text of its own, because a DFSP must not learn which rule refused",
    "no_condition": "a rule needs a condition or a trigger; otherwise it would stop every payment",
    "refund_needs_scenario": "{fact} needs the trigger scenarios to be REFUND only",
    "contradiction": "the conditions on {fact} cannot be true at the same time",
    "too_costly": "the rules of the gate {gate} cost {cost_us} us up to here; the most is {most_us} us",
    "limit_too_high": "a limit at the transfer is exact up to {most} payments; use an alert, a hold, or the gate quote",
    "limit_needs_count": (
        "{fact} is exact only beside a count: a live rule at the transfer must refuse the same payments by {count}, "
        "above {most} or less, in the same or a longer window"
    ),
    "inexact_fact": "{fact} is not exact, so that a live rule at the transfer cannot refuse by it",
}
"""The texts of all faults."""
