"""The kinds of change for lists, fraud markers and kill switches. Two people of the hub must agree on each change.

`rules.alerts.requested_changes` makes the changes. A request contains the key of a party, because the hub keeps no
identifier of a party.
"""

from collections.abc import Callable, Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.changes.change_kind import CanNotBeDone, Kind, Line, Payload, must_still_be
from portal.permissions import Right
from portal.words.kinds import word_of
from rules.alerts.requested_changes import PERFORM
from rules.change_refused import NotChanged
from rules.lists import kill_switches, services
from rules.lists import queries as lists
from rules.lists.models import KillSwitch, NameMatch, StagedFile
from rules.markers import queries as markers
from rules.markers.matches import CONFIRMED
from rules.markers.models import Appeal, Marker
from rules.rulesets import queries


def _party(key: int) -> Line:
    return Line(_("Party"), f"{key:016x}")


def rules_about_list(name: str) -> Line:
    """Returns the live rules that use a list. If no live rule uses the list, the list stops no payment."""
    rules = queries.live_rules_about(party_list=name)
    none = _("none: the list stops no payments. A kill switch stops a party without any rule.")
    return Line(_("Live rules about the list"), ", ".join(rules) or none)


def _describe_party_on_list(payload: Payload) -> list[Line]:
    return [Line(_("List"), payload["list"]), _party(payload["party"]), rules_about_list(payload["list"])]


def _describe_file(payload: Payload) -> list[Line]:
    return [Line(_("List"), payload["list"]), Line("SHA-256", payload["sha256"]), rules_about_list(payload["list"])]


def _describe_match(payload: Payload) -> list[Line]:
    found = NameMatch.objects.select_related("entry__party_list").filter(pk=payload["match"]).first()
    if found is None:
        return []
    return [
        _party(found.key),
        Line(_("List"), found.entry.party_list.name),
        Line(_("Listed name"), found.entry.name),
        Line(_("Similarity"), f"{found.score} %"),
    ]


def _describe_switch(payload: Payload) -> list[Line]:
    lines = [Line(_("After"), _("on: payments are stopped") if payload["on"] else _("off"))]
    if "party" in payload:
        lines.append(_party(payload["party"]))
    if payload.get("payer_dfsp"):
        label = _("Payer DFSP") if payload.get("payee_dfsp") else _("Participant")
        lines.append(Line(label, payload["payer_dfsp"]))
    if payload.get("payee_dfsp"):
        lines.append(Line(_("Payee DFSP"), payload["payee_dfsp"]))
    return lines


def _describe_new_marker(payload: Payload) -> list[Line]:
    # A marker that the hub itself files is confirmed from the beginning.
    kinds = (payload["kind"], CONFIRMED)
    rules = dict.fromkeys(rule for kind in kinds for rule in queries.live_rules_about(marker=kind))
    none = _("none: DFSPs see the marker, but it stops no payments. A kill switch stops a party without any rule.")
    return [
        _party(payload["party"]),
        Line(_("Kind"), word_of(payload["kind"])),
        Line(_("Live rules about the marker"), ", ".join(rules) or none),
    ]


def _lines_of(marker: Marker) -> list[Line]:
    return [
        _party(marker.key),
        Line(_("Kind"), word_of(marker.kind)),
        Line(_("Filed by"), marker.filed_by.name if marker.filed_by else _("the hub")),
        Line(_("Reason"), marker.reason),
    ]


def _describe_marker(payload: Payload) -> list[Line]:
    found = Marker.objects.select_related("filed_by").filter(pk=payload["marker"]).first()
    return [*_lines_of(found), Line(_("Reason for lifting"), payload["reason"])] if found else []


SERVES: Mapping[str, Promise] = {
    "yes": gettext_lazy("serves the party"),
    "no": gettext_lazy("another DFSP served the party last"),
    "not known": gettext_lazy("the hub knows no DFSP of the party"),
}


