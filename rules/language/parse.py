"""Reads a rule set from JSON. If a rule set has faults, this module reports each fault with the place of the fault.
Pure.

This module checks the form of the rules: members, types, names, units (`rules.language.document_values`).
`rules.language.checks_of_well_formed_rules` finds the faults of well-formed rules.
"""

import codecs
from collections.abc import Callable
from typing import Any, TypeVar, cast

from fspiop import strictjson
from fspiop.errors import FspiopError
from rules.facts import Gate
from rules.language.document_values import (
    LONGEST_DURATION_S,
    MOST_CHARACTERS,
    MOST_NUMBER,
    WrongValue,
    check_unit,
    read_action,
    read_amount,
    read_dates,
    read_duration,
    read_fact,
    read_form,
    read_key,
    read_list,
    read_object,
    read_one_of,
    read_operator,
    read_text,
    read_texts,
    read_time_zone,
    read_times,
    read_whole,
    read_window,
    refuse,
    shown,
)
from rules.language.fact_catalogue import FACTS, FactSpec
from rules.language.faults import Fault, RuleSetRefused
from rules.language.rule_types import (
    LANGUAGE,
    Action,
    All,
    AnyOf,
    Comparison,
    Condition,
    Not,
    Rule,
    RuleSet,
    Trigger,
)

MOST_BYTES = 1_000_000
MOST_RULES = 1_000
MOST_CONDITIONS = 64
"""The maximum number of comparisons in one rule."""
MOST_DEPTH = 8
MOST_FAULTS = 1_000
"""The maximum number of faults in one error."""

RULE_ID = r"[a-z0-9][a-z0-9\-]{0,62}"
_WITHOUT_VALUE = ("true", "false", "present", "absent")

T = TypeVar("T")


def parse_text(raw: bytes) -> RuleSet:
    """Reads a rule set from JSON text. If there are faults, raises one RuleSetRefused that lists all faults."""
    if len(raw) > MOST_BYTES:
        raise RuleSetRefused([Fault("", "too_large", {"most": MOST_BYTES})])
    try:
        document = strictjson.loads(raw.removeprefix(codecs.BOM_UTF8))  # some editors begin a file with this mark
    except FspiopError as error:
        raise RuleSetRefused([Fault("", "not_json", {"reason": error.detail})]) from None
    return parse(document)


def parse(document: object) -> RuleSet:
    """Reads a rule set that is already parsed from JSON to Python values. If there are faults, raises one
    RuleSetRefused that lists all faults."""
    parser = _Parser()
    found = parser.attempt(parser.rule_set, document)
    if parser.faults or found is None:
        raise RuleSetRefused(parser.faults)
    return found


