"""The pages of lists, name matches, fraud markers and kill switches. Each change needs two people: one requests the
change, and another approves it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.audit import record
from hub.participants.models import Participant
from portal import pagination
from portal.changes import Line
from portal.changes.fraud_control import SERVES, appellant, rules_about_list
from portal.rules import party_fields
from portal.rules.party_fields import PartyMixin, PartySearch
from portal.search_forms import Search
from portal.views.request_change import AskForm, asking
from portal.visitor import visitor_of
from portal.words.kinds import word_of, words_of
from rules.alerts.requested_changes import subject_of
from rules.change_refused import NotChanged
from rules.lists import kill_switches as switches
from rules.lists import name_match_clearing, party_files, queries, services
from rules.lists.models import Entry, KillSwitch, NameMatch, PartyList
from rules.lists.party_files import COLUMNS, MOST_BYTES, BadFile, LineFault
from rules.markers import queries as filed
from rules.markers.models import Appeal, Marker

_LARGEST_NUMBER = 2**63 - 1
_MOST_FAULTS = 100

# --- lists ------------------------------------------------------------------------------------------------------------


def index(request: HttpRequest) -> HttpResponse:
    return render(request, "portal/lists.html", {"lists": queries.lists()})


class NewList(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=48,
        help_text=gettext_lazy("Small letters, digits and hyphens. Rules refer to the list by this name."),
    )
    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        choices=[
            (PartyList.Kind.BLOCK, gettext_lazy("Blocked parties")),
            (PartyList.Kind.ALLOW, gettext_lazy("Allowed parties")),
            (PartyList.Kind.EXCLUSION, gettext_lazy("Customers excluded by the scheme")),
            (PartyList.Kind.SANCTIONS, gettext_lazy("Sanctions")),
        ],
    )
    title = forms.CharField(label=gettext_lazy("Title"), max_length=128, required=False)
    least_score = forms.IntegerField(
        label=gettext_lazy("How similar a party's name must be to a listed name, in percent"),
        min_value=70,
        max_value=100,
        initial=88,
    )


def create(request: HttpRequest) -> HttpResponse:
    """Creates an empty list. Each change of the list's entries needs two people."""
    form = NewList(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = services.create(**form.cleaned_data, actor=visitor_of(request).name)
        except NotChanged as reason:
            form.add_error("name", str(reason))
        else:
            messages.success(request, _("The list was created. The list has no entries yet."))
            return redirect("list", made.name)
    return render(request, "portal/list_new.html", {"form": form}, status=400 if form.errors else 200)


def _list(name: str) -> PartyList:
    found = PartyList.objects.filter(name=name).first()
    if found is None:
        raise Http404
    return found


class EntrySearch(PartySearch):
    sub_id = party_fields.sub_id_field()

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if said.get("sub_id") and not said.get("identifier") and "identifier" not in self.errors:
            self.add_error("identifier", self.fields["identifier"].error_messages["required"])
        return said


def show(request: HttpRequest, name: str) -> HttpResponse:
    party_list, search = _list(name), EntrySearch(request.GET)
    entries = queries.entries(name)
    key = _searched(request, search, f"list {name}")
    if search.errors:
        entries = entries.none()
    elif key is not None:
        entries = entries.filter(key=key)
    context = {
        "list": party_list,
        "search": search,
        "page": pagination.by_id(request, entries),
        "versions": pagination.latest(queries.versions(name), 20),
    }
    return render(request, "portal/list.html", context)


def _searched(request: HttpRequest, search: Search, subject: str) -> int | None:
    """Returns the key of the party that the visitor searches for, or None if the search names no party. The audit trail
    records each search."""
    said = search.said
    if not said.get("identifier"):
        return None
    try:
        key = party_fields.key_of(said.get("type") or "MSISDN", said["identifier"], said.get("sub_id") or "")
    except ValueError as fault:
        search.add_error("identifier", str(fault))
        return None
    record("alias_looked_up", subject=subject, actor=visitor_of(request).name)
    return key


class ListFile(AskForm):
    file = forms.FileField(
        label=gettext_lazy("CSV file, which replaces all entries"),
        max_length=128,
        help_text=", ".join(COLUMNS),
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,text/csv"}),
    )

    faults: list[LineFault]
    count = 0
    raw = b""

    def clean_file(self) -> Any:
        """Reads the whole file. If any line is bad, the hub refuses the whole file and stores nothing."""
        file = self.cleaned_data["file"]
        if file.size > MOST_BYTES:
            raise forms.ValidationError(_("The file is too large."))
        self.raw = file.read()
        try:
            party_files.read(self.raw)
        except BadFile as refused:
            self.faults, self.count = refused.faults[:_MOST_FAULTS], refused.count
            lines = [_("Line %(line)s: %(fault)s") % {"line": each.line, "fault": each.text} for each in self.faults]
            refusal = _("Nothing was imported. Bad lines: %(count)s.") % {"count": self.count}
            raise forms.ValidationError([refusal, *lines]) from None
        return file


def import_file(request: HttpRequest, name: str) -> HttpResponse:
    party_list = _list(name)
    form = ListFile(request.POST or None, request.FILES or None)

    def payload(said: dict[str, Any]) -> dict[str, Any]:
        staged = services.stage(name, file_name=said["file"].name, raw=form.raw, actor=visitor_of(request).name)
        return {"list": name, "file": staged.pk, "sha256": staged.sha256}

    return asking(
        request,
        "activate_list",
        form=form,
        subject=f"list {name}",
        payload=payload,
        back=reverse("list", args=[name]),
        facts=[Line(_("List"), party_list.name)],
    )


class Party(PartyMixin, AskForm):
    type = party_fields.type_field()
    identifier = party_fields.identifier_field()
    sub_id = party_fields.sub_id_field()


class NewEntry(Party):
    reference = forms.CharField(label=gettext_lazy("Reference"), max_length=128, required=False)


def add_party(request: HttpRequest, name: str) -> HttpResponse:
    party_list = _list(name)
    return asking(
        request,
        "block_party",
        form=NewEntry(request.POST or None),
        subject=f"list {name}",
        payload=lambda said: {"list": name, "party": said["party"], "reference": said["reference"]},
        back=reverse("list", args=[name]),
        facts=[Line(_("List"), party_list.name), rules_about_list(name)],
    )


def remove_party(request: HttpRequest, name: str, entry_id: int) -> HttpResponse:
    entry = Entry.objects.filter(
        pk=min(entry_id, _LARGEST_NUMBER), party_list__name=name, removed_by=None, key__isnull=False
    ).first()
    if entry is None:
        raise Http404
    return asking(
        request,
        "unblock_party",
        form=AskForm(request.POST or None),
        subject=f"list {name}",
        payload=lambda _said: {"list": name, "party": entry.key},
        back=reverse("list", args=[name]),
        facts=[Line(_("List"), name), Line(_("Party"), f"{entry.key:016x}"), Line(_("Reference"), entry.reference)],
    )


# --- matches of names -------------------------------------------------------------------------------------------------


def matches(request: HttpRequest) -> HttpResponse:
    page = pagination.by_id(request, name_match_clearing.open_matches())
    return render(request, "portal/name_matches.html", {"page": page})


def clear_match(request: HttpRequest, match_id: int) -> HttpResponse:
    found = name_match_clearing.open_matches().filter(pk=min(match_id, _LARGEST_NUMBER)).first()
    if found is None:
        raise Http404
    return asking(
        request,
        name_match_clearing.KIND,
        form=AskForm(request.POST or None),
        subject=name_match_clearing.subject_of(found.pk),
        payload=lambda _said: {"match": found.pk},
        back=reverse("name_matches"),
        facts=_facts_of_match(found),
    )


def _facts_of_match(match: NameMatch) -> list[Line]:
    return [
        Line(_("Party"), f"{match.key:016x}"),
        Line(_("List"), match.entry.party_list.name),
        Line(_("Listed name"), match.entry.name),
        Line(_("Similarity"), f"{match.score} %"),
    ]


# --- markers ----------------------------------------------------------------------------------------------------------


def markers(request: HttpRequest) -> HttpResponse:
    """Shows the open appeals and the markers in force. If the visitor searches for an identifier, the page shows all
    markers of the party with this identifier."""
    search = EntrySearch(request.GET)
    key = _searched(request, search, "markers")
    found = filed.in_force() if key is None else filed.of_party(key)
    if search.errors:
        found = found.none()
    appeals = pagination.latest(filed.open_appeals(), 100)
    context = {
        "search": search,
        "page": pagination.by_id(request, found),
        "appeals": replace(appeals, rows=_with_serving(appeals)),
    }
    return render(request, "portal/markers.html", context)


def _with_serving(appeals: Iterable[Appeal]) -> list[tuple[Appeal, str]]:
    """Returns each appeal together with a text about the DFSP that filed the appeal. The text states whether the party
    is known to be a customer of this DFSP."""
    listed = list(appeals)
    serves = filed.serves(listed)
    return [(appeal, str(SERVES[serves[appeal.pk]])) for appeal in listed]


class NewMarker(Party):
    kind = forms.ChoiceField(label=gettext_lazy("Kind"), choices=words_of(Marker.Kind))


def file_marker(request: HttpRequest) -> HttpResponse:
    def payload(said: dict[str, Any]) -> dict[str, Any]:
        return {"party": said["party"], "kind": said["kind"], "reason": said["reason"]}

    return asking(
        request,
        "file_marker",
        form=NewMarker(request.POST or None),
        subject=lambda said: subject_of("file_marker", payload(said)),
        payload=payload,
        back=reverse("markers"),
    )


def _facts_of_marker(marker: Marker) -> list[Line]:
    return [
        Line(_("Party"), f"{marker.key:016x}"),
        Line(_("Kind"), word_of(marker.kind)),
        Line(_("Filed by"), marker.filed_by.name if marker.filed_by else _("the hub")),
        Line(_("Reason"), marker.reason),
    ]


def lift_marker(request: HttpRequest, marker_id: int) -> HttpResponse:
    marker = filed.in_force().filter(pk=min(marker_id, _LARGEST_NUMBER)).first()
    if marker is None:
        raise Http404
    return asking(
        request,
        "lift_marker",
        form=AskForm(request.POST or None),
        subject=subject_of("lift_marker", {"marker": marker.pk}),
        payload=lambda said: {"marker": marker.pk, "reason": said["reason"]},
        back=reverse("markers"),
        facts=_facts_of_marker(marker),
    )


def reject_appeal(request: HttpRequest, appeal_id: int) -> HttpResponse:
    appeal: Appeal | None = filed.open_appeals().filter(pk=min(appeal_id, _LARGEST_NUMBER)).first()
    if appeal is None:
        raise Http404
    return asking(
        request,
        "reject_appeal",
        form=AskForm(request.POST or None),
        subject=subject_of("reject_appeal", {"appeal": appeal.pk}),
        payload=lambda said: {"appeal": appeal.pk, "reason": said["reason"]},
        back=reverse("markers"),
        facts=[
            *_facts_of_marker(appeal.marker),
            appellant(appeal),
            Line(_("Reason of the appeal"), appeal.reason),
        ],
    )


# --- kill switches ----------------------------------------------------------------------------------------------------


def kill_switches(request: HttpRequest) -> HttpResponse:
    ended = KillSwitch.objects.filter(off_at__isnull=False)
    return render(
        request, "portal/kill_switches.html", {"on": switches.are_on(), "ended": pagination.latest(ended, 50)}
    )


class NewSwitch(PartyMixin, AskForm):
    kind = forms.ChoiceField(
        label=gettext_lazy("Stop"),
        choices=[
            (KillSwitch.Kind.ALIAS, gettext_lazy("all payments from or to one alias")),
            (KillSwitch.Kind.DFSP, gettext_lazy("all payments from or to one DFSP")),
            (KillSwitch.Kind.CORRIDOR, gettext_lazy("the payments from one DFSP to another DFSP")),
        ],
        widget=forms.RadioSelect,
    )
    type = party_fields.type_field(required=False)
    identifier = party_fields.identifier_field(required=False)
    sub_id = party_fields.sub_id_field()
    payer_dfsp = forms.ModelChoiceField(
        label=gettext_lazy("DFSP, or payer DFSP"), queryset=Participant.objects.none(), required=False
    )
    payee_dfsp = forms.ModelChoiceField(
        label=gettext_lazy("Payee DFSP"), queryset=Participant.objects.none(), required=False
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dfsps = Participant.objects.filter(is_hub=False).order_by("name")
        for name in ("payer_dfsp", "payee_dfsp"):
            self.fields[name].queryset = dfsps  # type: ignore[attr-defined]
            self.fields[name].to_field_name = "name"  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        said = super().clean()
        if not self.errors:
            try:
                switches.key_of(said["kind"], **self.named())
            except NotChanged as reason:
                self.add_error(None, str(reason))
        return said

    def named(self) -> dict[str, Any]:
        """Maps form fields to their values. The values are the party or the DFSPs whose payments the kill switch
        stops."""
        said = self.cleaned_data
        names = {name: said[name].name for name in ("payer_dfsp", "payee_dfsp") if said.get(name) is not None}
        return names if said.get("party") is None else {**names, "party": said["party"]}


def switch_on(request: HttpRequest) -> HttpResponse:
    form = NewSwitch(request.POST or None)

    def payload(said: dict[str, Any]) -> dict[str, Any]:
        return {"kind": said["kind"], **form.named(), "on": True, "reason": said["reason"]}

    return asking(
        request,
        switches.KIND,
        form=form,
        subject=lambda said: subject_of(switches.KIND, payload(said)),
        payload=payload,
        back=reverse("kill_switches"),
    )


def switch_off(request: HttpRequest, switch_id: int) -> HttpResponse:
    found = KillSwitch.objects.filter(pk=min(switch_id, _LARGEST_NUMBER), off_at=None).first()
    if found is None:
        raise Http404
    named = {name: getattr(found, name) for name in ("payer_dfsp", "payee_dfsp") if getattr(found, name)}
    if found.kind == KillSwitch.Kind.ALIAS:
        named["party"] = found.key
    return asking(
        request,
        switches.KIND,
        form=AskForm(request.POST or None),
        subject=switches.subject_of(found.key),
        payload=lambda said: {"kind": found.kind, **named, "on": False, "reason": said["reason"]},
        back=reverse("kill_switches"),
        facts=[
            Line(_("On since"), found.on_at),
            Line(_("Switched on by"), found.on_by),
            Line(_("Reason"), found.reason),
        ],
    )
