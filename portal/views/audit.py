"""The page of the audit trail: actor, action, time, address, and values before and after."""

import json
from collections.abc import Iterator
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from hub.audit.models import Entry
from hub.downloads import Download
from portal import csv_export, pagination
from portal.search_forms import DayField, Search, no_file
from portal.words import actions

_AT_ONCE = 200


class AuditSearch(Search):
    actor = forms.CharField(label=_("Done by"), required=False)
    subject = forms.CharField(label=_("Subject"), required=False)
    action = forms.CharField(label=_("Action"), required=False)
    since = DayField(label=_("From"), required=False)
    until = DayField(label=_("Until"), required=False, is_end=True)

    def rows(self) -> Any:
        found = self.filtered(
            Entry.objects.all(),
            actor="actor__icontains",
            subject="subject__icontains",
            since="at__gte",
            until="at__lt",
        )
        action = self.said.get("action")
        if action is None:
            return found
        return found.filter(Q(action__icontains=action) | Q(action__in=actions.named(action)))


def index(request: HttpRequest) -> HttpResponse:
    search = AuditSearch(request.GET)
    page = pagination.by_id(request, search.rows())
    return render(request, "portal/audit.html", {"search": search, "page": page})


_HEADINGS = ["id", "at", "who", "from", "action", "about", "before", "after", "hash"]


def export(request: HttpRequest) -> Download | HttpResponse:
    search = AuditSearch(request.GET)
    if not search.is_valid():
        return no_file(request, reverse("audit"))
    rows = csv_export.limited(_batches(search.rows().order_by("-id")))
    return csv_export.response(request, "audit.csv", _HEADINGS, rows)


def _batches(rows: "QuerySet[Entry]") -> Iterator[list[tuple[Any, ...]]]:
    """Yields the entries, with the latest first. The batches are small, because the values before and after can be
    long."""
    found = list(rows[:_AT_ONCE])
    while found:
        yield [_row(entry) for entry in found]
        found = list(rows.filter(pk__lt=found[-1].pk)[:_AT_ONCE])


def _row(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.pk,
        entry.at.isoformat(),
        entry.actor,
        entry.address,
        entry.action,
        entry.subject,
        _as_text(entry.before),
        _as_text(entry.after),
        bytes(entry.hash).hex(),
    )


def _as_text(value: Any) -> str:
    return "" if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False)
