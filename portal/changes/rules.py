"""Activates and cancels versions of the scheme's rules, grants exceptions, and decides about held transfers."""

from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ledger.held_transfers import actions
from ledger.held_transfers import queries as held_transfers
from portal.changes.change_kind import Kind, Line, Payload, must_still_be
from portal.permissions import Right
from rules.rulesets import queries, services


def _named(number: int | None) -> str:
    if number is None:
        return _("no rules")
    version = queries.version(number)
    return f"{number} {version.name}" if version else str(number)


def _describe_activation(payload: Payload) -> list[Line]:
    return [
        Line(_("Rules before"), _named(payload["before"])),
        Line(_("Rules after"), _named(payload["version"])),
        Line("SHA-256", payload["digest"] or "–"),
        Line(_("From"), payload["from"] or _("the approval")),
        Line(_("Until"), payload["until"] or _("the next activation")),
    ]


def _activate(payload: Payload, actor: str) -> None:
    before = queries.active()
    must_still_be(before.version_id if before else None, payload["before"])
    must_still_be(services.digest_of(payload["version"]), payload["digest"])
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
    return [Line(_("Rules"), _named(payload["version"])), Line(_("From"), payload["from"])]


def _cancel(payload: Payload, actor: str) -> None:
    services.cancel(payload["activation"], reason=payload["reason"], actor=actor)


def _describe_variance(payload: Payload) -> list[Line]:
    return [
        Line(_("DFSP"), payload["dfsp"]),
        Line(_("Exempt from rule"), payload["rule"]),
        Line(_("Until"), payload["until"]),
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
        Line(_("Held until"), held.until.isoformat()),
        Line(_("Expires"), held.transfer.expires_at.isoformat()),
        *([Line(_("Error code"), payload["code"])] if "code" in payload else []),
    ]


_RIGHTS = (Right.ASK_RULES, Right.CHECK_RULES)
_DESK = (Right.ASK_FRAUD_CONTROL, Right.CHECK_FRAUD_CONTROL)
KINDS = [
    Kind(
        "activate_rules",
        gettext_lazy("Activate a version of the rules"),
        *_RIGHTS,
        _describe_activation,
        _activate,
        is_tried_out=False,
    ),
    Kind(
        "cancel_rules",
        gettext_lazy("Cancel an activation of rules"),
        *_RIGHTS,
        _describe_cancelling,
        _cancel,
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
        is_tried_out=False,
    ),
    Kind(
        "refuse_held",
        gettext_lazy("Refuse a held transfer"),
        *_DESK,
        _describe_held,
        actions.refuse,
        is_tried_out=False,
    ),
]
