"""Lists and changes versions of the rules, for the portal.

A stored version never changes. So each change in the portal creates a new version.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from hub.audit.models import Approval
from rules.rulesets import queries, services
from rules.rulesets.models import Activation, RuleSetVersion

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """A version, with its state. The state comes from an activation or from an open request."""

    version: RuleSetVersion
    state: str
    rules: int
    activation: Activation | None = None
    request: Approval | None = None


def listed(versions: Sequence[RuleSetVersion]) -> list[Listed]:
    """Returns these versions with their states. Runs three SQL statements."""
    numbers = [version.pk for version in versions]
    active = queries.active()
    by_version: dict[int | None, list[Activation]] = {}
    for activation in Activation.objects.filter(version__in=numbers, cancelled_at__isnull=True):
        by_version.setdefault(activation.version_id, []).append(activation)
    requests = {approval.payload["version"]: approval for approval in open_requests()}
    return [_listed(version, active, by_version.get(version.pk, ()), requests.get(version.pk)) for version in versions]


def _listed(
    version: RuleSetVersion, active: Activation | None, activations: Sequence[Activation], request: Approval | None
) -> Listed:
    rules = len(version.content.get("rules", ()))
    if active is not None and active.version_id == version.pk:
        return Listed(version, "ACTIVE", rules, active, request)
    now = timezone.now()
    planned = [each for each in activations if each.valid_from > now]
    if planned:
        return Listed(version, "PLANNED", rules, planned[-1], request)
    if request is not None:
        return Listed(version, "REQUESTED", rules, None, request)
    if activations:
        return Listed(version, "PAST", rules, activations[0])
    return Listed(version, "DRAFT", rules)


def open_requests() -> list[Approval]:
    """Returns the open requests for activations, the latest last."""
    found = Approval.objects.filter(kind="activate_rules", state=Approval.State.PENDING, expires_at__gt=timezone.now())
    return list(found.select_related("maker", "holder").order_by("pk"))


@dataclass(frozen=True, slots=True)
class Difference:
    """The ids of the rules that differ between two versions. If the time zones differ, `time_zones` has both."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    is_order_changed: bool
    time_zones: tuple[str, str] | None

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.is_order_changed or self.time_zones)


def difference(before: Document, after: Document) -> Difference:
    old, new = _by_id(before["rules"]), _by_id(after["rules"])
    both = [rule_id for rule_id in new if rule_id in old]
    time_zones = before.get("time_zone", "UTC"), after.get("time_zone", "UTC")
    return Difference(
        added=tuple(rule_id for rule_id in new if rule_id not in old),
        removed=tuple(rule_id for rule_id in old if rule_id not in new),
        changed=tuple(rule_id for rule_id in both if old[rule_id] != new[rule_id]),
        is_order_changed=both != [rule_id for rule_id in old if rule_id in new],
        time_zones=time_zones if time_zones[0] != time_zones[1] else None,
    )


def _by_id(rules: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {rule["id"]: rule for rule in rules}


def with_rules(content: Document, rules: Sequence[Document]) -> Document:
    """Returns the document with these rules added after the document's own rules."""
    return {**content, "rules": [*content["rules"], *rules]}


def with_rule(content: Document, rule_id: str, change: Callable[[Document], Document | None]) -> Document:
    """Returns the document with one changed rule. If `change` returns None, returns the document without this rule."""
    rules = [change(rule) if rule["id"] == rule_id else rule for rule in content["rules"]]
    return {**content, "rules": [rule for rule in rules if rule is not None]}


def save(content: Document, *, actor: str) -> RuleSetVersion:
    """Stores the document as a version. If the document has faults, raises one RuleSetRefused that lists all faults."""
    return services.create(content, actor=actor)


def rule_ids(version: RuleSetVersion | None) -> Collection[str]:
    return [] if version is None else [rule["id"] for rule in version.content["rules"]]
