"""Forms that create the rules that most schemes need. Each form creates rules of the language from a few values. Pure.

A template returns rules as JSON values, so that a person can read and change the rules of a form.
`rules.language.checks_of_well_formed_rules` checks the rules of a template in the same way as imported rules.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from rules.language.counter_types import MOST_EVENTS
from rules.language.fact_catalogue import MARKERS, PARTY_TYPES, SCENARIOS
from rules.language.local_time import WEEKDAYS

ParameterUnit = Literal["amount", "count", "duration", "time", "texts", "text", "choice", "yes_or_no"]
Values = Mapping[str, Any]
RuleJson = dict[str, Any]


class Parameter(msgspec.Struct, frozen=True):
    """One input value of a form. The input value is a JSON value."""

    name: str
    title: str
    unit: ParameterUnit
    is_required: bool = True
    choices: tuple[str, ...] = ()
    """The permitted values of a choice, or the permitted texts. If empty, every text is permitted."""
    default: Any = None


class Template(msgspec.Struct, frozen=True):
    """A form, and the function that creates rules from the form's values."""

    name: str
    title: str
    description: str
    parameters: tuple[Parameter, ...]
    make: Callable[[Values], list[RuleJson]]


class TemplateError(ValueError):
    """The error for a missing or unknown value of a form. `parameter` is the name of the value."""

    def __init__(self, parameter: str, text: str) -> None:
        self.parameter = parameter
        super().__init__(f"{parameter}: {text}")


def make_rules(name: str, values: Values) -> list[RuleJson]:
    """Returns the rules of the template. Raises TemplateError if a value is missing or unknown.

    Every template also has the inputs `id`, `title`, `mode` and `on_missing`. If a template creates several rules, the
    ids of all rules except the first have a suffix.
    """
    template = TEMPLATES[name]
    known = {parameter.name for parameter in (*template.parameters, *_COMMON)}
    for given in values:
        if given not in known:
            raise TemplateError(given, "is not known")
    filled = {each.name: each.default for each in template.parameters if each.default is not None}
    filled |= {given: value for given, value in values.items() if value not in (None, [], "")}
    for parameter in (*template.parameters, *_COMMON):
        _check(parameter, filled)
    common: dict[str, Any] = {key: filled[key] for key in ("mode", "on_missing") if key in filled}
    return [
        {
            "id": f"{filled['id']}{rule.pop('id', '')}",
            "title": filled.get("title", template.title),
            "kind": "scheme",
            **rule,
            **common,
        }
        for rule in template.make(filled)
    ]


def _check(parameter: Parameter, values: Values) -> None:
    if parameter.name not in values:
        if parameter.is_required:
            raise TemplateError(parameter.name, "is missing")
        return
    value = values[parameter.name]
    if parameter.unit == "texts" and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
        raise TemplateError(parameter.name, "must be a list of texts")
    if parameter.unit in ("text", "choice") and not isinstance(value, str):
        raise TemplateError(parameter.name, "must be a text")
    if parameter.unit == "yes_or_no" and not isinstance(value, bool):
        raise TemplateError(parameter.name, "must be true or false")
    if parameter.unit == "amount" and not (isinstance(value, dict) and {"amount", "currency"} == set(value)):
        raise TemplateError(parameter.name, "must have an amount and a currency")
    if parameter.choices and not set([value] if isinstance(value, str) else value) <= set(parameter.choices):
        raise TemplateError(parameter.name, f"must be of {', '.join(parameter.choices)}")


# Conditions and triggers that several templates share.


def _is(fact: str, operator: str, value: Any = None, **more: Any) -> dict[str, Any]:
    found = {"fact": fact, "is": operator, **more}
    return found if value is None else {**found, "value": value}


def _all(*conditions: dict[str, Any] | None) -> dict[str, Any]:
    known = [each for each in conditions if each is not None]
    return known[0] if len(known) == 1 else {"all": known}


