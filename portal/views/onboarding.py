"""Onboards a participant step by step. The last step submits one request. Another person approves the whole request."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from ledger.models import Account
from portal import change_request_forms
from portal.changes import Line
from portal.changes.onboarding import described
from portal.onboarding_wizard import REVIEW, STEPS, Step, payload_of
from portal.views.request_change import AskForm, asking
from portal.visitor import participant_of

_SAID = "onboarding"


def begin(request: HttpRequest) -> HttpResponse:
    """Begins with an empty form. Only a POST discards an earlier form that was not submitted."""
    said: dict[str, Any] = request.session.get(_SAID, {})
    if said and request.method != "POST":
        context = {"name": said[STEPS[0].name]["name"], "steps": _shown(said, ""), "next": _next(said)}
        return render(request, "portal/wizard_begin.html", context)
    request.session.pop(_SAID, None)
    return redirect("onboard", STEPS[0].name)


def _next(said: dict[str, Any]) -> str:
    """Returns the URL of the first step that has no values. If all steps have values, returns the URL of the review."""
    missing = next((found.name for found in STEPS if found.name not in said), REVIEW)
    return reverse("onboard", args=[missing])


def step(request: HttpRequest, step: str) -> HttpResponse:
    said: dict[str, Any] = request.session.get(_SAID, {})
    number = _number(step)
    missing = next((found for found in STEPS[:number] if found.name not in said), None)
    if missing is not None:
        return redirect("onboard", missing.name)
    return _review(request, said) if number == len(STEPS) else _ask(request, number, said)


def _number(name: str) -> int:
    names = [*(found.name for found in STEPS), REVIEW]
    if name not in names:
        raise Http404
    return names.index(name)


def _ask(request: HttpRequest, number: int, said: dict[str, Any]) -> HttpResponse:
    here = STEPS[number]
    initial = said.get(here.name) or {"currency_0": _usual_currency()}
    form = here.form(request.POST if request.method == "POST" else None, initial=initial, said=said)
    if request.method == "POST" and form.is_valid():
        request.session[_SAID] = {**said, here.name: form.cleaned_data}
        return redirect("onboard", STEPS[number + 1].name if number + 1 < len(STEPS) else REVIEW)
    back = _url(STEPS[number - 1]) if number else reverse("participants")
    fields = list(form)
    size = len(fields) // here.rows
    groups = [fields[row * size : (row + 1) * size] for row in range(here.rows)]
    context = {"title": here.title, "form": form, "groups": groups, "steps": _shown(said, here.name), "back": back}
    return render(request, "portal/wizard.html", context, status=400 if form.errors else 200)


def _review(request: HttpRequest, said: dict[str, Any]) -> HttpResponse:
    payload = payload_of(said)
    name = payload["participant"]
    answer = asking(
        request,
        "onboard",
        form=AskForm(request.POST or None),
        subject=name,
        payload=lambda _said: payload,
        back=_url(STEPS[-1]),
        facts=described(payload),
        steps=_shown(said, REVIEW),
    )
    if answer.status_code == 302:
        del request.session[_SAID]
    return answer


def _shown(said: dict[str, Any], here: str) -> list[dict[str, Any]]:
    shown = [
        {"title": found.title, "url": _url(found), "is_done": found.name in said, "is_here": found.name == here}
        for found in STEPS
    ]
    return [*shown, {"title": _("Review and submit"), "url": "", "is_done": False, "is_here": here == REVIEW}]


def _url(found: Step) -> str:
    return reverse("onboard", args=[found.name])


def _usual_currency() -> str | None:
    """Returns the scheme's first currency, because most schemes have only one currency."""
    accounts = Account.objects.filter(participant__is_hub=True).order_by("id")
    return accounts.values_list("currency", flat=True).first()


def add_currency(request: HttpRequest, name: str) -> HttpResponse:
    participant = participant_of(request, name)
    return asking(
        request,
        "add_currency",
        form=change_request_forms.NewCurrency(request.POST or None, participant=participant),
        subject=name,
        payload=lambda said: {"participant": name, "currency": said["currency"], "ndc": said["ndc"]},
        back=reverse("participant", args=[name]),
        facts=[Line(_("Participant"), name)],
    )
