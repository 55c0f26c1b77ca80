"""Database queries that read agreements, for the portal's pages about payments."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from quotes.models import BulkQuoteItem, FxQuote, Quote

_MOST = 200
_MOST_ITEMS = 1000  # the maximum number of payments of a bulk quote


@dataclass(frozen=True, slots=True)
class Agreed:
    """The values in a quote by which the portal finds the quote's transfer. `item_id` is set for a payment of a bulk
    quote."""

    quote_id: str
    transaction_id: str
    payer_id: int
    condition: str | None
    created_at: datetime
    item_id: int | None = None


def named(ids: Collection[str]) -> list[Agreed]:
    """Returns the quotes and the payments of bulk quotes with one of these ids or transaction ids. An id can also be
    the id of a bulk quote."""
    rows = Quote.objects.filter(Q(pk__in=ids) | Q(transaction_id__in=ids)).order_by("-created_at", "-pk")
    columns = rows.values_list("quote_id", "transaction_id", "payer_id", "condition", "created_at")
    return [*(Agreed(*row) for row in columns[:_MOST]), *_items_named(ids)]


def _items_named(ids: Collection[str]) -> list[Agreed]:
    named = Q(quote_id__in=ids) | Q(transaction_id__in=ids) | Q(bulk_quote_id__in=ids)
    return _agreed(BulkQuoteItem.objects.filter(named))


def in_bulk_quotes(ids: Collection[str]) -> list[Agreed]:
    """Returns all payments of the bulk quotes with these ids."""
    return _agreed(BulkQuoteItem.objects.filter(bulk_quote_id__in=ids))


def _agreed(items: "QuerySet[BulkQuoteItem]") -> list[Agreed]:
    columns = items.values_list("quote_id", "transaction_id", "bulk_quote__payer_id", "created_at", "pk")
    latest = columns.order_by("-created_at", "-quote_id")[:_MOST_ITEMS]
    return [
        Agreed(quote_id, transaction_id, payer_id, None, created_at, item_id)
        for quote_id, transaction_id, payer_id, created_at, item_id in latest
    ]


# One index scan finds the latest rows of only one identifier. So the query scans each index once for each spelling.
_OF_ALIAS = """SELECT DISTINCT found.quote_id, found.transaction_id, found.payer_id, found.condition, found.created_at,
           found.item_id
    FROM unnest(%(spellings)s::text[]) AS s (alias) CROSS JOIN LATERAL (
        {scans}
    ) AS found ORDER BY found.created_at DESC, found.quote_id DESC LIMIT %(size)s
"""
_SCAN = """(SELECT created_at, quote_id, transaction_id, payer_id, condition, item_id
         FROM {table} q WHERE {alias} = s.alias AND {condition}
         ORDER BY created_at DESC, quote_id DESC LIMIT %(size)s)"""
_QUOTES = """(SELECT *, NULL::bigint AS item_id,
                     CASE WHEN state = 'REJECTED' AND response_digest = request_digest THEN payer_id
                          ELSE payee_id END AS receiver_id
              FROM quotes_quote)"""
_ITEMS = """(SELECT i.created_at, i.quote_id, i.transaction_id, i.payer_alias, i.payee_alias, b.payer_id,
                    b.payee_id AS receiver_id, NULL::text AS condition, i.id AS item_id
             FROM quotes_bulkquoteitem i JOIN quotes_bulkquote b ON b.bulk_quote_id = i.bulk_quote_id)"""
_ALIASES = (
    (_QUOTES, "quotes_alias(request, 'payer')"),
    (_QUOTES, "quotes_alias(request, 'payee')"),
    (_ITEMS, "payer_alias"),
    (_ITEMS, "payee_alias"),
)


def of_alias(
    spellings: Collection[str],
    *,
    own: int | None,
    until: datetime | None,
    before: tuple[datetime, str] | None,
    size: int,
) -> list[Agreed]:
    """Returns the latest quotes, and the latest payments of bulk quotes, that name a party by one of these identifiers.
    `until` is the end of the searched period. `before` is the last row of the previous page.

    If `own` is set, returns only quotes that the participant with the id `own` sent or received. A payee DFSP does not
    receive a quote that the scheme's rules refuse.
    """
    conditions, values = [], dict[str, Any](spellings=list(spellings), size=size)
    if own is not None:
        conditions.append("%(own)s IN (payer_id, receiver_id)")
        values["own"] = own
    if until is not None:
        conditions.append("created_at < %(until)s")
        values["until"] = until
    if before is not None:
        conditions.append("created_at <= %(at)s AND (created_at < %(at)s OR quote_id < %(id)s)")
        values |= {"at": before[0], "id": before[1]}
    condition = " AND ".join(conditions) or "true"
    scans = [_SCAN.format(table=table, alias=alias, condition=condition) for table, alias in _ALIASES]
    with connection.cursor() as cursor:
        cursor.execute(_OF_ALIAS.format(scans="\n        UNION ALL\n        ".join(scans)), values)
        return [Agreed(*row) for row in cursor.fetchall()]


# A payer DFSP chooses the ids, and a payee DFSP can use one condition for many quotes. So the statement reads only some
# quotes of each transfer.
_OF_PARTY = """SELECT t.transfer_id
    FROM unnest(%(ids)s::text[], %(payers)s::bigint[], %(conditions)s::text[]) AS t (transfer_id, payer_id, condition)
    WHERE EXISTS (
        SELECT FROM (
            (SELECT request FROM quotes_quote q WHERE q.transaction_id = t.transfer_id LIMIT %(most)s)
            UNION ALL
            (SELECT request FROM quotes_quote q
             WHERE q.payer_id = t.payer_id AND q.condition = t.condition AND q.packet_sha256 IS NOT NULL
             LIMIT %(most)s)
        ) q WHERE quotes_alias(request, 'payer') = ANY(%(spellings)s)
               OR quotes_alias(request, 'payee') = ANY(%(spellings)s)
    ) OR EXISTS (
        SELECT FROM quotes_bulkquoteitem i
        WHERE i.transaction_id = t.transfer_id
          AND (i.payer_alias = ANY(%(spellings)s) OR i.payee_alias = ANY(%(spellings)s))
    )
"""


def of_party(transfers: Sequence[tuple[str, int, str]], spellings: Collection[str]) -> set[str]:
    """Returns the ids of the transfers whose quotes name a party by one of these identifiers. Each transfer comes with
    its payer's id and its condition."""
    ids, payers, conditions = zip(*transfers, strict=True) if transfers else ((), (), ())
    values = {"ids": list(ids), "payers": list(payers), "conditions": list(conditions)}
    with connection.cursor() as cursor:
        cursor.execute(_OF_PARTY, {**values, "spellings": list(spellings), "most": _MOST})
        return {row[0] for row in cursor.fetchall()}


def transfers_converted_by(ids: Collection[str]) -> set[str]:
    """Finds the FX quotes with one of these request ids or conversion ids. Returns the ids of their determining
    transfers."""
    found = FxQuote.objects.filter(Q(pk__in=ids) | Q(conversion_id__in=ids))
    return {number for number in found.values_list("determining_transfer_id", flat=True)[:_MOST] if number}
