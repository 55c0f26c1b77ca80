"""Creates the JSON schema of rule sets from the catalogue of facts. Pure.

The hub refuses a document that does not match the schema. `rules.language.checks_of_well_formed_rules` can also refuse
a document that matches the schema.
"""

from collections.abc import Mapping
from typing import Any

from fspiop.money import AMOUNT, CURRENCIES
from rules.language.document_values import MOST_CHARACTERS, MOST_NUMBER, MOST_TEXTS, TIME
from rules.language.durations import DURATION
from rules.language.fact_catalogue import FACTS, FactSpec, Unit
from rules.language.parse import MOST_CONDITIONS, MOST_RULES, RULE_ID
from rules.language.rule_types import LANGUAGE

_TEXTS = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST_TEXTS}
_DURATION = {"type": "string", "pattern": DURATION.replace(r"\Z", "$")}
_TIME = {"type": "string", "pattern": f"^{TIME}$"}
_NUMBER = {"type": "integer", "minimum": 0, "maximum": MOST_NUMBER}
_VALUES: Mapping[Unit, Mapping[str, Any]] = {
    "amount": {"$ref": "#/$defs/money"},
    "count": _NUMBER,
    "percent": _NUMBER,
    "duration": _DURATION,
    "text": _TEXTS,
    "set": _TEXTS,
    "time": {
        "type": "object",
        "properties": {"from": _TIME, "to": _TIME},
        "required": ["from", "to"],
        "additionalProperties": False,
    },
    "date": {"type": "array", "items": {"type": "string", "format": "date"}, "minItems": 1, "maxItems": MOST_TEXTS},
}
_WITHOUT_VALUE = ("true", "false", "present", "absent")


def schema() -> dict[str, Any]:
    """Returns the JSON schema, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rule set",
        **_object(
            {
                "language": {"const": LANGUAGE},
                "name": _text("name"),
                "time_zone": {"type": "string"},
                "rules": {"type": "array", "items": {"$ref": "#/$defs/rule"}, "maxItems": MOST_RULES},
            },
            optional=("time_zone",),
        ),
        "$defs": {
            "rule": _rule(),
            "money": _object(
                {
                    "amount": {"type": "string", "pattern": AMOUNT.replace(r"\Z", "$")},
                    "currency": {"enum": sorted(CURRENCIES)},
                }
            ),
            "condition": {"oneOf": [*_joined_conditions(), *(_comparison(spec) for spec in FACTS.values())]},
            "action": {"oneOf": _actions()},
        },
    }


def _rule() -> dict[str, Any]:
    trigger = dict.fromkeys(("currencies", "scenarios", "payer_dfsps", "payee_dfsps"), _TEXTS)
    return _object(
        {
            "id": {"type": "string", "pattern": f"^{RULE_ID}$"},
            "title": _text("title"),
            "kind": {"enum": ["scheme", "fraud"]},
            "gate": {"enum": ["lookup", "quote", "transfer"]},
            "when": _object(trigger, optional=tuple(trigger)),
            "if": {"$ref": "#/$defs/condition"},
            "then": {"$ref": "#/$defs/action"},
            "mode": {"enum": ["live", "shadow", "draft"]},
            "on_missing": {"enum": ["open", "closed"]},
        },
        optional=("when", "if", "mode", "on_missing"),
    )


def _joined_conditions() -> list[dict[str, Any]]:
    listed = {
        "type": "array",
        "items": {"$ref": "#/$defs/condition"},
        "minItems": 1,
        "maxItems": MOST_CONDITIONS,
    }
    return [_object({"all": listed}), _object({"any": listed}), _object({"not": {"$ref": "#/$defs/condition"}})]


def _comparison(spec: FactSpec) -> dict[str, Any]:
    with_value = [operator for operator in spec.operators if operator not in _WITHOUT_VALUE]
    without = [operator for operator in spec.operators if operator in _WITHOUT_VALUE]
    own: dict[str, Any] = {"fact": {"const": spec.name, "description": spec.description}}
    if spec.has_window:
        own["window"] = _DURATION
    if spec.has_key:
        own["key"] = {"type": "string", "minLength": 1, "maxLength": 32}
    forms = []
    if with_value:
        value = _VALUES[spec.unit]
        if spec.domain is not None:
            value = {**value, "items": {"enum": sorted(spec.domain)}}
        forms.append(_object({**own, "is": {"enum": with_value}, "value": value}))
    if without:
        forms.append(_object({**own, "is": {"enum": without}}))
    return forms[0] if len(forms) == 1 else {"oneOf": forms}


def _actions() -> list[dict[str, Any]]:
    bypass = {"enum": ["paid_before"]}
    return [
        _object({"action": {"const": "alert"}}),
        _object(
            {
                "action": {"const": "refuse"},
                "code": {"type": "string", "pattern": "^[345][0-5][4-9][0-9]$"},
                "text": _text("text"),
            },
            optional=("text",),
        ),
        _object({"action": {"const": "hold"}, "for": _DURATION, "bypass": bypass}, optional=("bypass",)),
        _object({"action": {"const": "hold"}, "until": _TIME, "bypass": bypass}, optional=("bypass",)),
    ]


def _text(name: str) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS[name]}


def _object(properties: Mapping[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }
