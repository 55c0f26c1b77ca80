"""Rule sets as typed data. `parse` creates this data from a document. `compile` and `interpret` read the data. Pure."""

from typing import Literal

import msgspec

from rules.facts import Gate

LANGUAGE = 1
"""The version of the language. Each rule set contains the version of its language."""

Kind = Literal["scheme", "fraud"]
Mode = Literal["live", "shadow", "draft"]
OnMissing = Literal["open", "closed"]
Operator = Literal[
    "above",
    "at_least",
    "below",
    "at_most",
    "equals",
    "in",
    "not_in",
    "between",
    "not_between",
    "has_any",
    "has_all",
    "has_none",
    "lacks_any",
    "true",
    "false",
    "present",
    "absent",
]


class _Node(msgspec.Struct, frozen=True):
    pass


class Comparison(_Node, frozen=True):
    """A comparison of one fact with a value."""

    fact: str
    operator: Operator
    value: int | frozenset[str] | tuple[int, int] | None = None
    """A number in the fact's unit, texts, or two minutes of the day. The first of the two minutes is included, and the
    second minute is excluded.

    None if the operator needs no value.
    """
    window_s: int = 0
    key: str = ""
    """The key of the extension that the fact reads."""
    currency: str = ""
    """The currency of an amount."""


class All(_Node, frozen=True):
    """The condition `all` is true if all inner conditions are true."""

    conditions: tuple["Condition", ...]


class AnyOf(_Node, frozen=True):
    """The condition `any` is true if one of the inner conditions is true."""

    conditions: tuple["Condition", ...]


class Not(_Node, frozen=True):
    """The condition `not` is true if the inner condition is false."""

    condition: "Condition"


Condition = Comparison | All | AnyOf | Not


class Trigger(_Node, frozen=True):
    """The payments to which a rule applies. An empty set does not restrict the payments."""

    currencies: frozenset[str] = frozenset()
    scenarios: frozenset[str] = frozenset()
    payer_dfsps: frozenset[str] = frozenset()
    payee_dfsps: frozenset[str] = frozenset()


class Refuse(_Node, frozen=True):
    """Refuses the payment with one of the scheme's error codes."""

    code: str
    text: str = ""
    """The text that DFSPs receive. Only scheme rules have such a text. If the text is empty, DFSPs receive the code's
    own text."""


class Alert(_Node, frozen=True):
    """Does not stop the payment, but raises an alert."""


class Hold(_Node, frozen=True):
    """Reserves the payment. The hub sends the payment to the payee DFSP only after the hold. Exactly one of `for_s` and
    `until_minute` is set."""

    for_s: int | None = None
    until_minute: int | None = None
    """The minute of the day, in the scheme's time zone."""
    unless_paid_before: bool = False
    """Whether the hold exempts payees that this payer has paid before."""


Action = Refuse | Alert | Hold


NOT_PAID_BEFORE = Comparison("pair.paid_before", "false")


class Rule(_Node, frozen=True):
    """One rule."""

    id: str
    title: str
    kind: Kind
    gate: Gate
    when: Trigger
    condition: Condition
    """The condition under `if` in the document. Without `if`, the condition is always true."""
    action: Action
    mode: Mode = "live"
    on_missing: OnMissing = "open"

    @property
    def whole_condition(self) -> Condition:
        """Returns the condition of the rule, without the trigger of the rule.

        If a hold exempts known payees, the result includes the condition that the payee is new to the payer.
        """
        if isinstance(self.action, Hold) and self.action.unless_paid_before:
            return All((self.condition, NOT_PAID_BEFORE))
        return self.condition


class RuleSet(_Node, frozen=True):
    """A whole rule set. If several rules refuse a payment, the order of the rules decides which refusal a DFSP
    receives."""

    name: str
    rules: tuple[Rule, ...]
    language: int = LANGUAGE
    time_zone: str = "UTC"
    """The scheme's time zone, for hours, weekdays and dates."""
