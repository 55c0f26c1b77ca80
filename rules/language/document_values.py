"""Reads the values of a rule set: texts, numbers, times, facts, actions. Refuses a value, and reports the value's place
in the document. Pure.
"""

import re
from collections.abc import Collection, Mapping
from datetime import date
from difflib import get_close_matches
from typing import Any, NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fspiop import money
from rules.facts import Gate
from rules.language.counter_types import LONGEST_WINDOW_S, SHORTEST_WINDOW_S
from rules.language.durations import format_duration, parse_duration
from rules.language.fact_catalogue import FACTS, SCENARIOS, FactSpec, Unit
from rules.language.faults import Fault
from rules.language.refusal_codes import is_scheme_code
from rules.language.rule_types import (
    Action,
    Alert,
    Hold,
    Refuse,
)

MOST_TEXTS = 1_000
MOST_NUMBER = 10**9
LONGEST_DURATION_S = 3_650 * 86_400
LONGEST_HOLD_S = 31 * 86_400
MOST_CHARACTERS = {"name": 100, "title": 200, "text": 100}

TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_DATE = r"[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"

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


class WrongValue(Exception):
    def __init__(self, fault: Fault) -> None:
        self.fault = fault


def refuse(path: str, code: str, **params: Any) -> NoReturn:
    raise WrongValue(Fault(path, code, params))


def shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_object(
    value: object, path: str, required: Collection[str], optional: Collection[str], *, prefix: bool = False
) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse(path, "wrong_type", wanted="an object")
    known = (*required, *optional)
    for name in value:
        if name not in known:
            place = f"{path}.{shown(name)}" if prefix else shown(name)
            refuse(place, "unknown_member", name=shown(name), known=", ".join(known))
    for name in required:
        if name not in value:
            refuse(path, "missing_member", name=name)
    return value


def read_list(value: object, path: str, most: int, things: str, *, may_be_empty: bool = False) -> list[Any]:
    if not isinstance(value, list):
        refuse(path, "wrong_type", wanted="a list")
    if len(value) > most:
        refuse(path, "too_many", most=most, things=things)
    if not value and not may_be_empty:
        refuse(path, "empty")
    return value


def read_text(value: object, path: str, most: int) -> str:
    if not isinstance(value, str):
        refuse(path, "wrong_type", wanted="a text")
    if not value.strip():
        refuse(path, "empty")
    if len(value) > most:
        refuse(path, "too_many", most=most, things="characters")
    if not value.isprintable():
        refuse(path, "wrong_form", found=shown(repr(value)), wanted="one line of text")
    return value


def read_form(value: object, path: str, pattern: str, wanted: str) -> str:
    if not isinstance(value, str):
        refuse(path, "wrong_type", wanted="a text")
    if re.fullmatch(pattern, value) is None:
        refuse(path, "wrong_form", found=shown(value), wanted=wanted)
    return value


def read_one_of(value: object, path: str, allowed: Collection[str]) -> str:
    if not isinstance(value, str) or value not in allowed:
        refuse(path, "not_one_of", found=shown(value), allowed=", ".join(allowed))
    return value


def read_time_zone(value: object, path: str) -> str:
    if not isinstance(value, str):
        refuse(path, "wrong_type", wanted="a text")
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # the system has no time zone with this name
        refuse(path, "unknown_time_zone", found=shown(value))
    return value


def read_fact(value: object, path: str, gate: Gate) -> FactSpec:
    spec = FACTS.get(value) if isinstance(value, str) else None
    if spec is None:
        similar = get_close_matches(value[:60], FACTS, n=1) if isinstance(value, str) else []
        hint = f"; did you mean {similar[0]}?" if similar else ""
        refuse(path, "unknown_fact", found=shown(value), similar=hint)
    if gate not in spec.gates:
        refuse(path, "fact_not_at_gate", fact=spec.name, gate=gate, gates=", ".join(sorted(spec.gates)))
    return spec


def read_operator(value: object, path: str, spec: FactSpec) -> Any:
    if not isinstance(value, str) or value not in spec.operators:
        refuse(path, "wrong_operator", fact=spec.name, found=shown(value), allowed=", ".join(spec.operators))
    return value


def read_window(members: Mapping[str, Any], path: str, spec: FactSpec) -> int:
    if not spec.has_window:
        if "window" in members:
            refuse(f"{path}.window", "no_window", fact=spec.name)
        return 0
    if "window" not in members:
        refuse(path, "needs_window", fact=spec.name)
    return read_duration(members["window"], f"{path}.window", SHORTEST_WINDOW_S, LONGEST_WINDOW_S)


def read_key(members: Mapping[str, Any], path: str, spec: FactSpec) -> str:
    if not spec.has_key:
        if "key" in members:
            refuse(f"{path}.key", "no_key", fact=spec.name)
        return ""
    if "key" not in members:
        refuse(path, "needs_key", fact=spec.name)
    return read_text(members["key"], f"{path}.key", 32)