class _Parser:
    """Collects the faults of one rule set."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def attempt(self, read: Callable[..., T], *arguments: Any) -> T | None:
        """Calls the function `read`, and returns the result. If `read` refuses the value, stores the fault and returns
        None."""
        try:
            return read(*arguments)
        except WrongValue as wrong:
            self.faults.append(wrong.fault)
        if len(self.faults) >= MOST_FAULTS:
            raise RuleSetRefused(self.faults)  # a document of a megabyte can have tens of thousands of faults
        return None

    def rule_set(self, document: object) -> RuleSet | None:
        members = read_object(document, "", ("language", "name", "rules"), ("time_zone",))
        if type(members["language"]) is not int or members["language"] != LANGUAGE:
            refuse("language", "wrong_language", known=LANGUAGE, found=shown(members["language"]))
        name = self.attempt(read_text, members["name"], "name", MOST_CHARACTERS["name"])
        time_zone = self.attempt(read_time_zone, members.get("time_zone", "UTC"), "time_zone")
        listed = read_list(members["rules"], "rules", MOST_RULES, "rules", may_be_empty=True)
        rules = [self.attempt(self.rule, each, f"rules[{number}]") for number, each in enumerate(listed)]
        seen: set[str] = set()
        for number, rule in enumerate(rules):
            if rule is not None and rule.id in seen:
                self.faults.append(Fault(f"rules[{number}].id", "id_twice", {"id": rule.id}))
            elif rule is not None:
                seen.add(rule.id)
        if self.faults or name is None or time_zone is None:
            return None
        return RuleSet(name=name, time_zone=time_zone, rules=tuple(rule for rule in rules if rule is not None))

    def rule(self, value: object, path: str) -> Rule | None:
        members = read_object(
            value, path, ("id", "title", "kind", "gate", "then"), ("when", "if", "mode", "on_missing"), prefix=True
        )
        before = len(self.faults)
        rule_id = self.attempt(read_form, members["id"], f"{path}.id", RULE_ID, "small letters, digits and -")
        title = self.attempt(read_text, members["title"], f"{path}.title", MOST_CHARACTERS["title"])
        kind = self.attempt(read_one_of, members["kind"], f"{path}.kind", ("scheme", "fraud"))
        mode = self.attempt(read_one_of, members.get("mode", "live"), f"{path}.mode", ("live", "shadow", "draft"))
        on_missing = self.attempt(
            read_one_of, members.get("on_missing", "open"), f"{path}.on_missing", ("open", "closed")
        )
        gate = self.attempt(read_one_of, members["gate"], f"{path}.gate", ("lookup", "quote", "transfer"))
        if gate is None:
            return None
        trigger = self.attempt(self.trigger, members.get("when", {}), f"{path}.when", gate) or Trigger()
        conditions = _Conditions(self, cast("Gate", gate), trigger)
        condition = self.attempt(conditions.read, members["if"], f"{path}.if", 1) if "if" in members else All(())
        action = self.attempt(read_action, members["then"], f"{path}.then", kind, gate)
        if len(self.faults) == before and "if" not in members and trigger == Trigger():
            refuse(path, "no_condition")
        if len(self.faults) > before or condition is None:
            return None
        return Rule(
            id=cast(str, rule_id),
            title=cast(str, title),
            kind=cast(Any, kind),
            gate=cast("Gate", gate),
            when=conditions.trigger_with_currency(),
            condition=condition,
            action=cast("Action", action),
            mode=cast(Any, mode),
            on_missing=cast(Any, on_missing),
        )

    def trigger(self, value: object, path: str, gate: str) -> Trigger:
        members = read_object(value, path, (), ("currencies", "scenarios", "payer_dfsps", "payee_dfsps"), prefix=True)
        if gate == "lookup" and "scenarios" in members:
            refuse(f"{path}.scenarios", "trigger_not_at_gate", name="scenarios", gate=gate)
        facts = {"currencies": "currency", "payer_dfsps": "payer.dfsp", "payee_dfsps": "payee.dfsp"}
        found = {
            name: self.attempt(read_texts, each, f"{path}.{name}", FACTS[facts.get(name, "scenario")])
            for name, each in members.items()
        }
        return Trigger(**{name: each for name, each in found.items() if each is not None})


class _Conditions:
    """Reads the conditions of one rule."""

    def __init__(self, parser: _Parser, gate: Gate, trigger: Trigger) -> None:
        self._parser, self._gate, self._trigger = parser, gate, trigger
        self._currency = ""
        self._comparisons = 0

    def trigger_with_currency(self) -> Trigger:
        """Returns the trigger. If a condition of the rule contains an amount, the returned trigger has only the
        currency of this amount."""
        if not self._currency:
            return self._trigger
        return Trigger(
            currencies=frozenset({self._currency}),
            scenarios=self._trigger.scenarios,
            payer_dfsps=self._trigger.payer_dfsps,
            payee_dfsps=self._trigger.payee_dfsps,
        )

    def read(self, value: object, path: str, depth: int) -> Condition | None:
        """Reads one condition, and all conditions inside this condition."""
        if not isinstance(value, dict):
            refuse(path, "wrong_type", wanted="a condition, which is an object")
        if depth > MOST_DEPTH:
            refuse(path, "too_deep", most=MOST_DEPTH)
        for name in ("all", "any"):
            if name in value:
                read_object(value, path, (name,), (), prefix=True)
                listed = read_list(value[name], f"{path}.{name}", MOST_CONDITIONS, "conditions")
                parts = [
                    self._parser.attempt(self.read, each, f"{path}.{name}[{number}]", depth + 1)
                    for number, each in enumerate(listed)
                ]
                known = tuple(part for part in parts if part is not None)
                return All(known) if name == "all" else AnyOf(known)
        if "not" in value:
            read_object(value, path, ("not",), (), prefix=True)
            inner = self._parser.attempt(self.read, value["not"], f"{path}.not", depth + 1)
            return None if inner is None else Not(inner)
        self._comparisons += 1
        if self._comparisons > MOST_CONDITIONS + 1:
            return None  # the fault is already reported, with the first condition beyond the limit
        if self._comparisons > MOST_CONDITIONS:
            refuse(path, "too_many", most=MOST_CONDITIONS, things="conditions")
        return self._comparison(value, path)

    def _comparison(self, value: object, path: str) -> Comparison:
        members = read_object(value, path, ("fact", "is"), ("value", "window", "key"), prefix=True)
        spec = read_fact(members["fact"], f"{path}.fact", self._gate)
        operator = read_operator(members["is"], f"{path}.is", spec)
        window_s = read_window(members, path, spec)
        key = read_key(members, path, spec)
        if operator in _WITHOUT_VALUE:
            if "value" in members:
                refuse(f"{path}.value", "value_not_needed", operator=operator)
            return Comparison(spec.name, operator, window_s=window_s, key=key)
        if "value" not in members:
            refuse(path, "missing_member", name="value")
        found, currency = self._value(members["value"], f"{path}.value", spec)
        return Comparison(spec.name, operator, found, window_s, key, currency)

    def _value(self, value: object, path: str, spec: FactSpec) -> tuple[Any, str]:
        check_unit(value, path, spec)
        match spec.unit:
            case "amount":
                amount, currency = read_amount(value, path)
                self._take_currency(currency, f"{path}.currency")
                return amount, currency
            case "count" | "percent":
                return read_whole(value, path, MOST_NUMBER), ""
            case "duration":
                return read_duration(value, path, 0, LONGEST_DURATION_S), ""
            case "time":
                return read_times(value, path), ""
            case "date":
                return read_dates(value, path), ""
        return read_texts(value, path, spec), ""

    def _take_currency(self, currency: str, path: str) -> None:
        wanted = self._trigger.currencies
        if wanted and wanted != {currency}:
            refuse(path, "currency_not_of_trigger", trigger=", ".join(sorted(wanted)), found=currency)
        if self._currency not in ("", currency):
            refuse(path, "mixed_currencies", first=self._currency)
        self._currency = currency
