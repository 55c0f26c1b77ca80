"""The page of a new participant's go-live: its checks, the test lookup, and the request to go live."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from directory import trial_lookups
from directory.aliases import Alias
from hub.participants.models import Participant
from portal import change_request_forms, go_live_checks
from portal.changes import Line
from portal.views.request_change import AskForm, asking
from portal.visitor import participant_of, visitor_of


def show(request: HttpRequest, name: str) -> HttpResponse:
    participant = _onboarding(request, name)
    if participant is None:
        return redirect("participant", name)
    checks = go_live_checks.checks_of(participant)
    context = {
        "participant": participant,
        "checks": checks,
        "is_ready": not any(check.stops for check in checks),
        "trial": trial_lookups.latest(participant),
        "form": change_request_forms.TestNumber(initial={"type": "MSISDN"}),
    }
    return render(request, "portal/go_live.html", context)


def look_up(request: HttpRequest, name: str) -> HttpResponse:
    """Sends the participant a lookup of a test number. The participant's answer comes a moment later, so the visitor
    must load the page again."""
    participant = _onboarding(request, name)
    if participant is None:
        return redirect("participant", name)
    form = change_request_forms.TestNumber(request.POST)
    if not form.is_valid():
        for errors in form.errors.values():
            messages.error(request, str(errors[0]))
        return redirect("go_live", name)
    said = form.cleaned_data
    trial = trial_lookups.ask(participant, Alias(said["type"], said["identifier"]), actor=visitor_of(request).name)
    if trial.fault:
        messages.error(request, _("The participant did not accept the request: %(detail)s") % {"detail": trial.detail})
    else:
        messages.success(request, _("The request was sent. Load this page again to see the answer."))
    return redirect("go_live", name)


def ask(request: HttpRequest, name: str) -> HttpResponse:
    participant = _onboarding(request, name)
    if participant is None:
        return redirect("participant", name)
    checks = go_live_checks.checks_of(participant)
    return asking(
        request,
        "go_live",
        form=AskForm(request.POST or None),
        subject=name,
        payload=lambda _said: {"participant": name},
        back=reverse("go_live", args=[name]),
        facts=[
            Line(_("Participant"), name),
            *(Line(str(check.title), f"{check.word}: {check.text}") for check in checks),
        ],
    )


def _onboarding(request: HttpRequest, name: str) -> Participant | None:
    """Returns the participant, or None if the participant is already live. If the participant is already live, a page
    that was opened before the go-live leads to the participant's page."""
    participant = participant_of(request, name)
    return participant if participant.onboarding_since is not None else None
