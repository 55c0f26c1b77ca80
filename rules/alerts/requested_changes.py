"""Changes that a person requests because of an alert. Each requested change waits until a second person approves or
rejects it: see `hub.audit.approvals`.

`PERFORM` maps each kind of change to the function that makes an approved change. An app outside `rules` can add a kind
of change. For example, the ledger adds the release of a held transfer. The payload of a request contains the keys of
parties, but never an identifier of a party.
"""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from hub.audit import approvals
from hub.audit.models import Approval
from rules.alerts.models import Action, Alert
from rules.change_refused import NotChanged
from rules.lists import kill_switches, name_match_clearing
from rules.lists import services as lists
from rules.lists.party_files import Line
from rules.markers import services as markers

Payload = dict[str, Any]
Perform = Callable[[Payload, str], object]


def _block_party(payload: Payload, actor: str) -> object:
    return lists.add_entry(payload["list"], Line(payload["party"], "", "", payload.get("reference", "")), actor=actor)


def _unblock_party(payload: Payload, actor: str) -> object:
    return lists.remove_entry(payload["list"], Line(payload["party"], "", "", ""), actor=actor)


def _activate_list(payload: Payload, actor: str) -> object:
    return lists.activate(payload["file"], sha256=payload["sha256"], actor=actor)


def _clear_name_match(payload: Payload, actor: str) -> object:
    return name_match_clearing.clear(payload["match"], actor=actor)


def _switch(payload: Payload, actor: str) -> object:
    names = {name: payload.get(name, "") for name in ("payer_dfsp", "payee_dfsp")}
    if payload["on"]:
        return kill_switches.switch_on(
            payload["kind"], party=payload.get("party"), **names, reason=payload["reason"], actor=actor
        )
    return kill_switches.switch_off(
        kill_switches.key_of(payload["kind"], party=payload.get("party"), **names), actor=actor
    )


def _file_marker(payload: Payload, actor: str) -> object:
    return markers.file_by_operators(payload["party"], kind=payload["kind"], reason=payload["reason"], actor=actor)


def _lift_marker(payload: Payload, actor: str) -> object:
    return markers.lift(payload["marker"], reason=payload["reason"], actor=actor)


def _reject_appeal(payload: Payload, actor: str) -> object:
    return markers.reject_appeal(payload["appeal"], reason=payload["reason"], actor=actor)


PERFORM: dict[str, Perform] = {
    "block_party": _block_party,
    "unblock_party": _unblock_party,
    "activate_list": _activate_list,
    name_match_clearing.KIND: _clear_name_match,
    kill_switches.KIND: _switch,
    "file_marker": _file_marker,
    markers.LIFT: _lift_marker,
    "reject_appeal": _reject_appeal,
}


def subject_of(kind: str, payload: Payload) -> str:
    """Returns the subject of a request of this kind. The hub stores the request under its subject. For some kinds of
    request, a trigger in the database checks that the change matches the subject."""
    if kind == name_match_clearing.KIND:
        return name_match_clearing.subject_of(payload["match"])
    if kind == kill_switches.KIND:
        names = {name: payload.get(name, "") for name in ("payer_dfsp", "payee_dfsp")}
        return kill_switches.subject_of(kill_switches.key_of(payload["kind"], party=payload.get("party"), **names))
    if kind == markers.LIFT:
        return markers.subject_of(payload["marker"])
    if "transfer" in payload:
        return str(payload["transfer"])
    if "list" in payload:
        return f"list {payload['list']}"
    return f"party {payload['party']}" if "party" in payload else f"appeal {payload['appeal']}"


def note_request(alert_id: int, approval: Approval) -> Action:
    """Records in the alert's history that a person requested a change.

    Raises NotChanged if the alert does not exist.
    """
    _check(alert_id, approval.kind)
    return Action.objects.create(alert_id=alert_id, approval=approval)


def _check(alert_id: int, kind: str) -> None:
    if kind not in PERFORM:
        raise NotChanged(f"the action must be one of {', '.join(PERFORM)}")
    if not Alert.objects.filter(pk=alert_id).exists():
        raise NotChanged(_("This alert does not exist."))


@transaction.atomic
def ask(alert_id: int, *, kind: str, payload: Payload, reason: str, maker: User) -> Approval:
    """Requests a change because of an alert, and records the request in the alert's history."""
    _check(alert_id, kind)
    approval = approvals.ask(kind=kind, subject=subject_of(kind, payload), payload=payload, reason=reason, maker=maker)
    note_request(alert_id, approval)
    return approval
