"""Activates and cancels versions of the scheme's rules, grants exceptions, and decides about held transfers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ledger.held_transfers import actions
from ledger.held_transfers import queries as held_transfers
from portal.changes.change_kind import Kind, Line, Payload, must_still_be
from portal.permissions import Right
from portal.rules import versions
from rules.lists import queries as lists
from rules.rulesets import queries, services
from rules.rulesets.models import RuleSetVersion


def _named(number: int | None) -> str:
    if number is None:
        return _("no rules")
    version = queries.version(number)
    return f"{number} {version.name}" if version else str(number)


def _describe_activation(payload: Payload) -> list[Line]:
    version = queries.version(payload["version"]) if payload["version"] is not None else None
    before = queries.version(payload["before"]) if payload["before"] is not None else None
    return [
        Line(_("Rules before"), _named(payload["before"])),
        Line(_("Rules after"), _named(payload["version"])),
        *(effects_of(version, before) if version is not None else []),
        Line("SHA-256", payload["digest"] or "–"),
        Line(_("From"), _moment(payload["from"]) or _("the approval")),
        Line(_("Until"), _moment(payload["until"]) or _("the next activation")),
    ]


def effects_of(version: RuleSetVersion, before: RuleSetVersion | None) -> list[Line]:
    """Returns the changes that an activation makes. The requester and the approver read these changes."""
    lines = []
    rules = version.content["rules"]
    holds = [rule["id"] for rule in rules if rule["then"]["action"] == "hold" and rule.get("mode", "live") == "live"]
    if holds:
        text = _("%(rules)s. An item of a bulk is never held: the hub refuses it with 3140.")
        lines.append(Line(_("Rules that hold payments"), text % {"rules": _titled(holds, rules)}))
    limits = queries.limits_that_refunds_pass(version)
    if limits:
        text = _(
            "%(rules)s. These limits do not count refunds, and no live rule refuses refunds without an original. Add a"
            " rule by the form Refunds."
        )
        lines.append(Line(_("Limits that refunds pass"), text % {"rules": ", ".join(limits)}))
    missing = queries.list_names_of(version) - {each.name for each, _length in lists.lists()}
    if missing:
        text = _("%(lists)s. The hub treats each of these lists as empty.")
        lines.append(Line(_("Lists that do not exist"), text % {"lists": ", ".join(sorted(missing))}))
    earlier = before.content["rules"] if before is not None else []
    found = versions.difference(before.content if before is not None else {"rules": []}, version.content)
    named = ((_("Added rules"), found.added), (_("Removed rules"), found.removed), (_("Changed rules"), found.changed))
    lines += [Line(title, _titled(ids, [*earlier, *rules])) for title, ids in named if ids]
    if found.is_order_changed:
        text = _(
            "changed. If several rules refuse a payment, the hub returns the error code of the first of these rules."
        )
        lines.append(Line(_("Order"), text))
    if found.time_zones:
        lines.append(Line(_("Time zone"), " → ".join(found.time_zones if before is not None else found.time_zones[1:])))
    return lines


def _titled(ids: Sequence[str], rules: Sequence[Mapping[str, Any]]) -> str:
    """Returns the titles of these rules, each with the ids of its rules. A form can make several rules with one
    title."""
    titles = {rule["id"]: rule["title"] for rule in rules}
    of_title: dict[str, list[str]] = {}
    for rule_id in ids:
        of_title.setdefault(titles[rule_id], []).append(rule_id)
    return "; ".join(f"{title} ({', '.join(same)})" for title, same in of_title.items())


def _check_activation_still(payload: Payload) -> None:
    before = queries.active()
    must_still_be(before.version_id if before else None, payload["before"])
    must_still_be(services.digest_of(payload["version"]), payload["digest"])
    begins = _moment(payload["from"])
    must_still_be(begins is not None and begins < timezone.now(), False)


def _activate(payload: Payload, actor: str) -> None:
    _check_activation_still(payload)
    services.activate(
        payload["version"],
        valid_from=_moment(payload["from"]),
        valid_until=_moment(payload["until"]),
        reason=payload["reason"],
        actor=actor,
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _describe_cancelling(payload: Payload) -> list[Line]:
    return [Line(_("Rules"), _named(payload["version"])), Line(_("From"), _moment(payload["from"]))]


def _check_planned_still(payload: Payload) -> None:
    must_still_be(queries.planned().filter(pk=payload["activation"]).exists(), True)


def _cancel(payload: Payload, actor: str) -> None:
    services.cancel(payload["activation"], reason=payload["reason"], actor=actor)


def _describe_variance(payload: Payload) -> list[Line]:
    return [
        Line(_("DFSP"), payload["dfsp"]),
        Line(_("Exempt from rule"), payload["rule"]),
        Line(_("Until"), _moment(payload["until"])),
    ]


def _grant(payload: Payload, actor: str) -> None:
    services.grant_variance(
        payload["rule"],
        payload["dfsp"],
        until=datetime.fromisoformat(payload["until"]),
        reason=payload["reason"],
        actor=actor,
    )


def _describe_held(payload: Payload) -> list[Line]:
    held = held_transfers.hold_of(payload["transfer"])
    if held is None:
        return [Line(_("Transfer"), payload["transfer"])]
    return [
        Line(_("Transfer"), payload["transfer"]),
        Line(_("Amount"), held.transfer.amount, held.transfer.currency),
        Line(_("Held until"), held.until),
        Line(_("Expires"), held.transfer.expires_at),
        *([Line(_("Error code"), payload["code"])] if "code" in payload else []),
    ]


def _check_held_still(payload: Payload) -> None:
    held = held_transfers.held().filter(pk=payload["transfer"], refusal_code__isnull=True)
    must_still_be(held.exists(), True)


_RIGHTS = (Right.ASK_RULES, Right.CHECK_RULES)
_DESK = (Right.ASK_FRAUD_CONTROL, Right.CHECK_FRAUD_CONTROL)
KINDS = [
    Kind(
        "activate_rules",
        gettext_lazy("Activate a version of the rules"),
        *_RIGHTS,
        _describe_activation,
        _activate,
        check_still=_check_activation_still,
        is_tried_out=False,
    ),
    Kind(
        "cancel_rules",
        gettext_lazy("Cancel an activation of rules"),
        *_RIGHTS,
        _describe_cancelling,
        _cancel,
        check_still=_check_planned_still,
        is_tried_out=False,
    ),
    Kind(
        "grant_variance",
        gettext_lazy("Exempt a DFSP from a rule"),
        *_RIGHTS,
        _describe_variance,
        _grant,
        is_tried_out=False,
    ),
    Kind(
        "release_held",
        gettext_lazy("Release a held transfer"),
        *_DESK,
        _describe_held,
        actions.release,
        check_still=_check_held_still,
        is_tried_out=False,
    ),
    Kind(
        "refuse_held",
        gettext_lazy("Refuse a held transfer"),
        *_DESK,
        _describe_held,
        actions.refuse,
        check_still=_check_held_still,
        is_tried_out=False,
    ),
]
