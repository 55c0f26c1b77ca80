"""The page on which people search for payments and attempts, and the saved searches. An attempt is a payment without a
transfer: a lookup, a quote or a request to pay."""

from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from hub.audit import record
from portal import pagination
from portal.models import SavedView
from portal.payment_search_form import PaymentSearch
from portal.queries import payments
from portal.queries.keyset import Found
from portal.visitor import Visitor, visitor_of

_MOST_VIEWS = 30


def index(request: HttpRequest) -> HttpResponse:
    """Shows the search form, and the payments and attempts that match the search. The audit trail records each search
    for a customer's identifier."""
    visitor, search = visitor_of(request), PaymentSearch(request.GET)
    page, found = pagination.by_arrival(request, lambda before, size: _found(search, visitor, before, size))
    if search.said.get("alias"):
        record("alias_looked_up", subject="payments", actor=visitor.name, after={"found": len(page.rows)})
    context = {
        "search": search,
        "page": page,
        "rows": [(payments.kind_of(row).value, row) for row in page.rows],
        "stopped_at": found.stopped_at,
        "views": visitor.user.saved_views.all() if visitor.user else [],  # type: ignore[attr-defined]
        "has_all_quotes": search.is_empty or not search.is_valid() or search.sought(visitor).reads_open_quotes,
    }
    return render(request, "portal/payments.html", context)


def _found(search: PaymentSearch, visitor: Visitor, before: Any, size: int) -> Found[Any]:
    if not search.is_valid() or search.is_empty:
        return Found([])
    sought = search.sought(visitor)
    if search.ids:
        return payments.with_ids(search.ids, sought, before=before, size=size)
    return payments.latest(sought, before=before, size=size)


# --- saved views ------------------------------------------------------------------------------------------------------


def save_view(request: HttpRequest) -> HttpResponse:
    """Saves the visitor's current search under a name. If the user already has a search with this name, replaces that
    search.

    A saved search must not contain a customer's identifier, because the hub erases customers' identifiers after
    `RETENTION_DAYS`.
    """
    visitor, name = visitor_of(request), request.POST.get("name", "").strip()
    asked = {key: value for key, value in parse_qsl(request.POST.get("query", "")) if key in PaymentSearch.base_fields}
    query = urlencode(asked)
    back = f"{reverse('payments')}?{query}"
    search = PaymentSearch(asked)
    if search.said.get("alias") or search.ids:
        messages.error(request, _("A saved view must not name a customer or a single payment."))
        return redirect(back)
    if not name or len(name) > 64 or "\0" in name + query or len(query) > 1024 or not search.is_valid():
        messages.error(request, _("Write a name of at most 64 characters, and search for something first."))
        return redirect(back)
    views = SavedView.objects.filter(user=visitor.user)
    if views.exclude(name=name).count() >= _MOST_VIEWS:
        messages.error(request, _("You have %(most)s saved views. Remove one first.") % {"most": _MOST_VIEWS})
        return redirect(back)
    SavedView.objects.update_or_create(user=visitor.user, name=name, defaults={"query": query})
    messages.success(request, _("Saved as “%(name)s”.") % {"name": name})
    return redirect(back)


def remove_view(request: HttpRequest, view_id: int) -> HttpResponse:
    views = SavedView.objects.filter(user=visitor_of(request).user, pk=view_id) if view_id < 2**63 else None
    if views is None or not views.delete()[0]:
        raise Http404
    return redirect("payments")