def _in(values: Values, name: str, fact: str) -> dict[str, Any] | None:
    return _is(fact, "in", values[name]) if name in values else None


def _when(values: Values, **more: Any) -> dict[str, Any]:
    names = ("currencies", "scenarios", "payer_dfsps", "payee_dfsps")
    found = {**{name: values[name] for name in names if name in values}, **more}
    return {"when": found} if found else {}


def _refuse(code: str) -> dict[str, Any]:
    return {"then": {"action": "refuse", "code": code}}


def _hold(values: Values) -> dict[str, Any]:
    bypass = {"bypass": "paid_before"} if values.get("except_paid_before") else {}
    return {"then": {"action": "hold", "for": values["hold_for"], **bypass}}


def _payer(values: Values) -> tuple[dict[str, Any] | None, ...]:
    return (
        _in(values, "kyc_tiers", "payer.kyc_tier"),
        _in(values, "payer_types", "payer.type"),
        _in(values, "sub_scenarios", "sub_scenario"),
    )


_COMMON = (
    Parameter("id", "Id", "text"),
    Parameter("title", "Title", "text", False),
    Parameter("mode", "Mode", "choice", False, ("live", "shadow", "draft")),
    Parameter("on_missing", "If a fact is missing", "choice", False, ("open", "closed")),
)
_SCENARIOS = Parameter("scenarios", "Use cases", "texts", False, tuple(sorted(SCENARIOS)))
_CURRENCIES = Parameter("currencies", "Currencies", "texts", False)
_PAYER_DFSPS = Parameter("payer_dfsps", "Payer DFSPs", "texts", False)
_PAYEE_DFSPS = Parameter("payee_dfsps", "Payee DFSPs", "texts", False)
_TRIGGER = (_SCENARIOS, _PAYER_DFSPS, _PAYEE_DFSPS)
_OF_PAYER = (
    Parameter("kyc_tiers", "KYC tiers of the payer", "texts", False),
    Parameter("payer_types", "Types of payer", "texts", False, tuple(sorted(PARTY_TYPES))),
    Parameter("sub_scenarios", "Sub-scenarios", "texts", False),
)
_SUBJECTS = ("payer", "payee", "alias", "payer_dfsp", "payee_dfsp", "pair")
_SUBJECT = Parameter("subject", "Limit for each", "choice", True, _SUBJECTS)
_WINDOW = Parameter("window", "Window", "duration", True, (), "PT24H")
_HOLD_FOR = Parameter("hold_for", "Hold for", "duration")
_BYPASS = Parameter("except_paid_before", "Except payees that the payer has paid before", "yes_or_no", False, (), True)
_DIRECTION = {"payer": "sent", "payer_dfsp": "sent", "pair": "sent"}
_COUNT_CODE = {"sent": "4240", "received": "5240"}
_VALUE_CODE = {"sent": "4241", "received": "5241"}


def _amount_cap(values: Values) -> list[RuleJson]:
    condition = _all(_is("amount", "above", values["most"]), *_payer(values))
    return [{"gate": "quote", **_when(values), "if": condition, **_refuse("3140")}]


def _amount_floor(values: Values) -> list[RuleJson]:
    condition = _all(_is("amount", "below", values["least"]), *_payer(values))
    return [{"gate": "quote", **_when(values), "if": condition, **_refuse("3140")}]


def _count_limit(values: Values) -> list[RuleJson]:
    direction = _DIRECTION.get(values["subject"], "received")
    fact = f"{values['subject']}.{direction}_count"
    condition = _is(fact, "above", values["most_payments"], window=values["window"])
    return [{"gate": "transfer", **_when(values), "if": condition, **_refuse(_COUNT_CODE[direction])}]


