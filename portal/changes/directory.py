"""The kinds of change for the directory: to change an alias type's oracles, and to move an alias to another
participant."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from directory import builtin_oracle, oracles
from directory.models import Oracle, PartyIdentifier
from portal.changes.change_kind import CanNotBeDone, Kind, Line, Payload, must_still_be, participant_named
from portal.permissions import Right


def _lines(said: dict[str, Any]) -> list[Line]:
    return [
        Line(_("Type"), said["type"]),
        Line(_("Currency"), said["currency"] or _("all")),
        Line(_("Address"), said["endpoint"]),
        Line(_("Default oracle if a request names no currency"), _("yes") if said["is_default"] else _("no")),
    ]


def _describe_change(payload: Payload) -> list[Line]:
    lines = [Line(_("Oracle"), payload["oracle"])]
    for before, after in zip(_lines(payload["before"]), _lines(payload["after"]), strict=True):
        lines.append(after if before == after else Line(after.label, f"{before.text} → {after.text}"))
    return lines


def _oracle(payload: Payload) -> Oracle:
    found = Oracle.objects.select_for_update().filter(pk=payload["oracle"]).first()
    if found is None:
        raise CanNotBeDone(_("This oracle does not exist."))
    must_still_be(oracles.terms_of(found), payload["before"])
    return found


def _said(after: dict[str, Any]) -> dict[str, Any]:
    return {
        "alias_type": after["type"],
        "endpoint": after["endpoint"],
        "currency": after["currency"],
        "is_default": after["is_default"],
    }


def _check_new_still(payload: Payload) -> None:
    after = payload["after"]
    must_still_be(Oracle.objects.filter(type=after["type"], currency=after["currency"]).exists(), False)


def _check_oracle_still(payload: Payload) -> None:
    found = Oracle.objects.filter(pk=payload["oracle"]).first()
    must_still_be(oracles.terms_of(found) if found else None, payload["before"])


def _add(payload: Payload, actor: str) -> None:
    oracles.add(**_said(payload["after"]), actor=actor)


def _change(payload: Payload, actor: str) -> None:
    oracles.change(str(_oracle(payload).pk), **_said(payload["after"]), actor=actor)


def _remove(payload: Payload, actor: str) -> None:
    oracles.remove(str(_oracle(payload).pk), actor=actor)


def _describe_port(payload: Payload) -> list[Line]:
    """Reads the alias from its registration. The hub keeps requests for ever, so a request does not contain the alias
    itself."""
    found = PartyIdentifier.objects.filter(pk=payload["registration"]).first()
    return [
        Line(_("Type"), payload["type"]),
        Line(_("Alias"), found.identifier if found else _("no longer registered")),
        Line(_("From"), payload["before"]),
        Line(_("To"), payload["to"]),
    ]


def _check_alias_still(payload: Payload) -> None:
    found = PartyIdentifier.objects.filter(pk=payload["registration"])
    must_still_be(found.values_list("fsp__name", flat=True).first(), payload["before"])


def _port(payload: Payload, actor: str) -> None:
    found = PartyIdentifier.objects.select_related("fsp").filter(pk=payload["registration"]).first()
    if found is None:
        raise CanNotBeDone(_("This alias is no longer registered."))
    must_still_be(found.fsp.name, payload["before"])
    builtin_oracle.port(found.pk, to=participant_named(payload["to"]), actor=actor)


_RIGHTS = (Right.ASK_DIRECTORY, Right.CHECK_DIRECTORY)
KINDS = [
    Kind(
        "add_oracle",
        gettext_lazy("Add an oracle"),
        *_RIGHTS,
        lambda payload: _lines(payload["after"]),
        _add,
        check_still=_check_new_still,
    ),
    Kind(
        "change_oracle",
        gettext_lazy("Change an oracle"),
        *_RIGHTS,
        _describe_change,
        _change,
        check_still=_check_oracle_still,
    ),
    Kind(
        "remove_oracle",
        gettext_lazy("Remove an oracle"),
        *_RIGHTS,
        lambda payload: _lines(payload["before"]),
        _remove,
        check_still=_check_oracle_still,
    ),
    Kind(
        "port_alias",
        gettext_lazy("Move an alias to another participant"),
        *_RIGHTS,
        _describe_port,
        _port,
        check_still=_check_alias_still,
    ),
]
