"""Reads the payments of bulk quotes, and shows each of these payments as a quote."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from django.db.models import F, QuerySet

from quotes import bulk_quote_terms
from quotes.models import BulkQuote, BulkQuoteItem, Quote

_LARGE = ("request", "request_headers", "response", "response_headers", "terms", "rule_terms", "rule_facts")


def all_rows() -> "QuerySet[BulkQuoteItem]":
    """Returns a query for the payments of bulk quotes. The columns have the names that a query for quotes uses."""
    rows = BulkQuoteItem.objects.select_related("bulk_quote__payer", "bulk_quote__payee")
    return rows.defer(*(f"bulk_quote__{name}" for name in _LARGE)).annotate(
        payer_id=F("bulk_quote__payer_id"),
        payee_id=F("bulk_quote__payee_id"),
        asked=F("amount"),
        asked_currency=F("currency"),
    )


def as_quotes(rows: Collection[BulkQuoteItem]) -> list[Quote]:
    """Returns these payments as quotes without messages."""
    bulks = BulkQuote.objects.filter(pk__in={row.bulk_quote_id for row in rows}, rule_terms__isnull=False)
    with_terms = {
        bulk_quote_id: {each.quote_id for each in bulk_quote_terms.from_bytes(bytes(stored))}
        for bulk_quote_id, stored in bulks.values_list("pk", "rule_terms")
        if stored is not None
    }
    return [_as_quote(row, row.quote_id in with_terms.get(row.bulk_quote_id, ())) for row in rows]


def _as_quote(row: BulkQuoteItem, has_terms: bool) -> Quote:
    bulk = row.bulk_quote
    is_refused = bulk.state == Quote.State.ACCEPTED and not has_terms
    return Quote(
        quote_id=row.quote_id,
        transaction_id=row.transaction_id,
        payer=bulk.payer,
        payee=bulk.payee,
        state=Quote.State.REJECTED if is_refused else bulk.state,
        expires_at=bulk.expires_at,
        created_at=bulk.created_at,
        answered_at=bulk.answered_at,
        request=b"",
        request_headers={},
    )


def as_quote_with_messages(row: BulkQuoteItem) -> Quote:
    """Returns this payment as a quote. The quote's messages are the payment's parts of the bulk quote's messages."""
    (quote,) = as_quotes([row])
    bulk = BulkQuote.objects.get(pk=row.bulk_quote_id)
    _add_messages(quote, _body(bulk.request), _body(bulk.response))
    return quote


def of_transfer(
    bulk_quote_id: str, *, transfer_id: str, condition: str, payer_id: int, payee_id: int | None
) -> Quote | None:
    """Returns the payment of a bulk quote that became this transfer, as a quote. The payment has the transfer's id as
    its transaction id, or the transfer's condition in its terms. Returns None if the messages have been erased."""
    bulks = BulkQuote.objects.select_related("payer", "payee")
    bulk = bulks.filter(pk=bulk_quote_id, payer_id=payer_id, payee_id=payee_id).first()
    if bulk is None:
        return None
    request, response = _body(bulk.request), _body(bulk.response)
    conditions = _conditions_in(response)
    found = [part for part in _payments_in(request) if part["transactionId"] == transfer_id]
    found += [part for part in _payments_in(request) if conditions.get(part["quoteId"]) == condition]
    if not found:
        return None
    row = BulkQuoteItem(bulk_quote=bulk, quote_id=found[0]["quoteId"], transaction_id=found[0]["transactionId"])
    quote = _as_quote(row, row.quote_id in conditions)
    _add_messages(quote, request, response)
    return quote


def conditions_of(item_ids: Collection[int]) -> dict[int, str]:
    """Returns the conditions in the terms of these payments."""
    rows = BulkQuoteItem.objects.filter(pk__in=item_ids).values_list("pk", "bulk_quote_id", "quote_id")
    places = list(rows)
    answered = BulkQuote.objects.filter(pk__in={bulk for _, bulk, _ in places}, response__isnull=False)
    given = {pk: _conditions_in(_body(response)) for pk, response in answered.values_list("pk", "response")}
    return {item_id: given[bulk][quote_id] for item_id, bulk, quote_id in places if quote_id in given.get(bulk, ())}


def _add_messages(quote: Quote, request: Mapping[str, Any], response: Mapping[str, Any]) -> None:
    """Sets the payment's parts of the messages. The signatures of the messages do not fit these parts, so the quote has
    no headers. The attribute `part_of` of the quote is the id of the bulk quote."""
    quote.part_of = request.get("bulkQuoteId", "")  # type: ignore[attr-defined]
    common = {name: value for name, value in request.items() if name != "individualQuotes"}
    for part in _payments_in(request):
        if part["quoteId"] == quote.quote_id:
            quote.request = orjson.dumps({**common, **part})
    if quote.answered_at is None or quote.state == Quote.State.EXPIRED:
        return
    parts = [part for part in _results_in(response) if part["quoteId"] == quote.quote_id]
    shown = parts[0] if parts else {name: each for name, each in response.items() if name == "errorInformation"}
    quote.response = orjson.dumps(shown)


def _body(message: Any) -> Mapping[str, Any]:
    """Returns a stored message, or an empty object if there is no message or the message has been erased."""
    found: Mapping[str, Any] = orjson.loads(bytes(message)) if message else {}
    return found


def _payments_in(request: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return request.get("individualQuotes") or []


def _results_in(response: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return response.get("individualQuoteResults") or []


def _conditions_in(response: Mapping[str, Any]) -> dict[str, str]:
    """Returns the condition of each payment that has terms, by the payment's quote id."""
    return {part["quoteId"]: part["condition"] for part in _results_in(response) if part.get("condition")}