def _value_limit(values: Values) -> list[RuleJson]:
    direction = _DIRECTION.get(values["subject"], "received")
    fact = f"{values['subject']}.{direction}_value"
    condition = _is(fact, "above", values["most"], window=values["window"])
    trigger = _when(values, currencies=[values["most"]["currency"]])
    (count,) = _count_limit(values)
    return [
        {"gate": "transfer", **trigger, "if": condition, **_refuse(_VALUE_CODE[direction])},
        {**count, **trigger, "id": "-count"},
    ]


def _closed_corridor(values: Values) -> list[RuleJson]:
    return [{"gate": gate, "id": ending, **_when(values), **_refuse("3140")} for gate, ending in _QUOTE_AND_TRANSFER]


def _hours(values: Values) -> list[RuleJson]:
    outside = _is("time_of_day", "not_between", {"from": values["from"], "to": values["to"]})
    others = [day for day in WEEKDAYS if day not in values.get("weekdays", WEEKDAYS)]
    condition = {"any": [outside, _is("weekday", "in", others)]} if others else outside
    return [
        {"gate": gate, "id": ending, **_when(values), "if": condition, **_refuse("3140")}
        for gate, ending in _QUOTE_AND_TRANSFER
    ]


def _expiration(values: Values) -> list[RuleJson]:
    bounds = (
        _is("expires_in", "below", values["shortest"]) if "shortest" in values else None,
        _is("expires_in", "above", values["longest"]) if "longest" in values else None,
        _is("expires_in", "absent") if values.get("is_mandatory") else None,
    )
    known = [bound for bound in bounds if bound is not None]
    if not known:
        raise TemplateError("shortest", "is missing, and so is longest")
    condition = known[0] if len(known) == 1 else {"any": known}
    return [{"gate": values["gate"], **_when(values), "if": condition, **_refuse("3142")}]


def _mandatory_elements(values: Values) -> list[RuleJson]:
    condition = _is("elements", "lacks_any", values["elements"])
    return [{"gate": "quote", **_when(values), "if": condition, **_refuse("3143")}]


def _mandatory_extensions(values: Values) -> list[RuleJson]:
    absent = [_is("extension", "absent", key=key) for key in values["keys"]]
    condition = absent[0] if len(absent) == 1 else {"any": absent}
    return [{"gate": "quote", **_when(values), "if": condition, **_refuse("3143")}]


def _equals_quote(values: Values) -> list[RuleJson]:
    return [{"gate": "transfer", **_when(values), "if": _is("equals_quote", "false"), **_refuse("3144")}]


def _refunds(values: Values) -> list[RuleJson]:
    faults = [
        _is("refund.original_found", "false"),
        _is("refund.parties_swapped", "false"),
        _is("refund.within_original", "false"),
        _is("refund.since_original", "above", values["within"]),
    ]
    trigger = _when(values, scenarios=["REFUND"])
    return [{"gate": "transfer", **trigger, "if": {"any": faults}, **_refuse("3141")}]


def _excluded(values: Values) -> list[RuleJson]:
    found = []
    for party, code in (("payer", "4540"), ("payee", "5540")):
        for gate, ending in _gates_for(party):
            condition = _is(f"{party}.lists", "has_any", values["lists"])
            found.append(
                {"gate": gate, "id": f"-{party}{ending}", **_when(values), "if": condition, **_refuse(code)},
            )
    return found


def _kill_switch(values: Values) -> list[RuleJson]:
    if not {"payer_dfsps", "payee_dfsps", "currencies", "scenarios"} & set(values):
        raise TemplateError("payer_dfsps", "is missing, and so is every other trigger")
    return _closed_corridor(values)


def _marked(values: Values) -> list[RuleJson]:
    party = values["party"]
    condition = _is(f"{party}.markers", "has_any", values["markers"])
    code = "4540" if party == "payer" else "5540"
    then = {"then": {"action": "alert"}} if values["action"] == "alert" else _refuse(code)
    return [
        {"gate": gate, "id": ending, "kind": "fraud", **_when(values), "if": condition, **then}
        for gate, ending in _gates_for(party)
    ]


