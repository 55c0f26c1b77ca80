"""Rule sets as documents, made active as two people make them."""

from datetime import datetime
from typing import Any

from rules.rulesets import services
from rules.rulesets.models import RuleSetVersion


def rule(
    id: str, condition: dict[str, Any] | None, then: dict[str, Any], *, gate: str = "quote", **more: Any
) -> dict[str, Any]:
    found = {"id": id, "title": id, "kind": "scheme", "gate": gate, "then": then, **more}
    return found if condition is None else found | {"if": condition}


def above(text: str, fact: str = "amount", currency: str = "TZS") -> dict[str, Any]:
    return {"fact": fact, "is": "above", "value": {"amount": text, "currency": currency}}


def refuse(code: str = "3140", **more: Any) -> dict[str, Any]:
    return {"action": "refuse", "code": code, **more}


def cap(text: str, *, gate: str = "quote", code: str = "3140", **more: Any) -> dict[str, Any]:
    """No payment above this amount of TZS."""
    return rule(f"cap-{text}", above(text), refuse(code), gate=gate, **more)


def hold(duration: str = "PT1H", *, gate: str = "quote", over: str = "10", **more: Any) -> dict[str, Any]:
    """Payments above this amount of TZS are held so long."""
    return rule(f"hold-{over}", above(over), {"action": "hold", "for": duration}, gate=gate, **more)


def document(*rules: dict[str, Any], name: str = "the scheme's rules", **more: Any) -> dict[str, Any]:
    return {"language": 1, "name": name, "rules": list(rules), **more}


def create(*rules: dict[str, Any], **more: Any) -> RuleSetVersion:
    return services.create(document(*rules, **more), actor="asha")


def activate(*rules: dict[str, Any], valid_from: datetime | None = None, valid_until: datetime | None = None) -> int:
    """Makes these the active rules. Returns the number of the version."""
    version = create(*rules)
    services.activate(
        version.pk, reason="test", actor="asha, approved by ben", valid_from=valid_from, valid_until=valid_until
    )
    return version.pk
