"""Reads of what was agreed, for who looks for a payment by what people know of it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from quotes.models import FxQuote, Quote, alias_of

_MOST = 200


@dataclass(frozen=True, slots=True)
class Agreed:
    """What of a quote leads to the transfer that carries it out."""

    transaction_id: str
    payer_id: int
    condition: str | None
    created_at: datetime


def named(any_id: str) -> list[Agreed]:
    """Quotes of this id, or of a transaction of this id."""
    return _agreed(Quote.objects.filter(Q(pk=any_id) | Q(transaction_id=any_id)))


def of_alias(spellings: Collection[str]) -> list[Agreed]:
    """The latest quotes that name a party by one of these identifiers."""
    found = Quote.objects.alias(payer_alias=alias_of("payer"), payee_alias=alias_of("payee"))
    return _agreed(found.filter(Q(payer_alias__in=spellings) | Q(payee_alias__in=spellings)))


def _agreed(rows: "QuerySet[Quote]") -> list[Agreed]:
    columns = rows.order_by("-created_at").values_list("transaction_id", "payer_id", "condition", "created_at")
    return [Agreed(*row) for row in columns[:_MOST]]


def transfers_converted_by(any_id: str) -> set[str]:
    """The transfers for which terms of a conversion were asked, by the id of the request or of the conversion."""
    found = FxQuote.objects.filter(Q(pk=any_id) | Q(conversion_id=any_id))
    return {number for number in found.values_list("determining_transfer_id", flat=True)[:_MOST] if number}