def _gates_for(party: str) -> tuple[tuple[str, str], ...]:
    """Returns the gates at which a rule can read the lists and markers of a party. A lookup does not name the payer."""
    return (*_QUOTE_AND_TRANSFER, ("lookup", "-lookup")) if party == "payee" else _QUOTE_AND_TRANSFER


def _night_delay(values: Values) -> list[RuleJson]:
    night = _is("time_of_day", "between", {"from": values["from"], "to": values["to"]})
    bypass = {"bypass": "paid_before"} if values.get("except_paid_before") else {}
    then = {"then": {"action": "hold", "until": values["to"], **bypass}}
    condition = _all(night, _above(values))
    # A payer can get a quote in the evening and pay at night, so the rules also judge the transfer.
    return [
        {"gate": gate, "id": ending, **_when(values), "if": condition, **then} for gate, ending in _QUOTE_AND_TRANSFER
    ]


def _new_payee_delay(values: Values) -> list[RuleJson]:
    condition = _all(_is("pair.paid_before", "false"), _above(values))
    return [{"gate": "quote", **_when(values), "if": condition, **_hold({**values, "except_paid_before": False})}]


def _changed_alias_delay(values: Values) -> list[RuleJson]:
    condition = _all(_is("payee.moved", "true", window=values["window"]), _above(values))
    return [{"gate": "quote", **_when(values), "if": condition, **_hold(values)}]


def _high_value_delay(values: Values) -> list[RuleJson]:
    condition = _all(_above(values), *_payer(values))
    return [{"gate": "quote", **_when(values), "if": condition, **_hold(values)}]


def _above(values: Values) -> dict[str, Any] | None:
    return _is("amount", "above", values["above"]) if "above" in values else None


_QUOTE_AND_TRANSFER = (("quote", ""), ("transfer", "-transfer"))
_ABOVE = Parameter("above", "Only above", "amount", False)
_MOST_PAYMENTS = Parameter("most_payments", f"Largest number of payments, up to {MOST_EVENTS - 1}", "count")

