"""The audit trail: who did what, when, from where, before and after."""

import json
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from hub.audit.models import Entry
from portal import csv, paging
from portal.search import DayField, Search


class AuditSearch(Search):
    actor = forms.CharField(label=_("Who"), required=False)
    subject = forms.CharField(label=_("About"), required=False)
    action = forms.CharField(label=_("Action"), required=False)
    since = DayField(label=_("From"), required=False)
    until = DayField(label=_("To"), required=False, is_end=True)

    def rows(self) -> Any:
        return self.filtered(
            Entry.objects.all(),
            actor="actor__icontains",
            subject="subject__icontains",
            action="action__icontains",
            since="at__gte",
            until="at__lt",
        )


def index(request: HttpRequest) -> HttpResponse:
    search = AuditSearch(request.GET)
    page = paging.by_id(request, search.rows())
    return render(request, "portal/audit.html", {"search": search, "page": page})


def export(request: HttpRequest) -> StreamingHttpResponse:
    rows = AuditSearch(request.GET).rows().order_by("-id")[: csv.MOST_ROWS]
    return csv.response(
        "audit.csv",
        ["id", "at", "who", "from", "action", "about", "before", "after", "hash"],
        (
            (
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
            for entry in rows.iterator(chunk_size=1000)
        ),
    )


def _as_text(value: Any) -> str:
    return "" if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False)
