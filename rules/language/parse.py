"""Reads a rule set from JSON. Reports every fault with its place. Pure.

This module checks the form: members, types, names, units. `rules.language.checks` finds the faults of well-formed
rules.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date
from difflib import get_close_matches
from typing import Any, NoReturn, TypeVar, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fspiop import money, strictjson
from fspiop.errors import FspiopError
from rules.facts import Gate
from rules.language.counter_needs import LONGEST_WINDOW_S, SHORTEST_WINDOW_S
from rules.language.durations import format_duration, parse_duration
from rules.language.fact_catalogue import FACTS, SCENARIOS, FactSpec, Unit
from rules.language.faults import Fault, RuleSetRefused
from rules.language.refusal_codes import is_scheme_code
from rules.language.rule_types import (
    LANGUAGE,
    Action,
    Alert,
    All,
    AnyOf,
    Comparison,
    Condition,
    Hold,
    Not,
    Refuse,
    Rule,
    RuleSet,
    Trigger,
)

MOST_BYTES = 1_000_000
MOST_RULES = 1_000
MOST_CONDITIONS = 64
"""The most comparisons of one rule."""
MOST_DEPTH = 8
MOST_TEXTS = 1_000
MOST_NUMBER = 10**9
LONGEST_DURATION_S = 3_650 * 86_400
LONGEST_HOLD_S = 31 * 86_400
MOST_CHARACTERS = {"name": 100, "title": 200, "text": 100}

RULE_ID = r"[a-z0-9][a-z0-9\-]{0,62}"
TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_DATE = r"[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"
_WITHOUT_VALUE = ("true", "false", "present", "absent")

UNIT_FORMS: Mapping[Unit, str] = {
    "amount": "an object with amount and currency",
    "count": "a whole number",
    "percent": "a whole number",
    "duration": "a duration such as PT24H",
    "text": "a list of texts",
    "set": "a list of texts",
    "truth": "nothing",
    "time": "an object with from and to, such as 20:00 and 06:00",
    "date": "a list of dates such as 2026-12-25",
}

T = TypeVar("T")


class _Wrong(Exception):
    def __init__(self, fault: Fault) -> None:
        self.fault = fault


def parse_text(raw: bytes) -> RuleSet:
    """Reads a rule set from JSON text. Raises RuleSetRefused with every fault."""
    if len(raw) > MOST_BYTES:
        raise RuleSetRefused([Fault("", "too_large", {"most": MOST_BYTES})])
    try:
        document = strictjson.loads(raw)
    except FspiopError as error:
        raise RuleSetRefused([Fault("", "not_json", {"reason": error.detail})]) from None
    return parse(document)


def parse(document: object) -> RuleSet:
    """Reads a rule set from the values of its JSON. Raises RuleSetRefused with every fault."""
    parser = _Parser()
    found = parser.attempt(parser.rule_set, document)
    if parser.faults or found is None:
        raise RuleSetRefused(parser.faults)
    return found


class _Parser:
    """Collects the faults of one document."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def attempt(self, read: Callable[..., T], *arguments: Any) -> T | None:
        """Returns the result of `read`. If `read` refuses the value, stores the fault and returns None."""
        try:
            return read(*arguments)
        except _Wrong as wrong:
            self.faults.append(wrong.fault)
            return None

    def rule_set(self, document: object) -> RuleSet | None:
        members = _members(document, "", ("language", "name", "rules"), ("time_zone",))
        if type(members["language"]) is not int or members["language"] != LANGUAGE:
            _refuse("language", "wrong_language", known=LANGUAGE, found=_shown(members["language"]))
        name = self.attempt(_text, members["name"], "name", MOST_CHARACTERS["name"])
        time_zone = self.attempt(_time_zone, members.get("time_zone", "UTC"), "time_zone")
        listed = _list(members["rules"], "rules", MOST_RULES, "rules", may_be_empty=True)
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
        members = _members(
            value, path, ("id", "title", "kind", "gate", "then"), ("when", "if", "mode", "on_missing"), prefix=True
        )
        before = len(self.faults)
        rule_id = self.attempt(_form, members["id"], f"{path}.id", RULE_ID, "small letters, digits and -")
        title = self.attempt(_text, members["title"], f"{path}.title", MOST_CHARACTERS["title"])
        kind = self.attempt(_one_of, members["kind"], f"{path}.kind", ("scheme", "fraud"))
        mode = self.attempt(_one_of, members.get("mode", "live"), f"{path}.mode", ("live", "shadow", "draft"))
        on_missing = self.attempt(_one_of, members.get("on_missing", "open"), f"{path}.on_missing", ("open", "closed"))
        gate = self.attempt(_one_of, members["gate"], f"{path}.gate", ("lookup", "quote", "transfer"))
        if gate is None:
            return None
        trigger = self.attempt(self.trigger, members.get("when", {}), f"{path}.when", gate) or Trigger()
        conditions = _Conditions(self, cast("Gate", gate), trigger)
        condition = self.attempt(conditions.read, members["if"], f"{path}.if", 1) if "if" in members else All(())
        action = self.attempt(_action, members["then"], f"{path}.then", kind, gate)
        if len(self.faults) == before and "if" not in members and trigger == Trigger():
            _refuse(path, "no_condition")
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
        members = _members(value, path, (), ("currencies", "scenarios", "payer_dfsps", "payee_dfsps"), prefix=True)
        if gate == "lookup" and "scenarios" in members:
            _refuse(f"{path}.scenarios", "trigger_not_at_gate", name="scenarios", gate=gate)
        facts = {"currencies": "currency", "payer_dfsps": "payer.dfsp", "payee_dfsps": "payee.dfsp"}
        found = {
            name: self.attempt(_texts, each, f"{path}.{name}", FACTS[facts.get(name, "scenario")])
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
        """Returns the trigger. If the rule has amounts, the trigger contains only the currency of the amounts."""
        if not self._currency:
            return self._trigger
        return Trigger(
            currencies=frozenset({self._currency}),
            scenarios=self._trigger.scenarios,
            payer_dfsps=self._trigger.payer_dfsps,
            payee_dfsps=self._trigger.payee_dfsps,
        )

    def read(self, value: object, path: str, depth: int) -> Condition | None:
        """Reads one condition with all conditions inside it."""
        if not isinstance(value, dict):
            _refuse(path, "wrong_type", wanted="a condition, which is an object")
        if depth > MOST_DEPTH:
            _refuse(path, "too_deep", most=MOST_DEPTH)
        for name in ("all", "any"):
            if name in value:
                _members(value, path, (name,), (), prefix=True)
                listed = _list(value[name], f"{path}.{name}", MOST_CONDITIONS, "conditions")
                parts = [
                    self._parser.attempt(self.read, each, f"{path}.{name}[{number}]", depth + 1)
                    for number, each in enumerate(listed)
                ]
                known = tuple(part for part in parts if part is not None)
                return All(known) if name == "all" else AnyOf(known)
        if "not" in value:
            _members(value, path, ("not",), (), prefix=True)
            inner = self._parser.attempt(self.read, value["not"], f"{path}.not", depth + 1)
            return None if inner is None else Not(inner)
        self._comparisons += 1
        if self._comparisons > MOST_CONDITIONS + 1:
            return None  # the first condition beyond the limit was reported
        if self._comparisons > MOST_CONDITIONS:
            _refuse(path, "too_many", most=MOST_CONDITIONS, things="conditions")
        return self._comparison(value, path)

    def _comparison(self, value: object, path: str) -> Comparison:
        members = _members(value, path, ("fact", "is"), ("value", "window", "key"), prefix=True)
        spec = _fact(members["fact"], f"{path}.fact", self._gate)
        operator = _operator(members["is"], f"{path}.is", spec)
        window_s = _window(members, path, spec)
        key = _key(members, path, spec)
        if operator in _WITHOUT_VALUE:
            if "value" in members:
                _refuse(f"{path}.value", "value_not_needed", operator=operator)
            return Comparison(spec.name, operator, window_s=window_s, key=key)
        if "value" not in members:
            _refuse(path, "missing_member", name="value")
        found, currency = self._value(members["value"], f"{path}.value", spec)
        return Comparison(spec.name, operator, found, window_s, key, currency)

    def _value(self, value: object, path: str, spec: FactSpec) -> tuple[Any, str]:
        _check_unit(value, path, spec)
        match spec.unit:
            case "amount":
                amount, currency = _amount(value, path)
                self._take_currency(currency, f"{path}.currency")
                return amount, currency
            case "count" | "percent":
                return _whole(value, path, MOST_NUMBER), ""
            case "duration":
                return _duration(value, path, 0, LONGEST_DURATION_S), ""
            case "time":
                return _times(value, path), ""
            case "date":
                return _dates(value, path), ""
        return _texts(value, path, spec), ""

    def _take_currency(self, currency: str, path: str) -> None:
        wanted = self._trigger.currencies
        if wanted and wanted != {currency}:
            _refuse(path, "currency_not_of_trigger", trigger=", ".join(sorted(wanted)), found=currency)
        if self._currency not in ("", currency):
            _refuse(path, "mixed_currencies", first=self._currency)
        self._currency = currency


def _refuse(path: str, code: str, **params: Any) -> NoReturn:
    raise _Wrong(Fault(path, code, params))


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _members(
    value: object, path: str, required: Collection[str], optional: Collection[str], *, prefix: bool = False
) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(path, "wrong_type", wanted="an object")
    known = (*required, *optional)
    for name in value:
        if name not in known:
            place = f"{path}.{_shown(name)}" if prefix else _shown(name)
            _refuse(place, "unknown_member", name=_shown(name), known=", ".join(known))
    for name in required:
        if name not in value:
            _refuse(path, "missing_member", name=name)
    return value


def _list(value: object, path: str, most: int, things: str, *, may_be_empty: bool = False) -> list[Any]:
    if not isinstance(value, list):
        _refuse(path, "wrong_type", wanted="a list")
    if len(value) > most:
        _refuse(path, "too_many", most=most, things=things)
    if not value and not may_be_empty:
        _refuse(path, "empty")
    return value


def _text(value: object, path: str, most: int) -> str:
    if not isinstance(value, str):
        _refuse(path, "wrong_type", wanted="a text")
    if not value.strip():
        _refuse(path, "empty")
    if len(value) > most:
        _refuse(path, "too_many", most=most, things="characters")
    if not value.isprintable():
        _refuse(path, "wrong_form", found=_shown(repr(value)), wanted="one line of text")
    return value


def _form(value: object, path: str, pattern: str, wanted: str) -> str:
    if not isinstance(value, str):
        _refuse(path, "wrong_type", wanted="a text")
    if re.fullmatch(pattern, value) is None:
        _refuse(path, "wrong_form", found=_shown(value), wanted=wanted)
    return value


def _one_of(value: object, path: str, allowed: Collection[str]) -> str:
    if not isinstance(value, str) or value not in allowed:
        _refuse(path, "not_one_of", found=_shown(value), allowed=", ".join(allowed))
    return value


def _time_zone(value: object, path: str) -> str:
    if not isinstance(value, str):
        _refuse(path, "wrong_type", wanted="a text")
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # the name is not the name of a file of a time zone
        _refuse(path, "unknown_time_zone", found=_shown(value))
    return value


def _fact(value: object, path: str, gate: Gate) -> FactSpec:
    spec = FACTS.get(value) if isinstance(value, str) else None
    if spec is None:
        similar = get_close_matches(value[:60], FACTS, n=1) if isinstance(value, str) else []
        hint = f"; did you mean {similar[0]}?" if similar else ""
        _refuse(path, "unknown_fact", found=_shown(value), similar=hint)
    if gate not in spec.gates:
        _refuse(path, "fact_not_at_gate", fact=spec.name, gate=gate, gates=", ".join(sorted(spec.gates)))
    return spec


def _operator(value: object, path: str, spec: FactSpec) -> Any:
    if not isinstance(value, str) or value not in spec.operators:
        _refuse(path, "wrong_operator", fact=spec.name, found=_shown(value), allowed=", ".join(spec.operators))
    return value


def _window(members: Mapping[str, Any], path: str, spec: FactSpec) -> int:
    if not spec.has_window:
        if "window" in members:
            _refuse(f"{path}.window", "no_window", fact=spec.name)
        return 0
    if "window" not in members:
        _refuse(path, "needs_window", fact=spec.name)
    return _duration(members["window"], f"{path}.window", SHORTEST_WINDOW_S, LONGEST_WINDOW_S)


def _key(members: Mapping[str, Any], path: str, spec: FactSpec) -> str:
    if not spec.has_key:
        if "key" in members:
            _refuse(f"{path}.key", "no_key", fact=spec.name)
        return ""
    if "key" not in members:
        _refuse(path, "needs_key", fact=spec.name)
    return _text(members["key"], f"{path}.key", 32)


def _check_unit(value: object, path: str, spec: FactSpec) -> None:
    """Refuses a value in the form of another unit, for example an amount for a duration."""
    match spec.unit:
        case "amount":
            fits = isinstance(value, dict) and not {"from", "to"} & set(value)
        case "count" | "percent":
            fits = isinstance(value, int) and not isinstance(value, bool)
        case "duration":
            fits = isinstance(value, str)
        case "time":
            fits = isinstance(value, dict) and not {"amount", "currency"} & set(value)
        case _:
            fits = isinstance(value, list)
    if not fits:
        _refuse(path, "wrong_unit", fact=spec.name, wanted=UNIT_FORMS[spec.unit], found=_what(value))


def _what(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str() if parse_duration(value) is not None:
            return "a duration"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict() if {"amount", "currency"} & set(value):
            return "an amount"
        case dict() if {"from", "to"} & set(value):
            return "times"
    return "something else"


def _amount(value: object, path: str) -> tuple[int, str]:
    members = _members(value, path, ("amount", "currency"), (), prefix=True)
    currency = _one_of_many(members["currency"], f"{path}.currency", money.CURRENCIES, "the API's currencies")
    text = members["amount"]
    try:
        amount = money.parse_amount(text)
    except money.AmountError as error:
        _refuse(f"{path}.amount", "wrong_amount", found=_shown(text), reason=str(error))
    fault = money.decimals_fault(text, currency)
    if fault is not None:
        _refuse(f"{path}.amount", "wrong_amount", found=_shown(text), reason=fault)
    return amount, currency


def _one_of_many(value: object, path: str, allowed: Collection[str], named: str) -> str:
    if not isinstance(value, str) or value not in allowed:
        _refuse(path, "not_one_of", found=_shown(value), allowed=named)
    return value


def _whole(value: object, path: str, most: int) -> int:
    assert isinstance(value, int)
    if not 0 <= value <= most:
        _refuse(path, "out_of_bounds", least=0, most=most)
    return value


def _duration(value: object, path: str, least: int, most: int) -> int:
    seconds = parse_duration(value) if isinstance(value, str) else None
    if seconds is None:
        _refuse(path, "wrong_form", found=_shown(value), wanted="of a duration such as PT24H or P7D")
    if not least <= seconds <= most:
        _refuse(path, "out_of_bounds", least=format_duration(least), most=format_duration(most))
    return seconds


def _minute(value: object, path: str) -> int:
    text = _form(value, path, TIME, "HH:MM")
    return int(text[:2]) * 60 + int(text[3:])


def _times(value: object, path: str) -> tuple[int, int]:
    members = _members(value, path, ("from", "to"), (), prefix=True)
    start, end = (_minute(members[name], f"{path}.{name}") for name in ("from", "to"))
    if start == end:
        _refuse(path, "no_time_between")
    return start, end


def _dates(value: object, path: str) -> frozenset[str]:
    found = []
    for number, each in enumerate(_list(value, path, MOST_TEXTS, "dates")):
        place = f"{path}[{number}]"
        text = _form(each, place, _DATE, "YYYY-MM-DD")
        try:
            date.fromisoformat(text)
        except ValueError:
            _refuse(place, "wrong_form", found=text, wanted="YYYY-MM-DD of a day that exists")
        found.append(text)
    return frozenset(found)


def _texts(value: object, path: str, spec: FactSpec) -> frozenset[str]:
    found = []
    for number, each in enumerate(_list(value, path, MOST_TEXTS, "texts")):
        place = f"{path}[{number}]"
        if spec.domain is not None:
            named = ", ".join(sorted(spec.domain)) if len(spec.domain) <= len(SCENARIOS) * 2 else "the API's values"
            found.append(_one_of_many(each, place, spec.domain, named))
        else:
            found.append(_form(each, place, spec.pattern, f"of {spec.name}"))
    return frozenset(found)


def _action(value: object, path: str, kind: str | None, gate: str) -> Action:
    if not isinstance(value, dict):
        _refuse(path, "wrong_type", wanted="an object")
    if "action" not in value:
        _refuse(path, "missing_member", name="action")
    match _one_of(value["action"], f"{path}.action", ("refuse", "alert", "hold")):
        case "refuse":
            return _refusal(value, path, kind)
        case "hold":
            return _hold(value, path, gate)
    _members(value, path, ("action",), (), prefix=True)
    return Alert()


def _refusal(value: object, path: str, kind: str | None) -> Refuse:
    members = _members(value, path, ("action", "code"), ("text",), prefix=True)
    code = members["code"]
    if not isinstance(code, str) or not is_scheme_code(code):
        _refuse(f"{path}.code", "code_not_of_scheme", found=_shown(code))
    if "text" not in members:
        return Refuse(code)
    if kind == "fraud":
        _refuse(f"{path}.text", "text_of_fraud_rule")
    return Refuse(code, _text(members["text"], f"{path}.text", MOST_CHARACTERS["text"]))


def _hold(value: object, path: str, gate: str) -> Hold:
    members = _members(value, path, ("action",), ("for", "until", "bypass"), prefix=True)
    if gate == "lookup":
        _refuse(f"{path}.action", "action_not_at_gate")
    if ("for" in members) == ("until" in members):
        _refuse(path, "hold_needs_one_end")
    bypass = "bypass" in members and _one_of(members["bypass"], f"{path}.bypass", ("paid_before",)) == "paid_before"
    if "for" in members:
        return Hold(for_s=_duration(members["for"], f"{path}.for", 1, LONGEST_HOLD_S), unless_paid_before=bypass)
    return Hold(until_minute=_minute(members["until"], f"{path}.until"), unless_paid_before=bypass)