def appellant(appeal: Appeal) -> Line:
    """Returns a line with the DFSP that filed the appeal. The line also states whether the hub knows that this DFSP
    serves the party."""
    return Line(_("Appeal by"), f"{appeal.filed_by.name}: {SERVES[markers.serves([appeal])[appeal.pk]]}")


def _describe_appeal(payload: Payload) -> list[Line]:
    found = Appeal.objects.select_related("marker__filed_by", "filed_by").filter(pk=payload["appeal"]).first()
    if found is None:
        return []
    return [
        *_lines_of(found.marker),
        appellant(found),
        Line(_("Reason of the appeal"), found.reason),
        Line(_("Reason for rejection"), payload["reason"]),
    ]


def _kind(
    name: str,
    title: Promise,
    describe: Callable[[Payload], list[Line]],
    discard: Callable[[Payload], None] | None = None,
    check_still: Callable[[Payload], None] | None = None,
) -> Kind:
    def perform(payload: Payload, actor: str) -> None:
        try:
            PERFORM[name](payload, actor)
        except NotChanged as reason:
            raise CanNotBeDone(str(reason)) from None

    return Kind(
        name,
        title,
        Right.ASK_FRAUD_CONTROL,
        Right.CHECK_FRAUD_CONTROL,
        describe,
        perform,
        discard=discard,
        check_still=check_still,
        is_tried_out=False,
    )


def _discard_file(payload: Payload) -> None:
    services.discard(payload["file"], sha256=payload["sha256"])


def _check_file_still(payload: Payload) -> None:
    must_still_be(StagedFile.objects.filter(pk=payload["file"], sha256=payload["sha256"]).exists(), True)


def _is_listed(payload: Payload) -> bool:
    return lists.entries(payload["list"]).filter(key=payload["party"]).exists()


def _check_not_listed(payload: Payload) -> None:
    must_still_be(_is_listed(payload), False)


def _check_listed(payload: Payload) -> None:
    must_still_be(_is_listed(payload), True)


def _check_switch_still(payload: Payload) -> None:
    names = {name: payload.get(name, "") for name in ("payer_dfsp", "payee_dfsp")}
    try:
        key = kill_switches.key_of(payload["kind"], party=payload.get("party"), **names)
    except NotChanged as reason:
        raise CanNotBeDone(str(reason)) from None
    must_still_be(KillSwitch.objects.filter(key=key, off_at=None).exists(), not payload["on"])


def _check_match_still(payload: Payload) -> None:
    must_still_be(NameMatch.objects.filter(pk=payload["match"], cleared_at=None).exists(), True)


def _check_marker_still(payload: Payload) -> None:
    must_still_be(Marker.objects.filter(pk=payload["marker"], lifted_at=None).exists(), True)


def _check_appeal_still(payload: Payload) -> None:
    must_still_be(markers.open_appeals().filter(pk=payload["appeal"]).exists(), True)


KINDS = [
    _kind("activate_list", gettext_lazy("Replace a list by a file"), _describe_file, _discard_file, _check_file_still),
    _kind("block_party", gettext_lazy("Add a party to a list"), _describe_party_on_list, check_still=_check_not_listed),
    _kind(
        "unblock_party",
        gettext_lazy("Remove a party from a list"),
        _describe_party_on_list,
        check_still=_check_listed,
    ),
    _kind("clear_name_match", gettext_lazy("Clear a match of names"), _describe_match, check_still=_check_match_still),
    _kind("kill_switch", gettext_lazy("Switch a kill switch"), _describe_switch, check_still=_check_switch_still),
    _kind("file_marker", gettext_lazy("File a fraud marker"), _describe_new_marker),
    _kind("lift_marker", gettext_lazy("Lift a fraud marker"), _describe_marker, check_still=_check_marker_still),
    _kind(
        "reject_appeal",
        gettext_lazy("Reject an appeal against a fraud marker"),
        _describe_appeal,
        check_still=_check_appeal_still,
    ),
]
