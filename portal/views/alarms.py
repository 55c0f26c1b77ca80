"""The page of alarms, and the section of the operators' documentation for each kind of alarm."""

from collections.abc import Callable

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from portal import assignable_users, pagination
from portal.alarms import queries, runbook_sections, services
from portal.alarms.kinds import KINDS
from portal.permissions import Right
from portal.posted_text import posted
from portal.visitor import visitor_of


def index(request: HttpRequest) -> HttpResponse:
    shows_ended = request.GET.get("state") == "ended"
    page = pagination.by_id(request, queries.found(is_open=not shows_ended))
    for alarm in page.rows:
        kind = KINDS.get(alarm.kind)
        alarm.title, alarm.is_urgent = kind.title if kind else alarm.kind, kind is not None and kind.is_urgent
        alarm.sentence, alarm.page = queries.sentence_of(alarm), queries.page_of(alarm)
    can_assign = visitor_of(request).may(Right.WORK_ON_ALARMS) and not shows_ended
    return render(
        request,
        "portal/alarms.html",
        {
            "page": page,
            "shows_ended": shows_ended,
            "people": assignable_users.with_right(Right.WORK_ON_ALARMS) if can_assign else [],
            "has_recipients": bool(settings.ALARM_RECIPIENTS or settings.NOTIFICATION_WEBHOOKS),
        },
    )


def acknowledge(request: HttpRequest, alarm_id: int) -> HttpResponse:
    actor = visitor_of(request).name
    return _done(request, lambda: services.acknowledge(alarm_id, actor=actor), _("Alarm acknowledged."))


def assign(request: HttpRequest, alarm_id: int) -> HttpResponse:
    name, actor = posted(request, "to"), visitor_of(request).name
    to = next(
        (person for person in assignable_users.with_right(Right.WORK_ON_ALARMS) if person.get_username() == name), None
    )
    if name and to is None:
        raise Http404
    return _done(request, lambda: services.assign(alarm_id, to=to, actor=actor), _("Alarm assigned."))


def _done(request: HttpRequest, change: Callable[[], object], said: str) -> HttpResponse:
    try:
        change()
    except services.NotChanged as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, said)
    return redirect("alarms")


def runbook(request: HttpRequest, kind: str) -> HttpResponse:
    section = runbook_sections.html_of(kind)
    if kind not in KINDS or section is None:
        raise Http404
    return render(request, "portal/runbook.html", {"title": KINDS[kind].title, "section": section})
