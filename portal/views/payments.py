"""The pages on which people search for payments. An attempt is a payment without a transfer: a lookup, a quote or a
request to pay. This module has the search, the pages of attempts, and the saved searches."""

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
from portal.payment_search import PaymentSearch
from portal.permissions import Right
from portal.queries import payments, verdicts
from portal.queries.keyset import Found
from portal.queries.transfer_history import Moment, looked_up, lookup_of, quoted, text, told
from portal.rules import decided
from portal.visitor import Visitor, visitor_of
from portal.written_values import spellings_of_id
from quotes.models import Quote, TransactionRequest, requested_amount, requested_currency

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
    if search.ids:
        found = [row for any_id in search.ids for row in payments.with_id(any_id, own=visitor.dfsp_id)]
        return Found(found if before is None else [])
    return payments.latest(search.sought(visitor), before=before, size=size)


def show_quote(request: HttpRequest, quote_id: str) -> HttpResponse:
    """Shows a quote without a transfer: how the quote ended, the messages, and the decisions of the rules."""
    visitor = visitor_of(request)
    rows = Quote.objects.select_related("payer", "payee").filter(pk__in=_ids(quote_id))
    quote = rows.first()
    if quote is None:
        raise Http404
    visitor.must_see(quote.payer_id, quote.payee_id)
    lookup = lookup_of(quote)
    moments = [
        *looked_up(quote, lookup),
        *quoted(quote),
        *told([quote.quote_id], {quote.payer_id, quote.payee_id}),
    ]
    context: dict[str, Any] = {
        "heading": _("Quote"),
        "attempt": quote,
        "amount": rows.values_list(requested_amount(), requested_currency()).first(),
        "verdict": verdicts.of_quote(quote, lookup),
        "moments": _sorted(moments),
        "transaction_id": quote.transaction_id,
    }
    if visitor.may(Right.SEE_RULES):
        context["judgements"] = decided.judgements([quote.quote_id])
    return render(request, "portal/attempt.html", context)


def show_request(request: HttpRequest, request_id: str) -> HttpResponse:
    """Shows a request to pay: how the request ended, and the messages."""
    visitor = visitor_of(request)
    rows = TransactionRequest.objects.select_related("payer", "payee").filter(pk__in=_ids(request_id))
    found = rows.first()
    if found is None:
        raise Http404
    visitor.must_see(found.payer_id, found.payee_id)
    asked = _("%(payee)s asked %(payer)s for a payment") % {"payee": found.payee.name, "payer": found.payer.name}
    moments = [Moment(found.created_at, asked, "", "", text(found.request), found.request_headers or {})]
    if found.answered_at is not None:
        title = _("Answered: %(state)s") % {"state": found.state}
        moments.append(Moment(found.answered_at, title, "", "", text(found.response), found.response_headers or {}))
    moments += told([TransactionRequest.order_of(found.pk)], {found.payer_id, found.payee_id})
    context = {
        "heading": _("Request to pay"),
        "attempt": found,
        "amount": rows.values_list(requested_amount(), requested_currency()).first(),
        "verdict": verdicts.of_request(found),
        "moments": _sorted(moments),
        "transaction_id": "",
    }
    return render(request, "portal/attempt.html", context)


def _ids(text: str) -> set[str]:
    return spellings_of_id(text) if len(text) <= 36 and "\0" not in text else set()


def _sorted(moments: list[Moment]) -> list[Moment]:
    return sorted(moments, key=lambda moment: moment.order or moment.at)


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
