"""The page of a quote without a transfer, and the page of a request to pay without a transfer."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from portal.parse_typed_values import spellings_of_id
from portal.permissions import Right
from portal.queries import payment_outcome
from portal.queries.transfer_history import Moment, looked_up, lookup_of, quoted, text, told
from portal.rules import decided
from portal.visitor import visitor_of
from portal.words import states
from quotes import bulk_quote_items
from quotes.models import Quote, TransactionRequest, requested_amount, requested_currency


def show_quote(request: HttpRequest, quote_id: str) -> HttpResponse:
    """Shows a quote without a transfer: how the quote ended, the messages, and the decisions of the rules. The quote
    can be a payment of a bulk quote."""
    visitor = visitor_of(request)
    quote, amount, subject = _quote(_ids(quote_id))
    visitor.must_see(quote.payer_id, None if quote.is_refused_by_rules else quote.payee_id)
    lookup = lookup_of(quote)
    moments = [*looked_up(quote, lookup), *quoted(quote), *told([subject], {quote.payer_id, quote.payee_id})]
    context: dict[str, Any] = {
        "heading": _("Quote"),
        "attempt": quote,
        "amount": amount,
        "verdict": payment_outcome.of_quote(quote, lookup),
        "moments": _sorted(moments),
        "transaction_id": quote.transaction_id,
    }
    if visitor.may(Right.SEE_RULES):
        bulk_quote_id = None if subject == quote.pk else subject
        context["decided"] = decided.of_payment(payer=quote.payer.name, quote=quote, bulk_quote_id=bulk_quote_id)
    return render(request, "portal/attempt.html", context)


def _quote(ids: set[str]) -> tuple[Quote, tuple[int | None, str | None] | None, str]:
    """Returns a quote, its amount and currency, and the id that the quote's messages are about. The messages about a
    payment of a bulk quote are about the bulk quote."""
    rows = Quote.objects.select_related("payer", "payee").filter(pk__in=ids)
    quote = rows.first()
    if quote is not None:
        return quote, rows.values_list(requested_amount(), requested_currency()).first(), quote.quote_id
    item = bulk_quote_items.all_rows().filter(quote_id__in=ids).order_by("-created_at", "-pk").first()
    if item is None:
        raise Http404
    return bulk_quote_items.as_quote_with_messages(item), (item.amount, item.currency), item.bulk_quote_id


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
        title = _("Answered: %(state)s") % {"state": states.word_of(found.state)}
        moments.append(Moment(found.answered_at, title, "", "", text(found.response), found.response_headers or {}))
    moments += told([TransactionRequest.order_of(found.pk)], {found.payer_id, found.payee_id})
    context = {
        "heading": _("Request to pay"),
        "attempt": found,
        "amount": rows.values_list(requested_amount(), requested_currency()).first(),
        "verdict": payment_outcome.of_request(found),
        "moments": _sorted(moments),
        "transaction_id": "",
    }
    return render(request, "portal/attempt.html", context)


def _ids(text: str) -> set[str]:
    return spellings_of_id(text) if len(text) <= 36 and "\0" not in text else set()


def _sorted(moments: list[Moment]) -> list[Moment]:
    return sorted(moments, key=lambda moment: moment.order or moment.at)