def check_unit(value: object, path: str, spec: FactSpec) -> None:
    """Refuses a value that has the form of another unit, for example an amount instead of a duration."""
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
        refuse(path, "wrong_unit", fact=spec.name, wanted=UNIT_FORMS[spec.unit], found=_what(value))


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


def read_amount(value: object, path: str) -> tuple[int, str]:
    members = read_object(value, path, ("amount", "currency"), (), prefix=True)
    currency = _one_of_many(members["currency"], f"{path}.currency", money.CURRENCIES, "the API's currencies")
    text = members["amount"]
    try:
        amount = money.parse_amount(text)
    except money.AmountError as error:
        refuse(f"{path}.amount", "wrong_amount", found=shown(text), reason=str(error))
    fault = money.decimals_fault(text, currency)
    if fault is not None:
        refuse(f"{path}.amount", "wrong_amount", found=shown(text), reason=fault)
    return amount, currency


def _one_of_many(value: object, path: str, allowed: Collection[str], named: str) -> str:
    if not isinstance(value, str) or value not in allowed:
        refuse(path, "not_one_of", found=shown(value), allowed=named)
    return value


def read_whole(value: object, path: str, most: int) -> int:
    assert isinstance(value, int)
    if not 0 <= value <= most:
        refuse(path, "out_of_bounds", least=0, most=most)
    return value


def read_duration(value: object, path: str, least: int, most: int) -> int:
    seconds = parse_duration(value) if isinstance(value, str) else None
    if seconds is None:
        refuse(path, "wrong_form", found=shown(value), wanted="of a duration such as PT24H or P7D")
    if not least <= seconds <= most:
        refuse(path, "out_of_bounds", least=format_duration(least), most=format_duration(most))
    return seconds


def _minute(value: object, path: str) -> int:
    text = read_form(value, path, TIME, "HH:MM")
    return int(text[:2]) * 60 + int(text[3:])


def read_times(value: object, path: str) -> tuple[int, int]:
    members = read_object(value, path, ("from", "to"), (), prefix=True)
    start, end = (_minute(members[name], f"{path}.{name}") for name in ("from", "to"))
    if start == end:
        refuse(path, "no_time_between")
    return start, end


def read_dates(value: object, path: str) -> frozenset[str]:
    found = []
    for number, each in enumerate(read_list(value, path, MOST_TEXTS, "dates")):
        place = f"{path}[{number}]"
        text = read_form(each, place, _DATE, "YYYY-MM-DD")
        try:
            date.fromisoformat(text)
        except ValueError:
            refuse(place, "wrong_form", found=text, wanted="YYYY-MM-DD of a day that exists")
        found.append(text)
    return frozenset(found)


def read_texts(value: object, path: str, spec: FactSpec) -> frozenset[str]:
    found = []
    for number, each in enumerate(read_list(value, path, MOST_TEXTS, "texts")):
        place = f"{path}[{number}]"
        if spec.domain is not None:
            named = ", ".join(sorted(spec.domain)) if len(spec.domain) <= len(SCENARIOS) * 2 else "the API's values"
            found.append(_one_of_many(each, place, spec.domain, named))
        else:
            found.append(read_form(each, place, spec.pattern, f"of {spec.name}"))
    return frozenset(found)


def read_action(value: object, path: str, kind: str | None, gate: str) -> Action:
    if not isinstance(value, dict):
        refuse(path, "wrong_type", wanted="an object")
    if "action" not in value:
        refuse(path, "missing_member", name="action")
    match read_one_of(value["action"], f"{path}.action", ("refuse", "alert", "hold")):
        case "refuse":
            return _refusal(value, path, kind)
        case "hold":
            return _hold(value, path, gate)
    read_object(value, path, ("action",), (), prefix=True)
    return Alert()


def _refusal(value: object, path: str, kind: str | None) -> Refuse:
    members = read_object(value, path, ("action", "code"), ("text",), prefix=True)
    code = members["code"]
    if not isinstance(code, str) or not is_scheme_code(code):
        refuse(f"{path}.code", "code_not_of_scheme", found=shown(code))
    if "text" not in members:
        return Refuse(code)
    if kind == "fraud":
        refuse(f"{path}.text", "text_of_fraud_rule")
    return Refuse(code, read_text(members["text"], f"{path}.text", MOST_CHARACTERS["text"]))


def _hold(value: object, path: str, gate: str) -> Hold:
    members = read_object(value, path, ("action",), ("for", "until", "bypass"), prefix=True)
    if gate == "lookup":
        refuse(f"{path}.action", "action_not_at_gate")
    if ("for" in members) == ("until" in members):
        refuse(path, "hold_needs_one_end")
    bypass = "bypass" in members and read_one_of(members["bypass"], f"{path}.bypass", ("paid_before",)) == "paid_before"
    if "for" in members:
        return Hold(for_s=read_duration(members["for"], f"{path}.for", 1, LONGEST_HOLD_S), unless_paid_before=bypass)
    return Hold(until_minute=_minute(members["until"], f"{path}.until"), unless_paid_before=bypass)
