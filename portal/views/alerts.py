"""The pages of the fraud desk: the queue of alerts, and one page for each alert. On the alert's page, people decide
what to do."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.audit import record
from hub.audit.models import Approval
from hub.participants.models import Participant
from ledger.held_transfers import queries as held_transfers
from portal import assignable_users, changes, pagination
from portal.changes import Line
from portal.permissions import Right
from portal.posted_text import posted
from portal.rules import decided, party_fields
from portal.rules.party_fields import PartySearch
from portal.views.held_transfers import Refusal
from portal.views.request_change import AskForm, asking
from portal.visitor import visitor_of
from portal.words.kinds import words_of
from rules.alerts import queries, requested_changes, services
from rules.alerts.models import Alert
from rules.change_refused import NotChanged
from rules.lists.models import KillSwitch, PartyList
from rules.markers import queries as markers
from rules.markers.models import Marker
from rules.rulesets import queries as rulesets

_LARGEST_NUMBER = 2**63 - 1
_MOST_HELD = 20  # the largest number of held transfers that an alert's page shows
OUTCOMES = [
    (Alert.Outcome.FRAUD, gettext_lazy("Fraud")),
    (Alert.Outcome.NO_FRAUD, gettext_lazy("No fraud")),
    (Alert.Outcome.UNCLEAR, gettext_lazy("Unclear")),
]


NO_DFSP = "."
"""A search for this value finds the alerts that no DFSP caused. No DFSP can have this value as its name."""


def _causes() -> list[tuple[str, Any]]:
    names = Participant.objects.filter(is_hub=False).order_by("name").values_list("name", flat=True)
    return [("", "–"), *((name, name) for name in names), (NO_DFSP, gettext_lazy("no DFSP"))]


class AlertSearch(PartySearch):
    state = forms.ChoiceField(
        label=gettext_lazy("State"),
        required=False,
        choices=[("OPEN", gettext_lazy("open")), ("CLOSED", gettext_lazy("closed"))],
    )
    assigned = forms.ChoiceField(
        label=gettext_lazy("Assigned to"),
        required=False,
        choices=[("", "–"), ("me", gettext_lazy("me")), ("nobody", gettext_lazy("nobody"))],
    )
    caused_by = forms.ChoiceField(label=gettext_lazy("Caused by DFSP"), required=False, choices=_causes)
    field_order = ("state", "assigned", "caused_by", "type", "identifier")


def index(request: HttpRequest) -> HttpResponse:
    """Shows the queue, with the latest alert first. A search by identifier finds the party's alerts in every state.

    One DFSP can cause any number of alerts. So the page also shows how many open alerts each DFSP caused.
    """
    visitor, search = visitor_of(request), AlertSearch(request.GET)
    said = search.said
    found = queries.queue(state=said.get("state") or Alert.State.OPEN)
    if not search.is_valid():
        found = found.none()
    if said.get("identifier"):
        found = _of_party(search)
        record("alias_looked_up", subject="alerts", actor=visitor.name, after={"found": found.count()})
    if said.get("assigned") == "me" and visitor.user is not None:
        found = found.filter(assigned_to=visitor.user)
    elif said.get("assigned") == "nobody":
        found = found.filter(assigned_to=None)
    if said.get("caused_by"):
        found = found.filter(caused_by="" if said["caused_by"] == NO_DFSP else said["caused_by"])
    context = {
        "search": search,
        "page": pagination.by_id(request, found),
        "open_by_dfsp": [(each, each.dfsp or NO_DFSP) for each in queries.open_by_dfsp()],
    }
    return render(request, "portal/alerts.html", context)


def _of_party(search: AlertSearch) -> Any:
    said = search.cleaned_data
    try:
        key = party_fields.key_of(said.get("type") or "MSISDN", said["identifier"])
    except ValueError as fault:
        search.add_error("identifier", str(fault))
        return Alert.objects.none()
    return Alert.objects.filter(key=key).select_related("assigned_to")


def _alert(alert_id: int) -> Alert:
    found = queries.one(alert_id) if alert_id <= _LARGEST_NUMBER else None
    if found is None:
        raise Http404
    return found


def show(request: HttpRequest, alert_id: int) -> HttpResponse:
    alert = _alert(alert_id)
    sightings = list(alert.sightings.all())
    requests = [action.approval for action in alert.actions.all()]
    context = {
        "alert": alert,
        "sightings": [(sighting, _readings(sighting.details)) for sighting in reversed(sightings)],
        "held": _held(alert),
        "requests": [(changes.KINDS[approval.kind].title, approval) for approval in requests],
        "earlier": pagination.latest(queries.earlier(alert), 20),
        "markers": pagination.latest(markers.of_party(alert.key), 20) if not alert.dfsp else [],
        "people": assignable_users.with_right(Right.WORK_ON_ALERTS),
        "outcomes": OUTCOMES,
    }
    return render(request, "portal/alert.html", context)


def _readings(details: Any) -> list[decided.Shown]:
    return decided.shown_readings(details.get("readings") or ()) if isinstance(details, dict) else []


def _held(alert: Alert) -> pagination.Latest:
    return pagination.latest(_held_transfers(alert, most=_MOST_HELD + 1), _MOST_HELD)


def _held_transfers(alert: Alert, *, most: int, only: str | None = None) -> list[str]:
    """Returns the ids of the held transfers from or to the alert's party, and of those that the reports name.

    An alert keeps only its first reports, so the reports alone are not enough. A report can name the transfer's quote,
    because a rule at the quote can hold the transfer.
    """
    reports = alert.sightings.all()
    return held_transfers.concerning(
        alert.key,
        unknown_party_of=alert.dfsp,
        transfer_ids=[each.subject for each in reports if each.gate == "transfer"],
        quote_ids=[each.subject for each in reports if each.gate == "quote"],
        most=most,
        only=only,
    )


def assign(request: HttpRequest, alert_id: int) -> HttpResponse:
    name = posted(request, "to")
    to = next(
        (person for person in assignable_users.with_right(Right.WORK_ON_ALERTS) if person.get_username() == name), None
    )
    if name and to is None:
        raise Http404
    return _done(
        request, alert_id, lambda actor: services.assign(_number(alert_id), to=to, actor=actor), _("Alert assigned.")
    )


def add_note(request: HttpRequest, alert_id: int) -> HttpResponse:
    text = posted(request, "text")
    return _done(
        request, alert_id, lambda actor: services.add_note(_number(alert_id), text=text, actor=actor), _("Note added.")
    )


def close(request: HttpRequest, alert_id: int) -> HttpResponse:
    outcome = posted(request, "outcome")
    if outcome not in Alert.Outcome.values:
        raise Http404
    return _done(
        request,
        alert_id,
        lambda actor: services.close(_number(alert_id), outcome=outcome, actor=actor),
        _("Alert closed."),
    )


def _number(alert_id: int) -> int:
    return min(alert_id, _LARGEST_NUMBER)


def _done(request: HttpRequest, alert_id: int, do: Any, text: str) -> HttpResponse:
    try:
        do(visitor_of(request).name)
    except NotChanged as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, text)
    return redirect("alert", alert_id)


class Block(AskForm):
    list = forms.ModelChoiceField(
        label=gettext_lazy("List"),
        queryset=PartyList.objects.filter(kind__in=[PartyList.Kind.BLOCK, PartyList.Kind.EXCLUSION]),
        to_field_name="name",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        lists = self.fields["list"].queryset  # type: ignore[attr-defined]
        if len(lists[:2]) == 1:
            self.fields["list"].initial = lists[0].name

    def clean_list(self) -> PartyList:
        found: PartyList = self.cleaned_data["list"]
        if not rulesets.live_rules_about(party_list=found.name):
            raise forms.ValidationError(
                _(
                    "No live rule looks into this list, so the list would stop no payments. "
                    "Switch a kill switch on instead."
                )
            )
        return found


class Mark(AskForm):
    kind = forms.ChoiceField(label=gettext_lazy("Kind"), choices=words_of(Marker.Kind))


def block(request: HttpRequest, alert_id: int) -> HttpResponse:
    alert = _of_a_party(alert_id)
    form = Block(request.POST or None)
    return _request(request, alert, "block_party", form, lambda said: {"list": said["list"].name, "party": alert.key})


def mark(request: HttpRequest, alert_id: int) -> HttpResponse:
    alert = _of_a_party(alert_id)
    form = Mark(request.POST or None)
    return _request(
        request,
        alert,
        "file_marker",
        form,
        lambda said: {"party": alert.key, "kind": said["kind"], "reason": said["reason"]},
    )


def stop(request: HttpRequest, alert_id: int) -> HttpResponse:
    """Requests a kill switch for the party of the alert. If no party is known, requests a kill switch for the DFSP of
    the alert."""
    alert = _alert(alert_id)
    named: dict[str, Any] = (
        {"kind": KillSwitch.Kind.DFSP.value, "payer_dfsp": alert.dfsp}
        if alert.dfsp
        else {"kind": KillSwitch.Kind.ALIAS.value, "party": alert.key}
    )
    form = AskForm(request.POST or None)
    return _request(request, alert, "kill_switch", form, lambda said: {**named, "on": True, "reason": said["reason"]})


def release(request: HttpRequest, alert_id: int, transfer_id: str) -> HttpResponse:
    alert = _alert(alert_id)
    held = _held_transfer(alert, transfer_id)
    form = AskForm(request.POST or None)
    return _request(request, alert, "release_held", form, lambda said: {"transfer": held, "reason": said["reason"]})


def refuse(request: HttpRequest, alert_id: int, transfer_id: str) -> HttpResponse:
    alert = _alert(alert_id)
    held = _held_transfer(alert, transfer_id)
    form = Refusal(request.POST or None)
    return _request(
        request,
        alert,
        "refuse_held",
        form,
        lambda said: {"transfer": held, "code": said["code"], "reason": said["reason"]},
    )


def _of_a_party(alert_id: int) -> Alert:
    alert = _alert(alert_id)
    if alert.dfsp:
        raise Http404
    return alert


def _held_transfer(alert: Alert, transfer_id: str) -> str:
    if "\0" in transfer_id or not _held_transfers(alert, most=1, only=transfer_id):
        raise Http404
    return transfer_id


def _request(request: HttpRequest, alert: Alert, kind: str, form: AskForm, payload: Any) -> HttpResponse:
    def note(approval: Approval) -> None:
        requested_changes.note_request(alert.pk, approval)

    about = Line(_("DFSP"), alert.dfsp) if alert.dfsp else Line(_("Party"), f"{alert.key:016x}")
    return asking(
        request,
        kind,
        form=form,
        subject=lambda said: requested_changes.subject_of(kind, payload(said)),
        payload=payload,
        back=reverse("alert", args=[alert.pk]),
        facts=[Line(_("Alert"), alert.pk), about],
        then=note,
    )
