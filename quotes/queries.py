"""Queries of agreements, for the portal's search for payments."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from quotes.models import FxQuote, Quote, alias_of

_MOST = 200


@dataclass(frozen=True, slots=True)
class Agreed:
    """The values of a quote that lead to its transfer."""

    transaction_id: str
    payer_id: int
    condition: str | None
    created_at: datetime


def named(any_id: str) -> list[Agreed]:
    """Returns the quotes with this id or with this transaction id."""
    return _agreed(Quote.objects.filter(Q(pk=any_id) | Q(transaction_id=any_id)))


def of_alias(spellings: Collection[str]) -> list[Agreed]:
    """Returns the latest quotes that name a party by one of these identifiers."""
    found = Quote.objects.alias(payer_alias=alias_of("payer"), payee_alias=alias_of("payee"))
    return _agreed(found.filter(Q(payer_alias__in=spellings) | Q(payee_alias__in=spellings)))


def _agreed(rows: "QuerySet[Quote]") -> list[Agreed]:
    columns = rows.order_by("-created_at").values_list("transaction_id", "payer_id", "condition", "created_at")
    return [Agreed(*row) for row in columns[:_MOST]]


def transfers_converted_by(any_id: str) -> set[str]:
    """Returns the determining transfers of FX quotes. The id is that of a request or of a conversion."""
    found = FxQuote.objects.filter(Q(pk=any_id) | Q(conversion_id=any_id))
    return {number for number in found.values_list("determining_transfer_id", flat=True)[:_MOST] if number}
