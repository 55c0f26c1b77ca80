"""The page of a participant's off-boarding: the progress and the current step."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from portal.changes import Line
from portal.changes.offboarding import AFTER
from portal.queries import offboarding
from portal.views.request_change import AskForm, asking
from portal.visitor import participant_of


def show(request: HttpRequest, name: str) -> HttpResponse:
    participant = participant_of(request, name)
    steps = offboarding.steps_of(participant)
    context = {"participant": participant, "steps": steps, "current": offboarding.current_of(steps)}
    return render(request, "portal/leaving.html", context)


def ask(request: HttpRequest, name: str, change: str) -> HttpResponse:
    """Submits a request: for the change in the current step, or for the end of the off-boarding.

    Returns 404 if the change belongs to another step.
    """
    participant = participant_of(request, name)
    if change == "stay":
        is_due = participant.leaving_since is not None and participant.closed_at is None
    else:
        steps = offboarding.steps_of(participant)
        current = offboarding.current_of(steps)
        is_due = change in AFTER and current < len(steps) and steps[current].change == change
    if not is_due:
        raise Http404
    return asking(
        request,
        change,
        form=AskForm(request.POST or None),
        subject=name,
        payload=lambda _said: {"participant": name},
        back=reverse("leaving", args=[name]),
        facts=[Line(_("Participant"), name), Line(_("After"), AFTER[change])],
    )
