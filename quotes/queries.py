"""Database queries that read agreements, for the portal's search for payments."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q

from quotes.models import FxQuote, Quote

_MOST = 200


@dataclass(frozen=True, slots=True)
class Agreed:
    """The values in a quote by which the portal finds the quote's transfer."""

    quote_id: str
    transaction_id: str
    payer_id: int
    condition: str | None
    created_at: datetime


def named(ids: Collection[str]) -> list[Agreed]:
    """Returns the quotes with one of these ids or transaction ids."""
    rows = Quote.objects.filter(Q(pk__in=ids) | Q(transaction_id__in=ids)).order_by("-created_at", "-pk")
    columns = rows.values_list("quote_id", "transaction_id", "payer_id", "condition", "created_at")
    return [Agreed(*row) for row in columns[:_MOST]]


# One index scan finds the latest rows of only one identifier. So the query scans the index of the payer and the index
# of the payee once for each spelling.
_OF_ALIAS = """SELECT DISTINCT found.quote_id, found.transaction_id, found.payer_id, found.condition, found.created_at
    FROM unnest(%(spellings)s::text[]) AS s (alias) CROSS JOIN LATERAL (
        (SELECT {columns} FROM quotes_quote q WHERE quotes_alias(request, 'payer') = s.alias AND {condition}
         ORDER BY created_at DESC, quote_id DESC LIMIT %(size)s)
        UNION ALL
        (SELECT {columns} FROM quotes_quote q WHERE quotes_alias(request, 'payee') = s.alias AND {condition}
         ORDER BY created_at DESC, quote_id DESC LIMIT %(size)s)
    ) AS found ORDER BY found.created_at DESC, found.quote_id DESC LIMIT %(size)s
"""
_COLUMNS = "created_at, quote_id, transaction_id, payer_id, condition"


def of_alias(
    spellings: Collection[str],
    *,
    own: int | None,
    until: datetime | None,
    before: tuple[datetime, str] | None,
    size: int,
) -> list[Agreed]:
    """Returns the latest quotes that name a party by one of these identifiers. `until` is the end of the searched
    period. `before` is the last row of the previous page.

    If `own` is set, returns only quotes that the participant with the id `own` sent or received.
    """
    conditions, values = [], dict[str, Any](spellings=list(spellings), size=size)
    if own is not None:
        conditions.append("%(own)s IN (payer_id, payee_id)")
        values["own"] = own
    if until is not None:
        conditions.append("created_at < %(until)s")
        values["until"] = until
    if before is not None:
        conditions.append("created_at <= %(at)s AND (created_at < %(at)s OR quote_id < %(id)s)")
        values |= {"at": before[0], "id": before[1]}
    statement = _OF_ALIAS.format(columns=_COLUMNS, condition=" AND ".join(conditions) or "true")
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [Agreed(*row) for row in cursor.fetchall()]


def transfers_converted_by(ids: Collection[str]) -> set[str]:
    """Finds the FX quotes with one of these request ids or conversion ids. Returns the ids of their determining
    transfers."""
    found = FxQuote.objects.filter(Q(pk__in=ids) | Q(conversion_id__in=ids))
    return {number for number in found.values_list("determining_transfer_id", flat=True)[:_MOST] if number}
