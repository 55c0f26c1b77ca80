"""The pages of replays. A replay judges stored payments by a version of the rules. The pages show the resulting
decisions."""

from datetime import datetime
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal import pagination, replays
from portal.models import RuleReplay
from portal.search_forms import DayField
from portal.visitor import visitor_of
from rules.rulesets import queries

_LARGEST_NUMBER = 2**63 - 1


class Days(forms.Form):
    since = DayField(
        label=gettext_lazy("From"),
        required=False,
        help_text=gettext_lazy("If this field is empty, the replay begins with the first payment."),
    )
    until = DayField(
        label=gettext_lazy("Until"),
        required=False,
        is_end=True,
        help_text=gettext_lazy("If this field is empty, the replay ends with the latest payment."),
    )

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        since, until = said.get("since"), said.get("until")
        if since is not None and until is not None and until <= since:
            self.add_error("until", _("The end must be after the beginning."))
        return said


def of_version(request: HttpRequest, number: int) -> HttpResponse:
    """Shows the replays of a version, and the form that requests another replay."""
    version = queries.version(number) if number <= _LARGEST_NUMBER else None
    if version is None:
        raise Http404
    form = Days(request.POST or None)
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            job = replays.ask(version, since=said["since"], until=said["until"], asked_by=visitor_of(request).name)
        except replays.NotAsked as reason:
            form.add_error(None, str(reason))
        else:
            return redirect("rule_replay", job.pk)
    page = pagination.by_id(request, replays.of_version(version))
    context = {"version": version, "form": form, "page": page}
    return render(request, "portal/rule_replays.html", context, status=400 if form.errors else 200)


def show(request: HttpRequest, replay_id: int) -> HttpResponse:
    return render(request, "portal/rule_replay.html", _context(replay_id))


def stop(request: HttpRequest, replay_id: int) -> HttpResponse:
    """Stops a waiting or running replay."""
    job = RuleReplay.objects.filter(pk=min(replay_id, _LARGEST_NUMBER)).first()
    if job is None:
        raise Http404
    replays.stop(job.pk, actor=visitor_of(request).name)
    return redirect("rule_replay", job.pk)


def live(request: HttpRequest, replay_id: int) -> HttpResponse:
    """Returns one part of the page. The browser reloads this part until the replay is done."""
    return render(request, "portal/rule_replay_live.html", _context(replay_id))


def _context(replay_id: int) -> dict[str, Any]:
    job = RuleReplay.objects.select_related("version").filter(pk=min(replay_id, _LARGEST_NUMBER)).first()
    if job is None:
        raise Http404
    report = job.report or {}
    rules = sorted(report.get("rules", {}).items(), key=lambda each: -each[1]["hits"])
    return {
        "job": job,
        "is_open": job.state in (RuleReplay.State.WAITING, RuleReplay.State.RUNNING),
        "percent": 100 * job.done // job.whole if job.whole else 0,
        "report": report,
        "judged": sum(report.get("judged", {}).values()),
        "rules": [(rule, figures, _amounts(figures["refused_value"])) for rule, figures in rules],
        "refused_value": _amounts(report.get("refused_value", {})),
        "worst_hit": [(*each, round(100 * each[1] / each[2], 1)) for each in report.get("worst_hit", ())],
        "examples": sorted(map(_example, report.get("examples", ())), key=lambda each: each["at"]),
    }


def _example(stored: dict[str, Any]) -> dict[str, Any]:
    return stored | {"at": datetime.fromisoformat(stored["at"])}


def _amounts(values: dict[str, str]) -> str:
    return ", ".join(f"{value} {currency}" for currency, value in sorted(values.items()))