_ALL = (
    Template(
        "amount_cap",
        "Largest amount",
        "Refuses payments above an amount. You can choose the use cases, DFSPs, KYC tiers and payer types.",
        (Parameter("most", "Largest amount", "amount"), *_TRIGGER, *_OF_PAYER),
        _amount_cap,
    ),
    Template(
        "amount_floor",
        "Smallest amount",
        "Refuses payments below an amount. You can choose the use cases, DFSPs, KYC tiers and payer types.",
        (Parameter("least", "Smallest amount", "amount"), *_TRIGGER, *_OF_PAYER),
        _amount_floor,
    ),
    Template(
        "count_limit",
        "Number of payments",
        "Refuses a payment if a party, DFSP or pair has already reached the largest number of payments in the window.",
        (_SUBJECT, _MOST_PAYMENTS, _WINDOW, _CURRENCIES, *_TRIGGER),
        _count_limit,
    ),
    Template(
        "value_limit",
        "Value of payments",
        "Refuses a payment if a party, DFSP or pair would exceed the largest value or number in the window.",
        (_SUBJECT, Parameter("most", "Largest value", "amount"), _MOST_PAYMENTS, _WINDOW, *_TRIGGER),
        _value_limit,
    ),
    Template(
        "closed_corridor",
        "Closed corridor",
        "Refuses payments from given payer DFSPs to given payee DFSPs.",
        (
            Parameter("payer_dfsps", "Payer DFSPs", "texts"),
            Parameter("payee_dfsps", "Payee DFSPs", "texts"),
            _CURRENCIES,
        ),
        _closed_corridor,
    ),
    Template(
        "hours",
        "Hours",
        "Refuses payments outside the permitted hours or weekdays.",
        (
            Parameter("from", "From", "time"),
            Parameter("to", "To", "time"),
            Parameter("weekdays", "Weekdays", "texts", False, WEEKDAYS),
            _CURRENCIES,
            *_TRIGGER,
        ),
        _hours,
    ),
    Template(
        "expiration",
        "Expiration",
        "Refuses a quote or transfer that expires too soon or too late.",
        (
            Parameter("gate", "Of", "choice", True, ("quote", "transfer"), "transfer"),
            Parameter("shortest", "Shortest", "duration", False),
            Parameter("longest", "Longest", "duration", False),
            Parameter("is_mandatory", "Refuse a message without an expiration", "yes_or_no", False),
            *_TRIGGER,
        ),
        _expiration,
    ),
    Template(
        "mandatory_elements",
        "Mandatory elements",
        "Refuses a quote that lacks an element.",
        (Parameter("elements", "Elements", "texts"), _CURRENCIES, *_TRIGGER),
        _mandatory_elements,
    ),
    Template(
        "mandatory_extensions",
        "Mandatory extensions",
        "Refuses a quote that lacks an extension.",
        (Parameter("keys", "Keys", "texts"), _CURRENCIES, *_TRIGGER),
        _mandatory_extensions,
    ),
    Template(
        "equals_quote",
        "Transfer equals quote",
        "Refuses a transfer whose amount or currency differs from the terms of its quote.",
        (_CURRENCIES, *_TRIGGER),
        _equals_quote,
    ),
    Template(
        "refunds",
        "Refunds",
        "Refuses a refund that has no original payment, has other parties, exceeds the original, or is too late.",
        (Parameter("within", "Within", "duration"), _CURRENCIES, _PAYER_DFSPS, _PAYEE_DFSPS),
        _refunds,
    ),
    Template(
        "excluded_parties",
        "Excluded parties",
        "Refuses payments from or to parties on the scheme's lists.",
        (Parameter("lists", "Lists", "texts"), _PAYER_DFSPS, _PAYEE_DFSPS),
        _excluded,
    ),
    Template(
        "kill_switch",
        "Kill switch",
        "Stops payments with the chosen DFSPs, currencies and use cases. To stop one party, see Lists and markers.",
        (_CURRENCIES, *_TRIGGER),
        _kill_switch,
    ),
    Template(
        "marked_parties",
        "Marked parties",
        "Refuses payments from or to parties with a fraud marker, or raises alerts about these payments.",
        (
            Parameter("party", "Party", "choice", True, ("payer", "payee"), "payee"),
            Parameter("markers", "Markers", "texts", True, tuple(sorted(MARKERS))),
            Parameter("action", "Action", "choice", True, ("refuse", "alert"), "refuse"),
            _PAYER_DFSPS,
            _PAYEE_DFSPS,
        ),
        _marked,
    ),
    Template(
        "night_delay",
        "Delay at night",
        "Until the morning, holds payments that are made at night.",
        (
            Parameter("from", "Night begins", "time"),
            Parameter("to", "Night ends", "time"),
            _ABOVE,
            _BYPASS,
            *_TRIGGER,
        ),
        _night_delay,
    ),
    Template(
        "new_payee_delay",
        "Delay for new payees",
        "Holds a payment to a payee that this payer has not paid before.",
        (_HOLD_FOR, _ABOVE, *_TRIGGER),
        _new_payee_delay,
    ),
    Template(
        "changed_alias_delay",
        "Delay for changed identifiers",
        "Holds a payment to an identifier that has recently moved to another DFSP.",
        (_HOLD_FOR, _WINDOW, _ABOVE, _BYPASS, *_TRIGGER),
        _changed_alias_delay,
    ),
    Template(
        "high_value_delay",
        "Delay for high values",
        "Holds a payment above an amount.",
        (Parameter("above", "Above", "amount"), _HOLD_FOR, _BYPASS, *_TRIGGER, *_OF_PAYER),
        _high_value_delay,
    ),
)
TEMPLATES: Mapping[str, Template] = {template.name: template for template in _ALL}
