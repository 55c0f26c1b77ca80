"""Searches transfers by an id, by an alias, or by other properties."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from ledger.models import Entry, FxTransfer, HeldTransfer, SettlementWindow, Transfer
from portal.queries import keyset
from portal.queries.keyset import Found, Key
from quotes import queries as quotes

_MOST = 1000
_MOST_QUOTES = 50


@dataclass(frozen=True, slots=True)
class Wish:
    """The conditions of a search for transfers. `own` is the visitor's participant.

    `dfsp` is the searched payer DFSP or payee DFSP.
    """

    own: int | None = None
    dfsp: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    state: str = ""
    error: str = ""
    other: Q = field(default_factory=Q)  # conditions without an index

    def sources(self) -> "list[QuerySet[Transfer]]":
        """Returns one query for each index to read.

        For a participant, returns two queries: one for sent transfers, and one for received transfers.
        """
        rows = all_rows()
        if self.since is not None:
            rows = rows.filter(received_at__gte=self.since)
        if self.until is not None:
            rows = rows.filter(received_at__lt=self.until)
        if self.state or self.error:
            rows = rows.filter(state=self.state or "ABORTED")
        whose = self.dfsp if self.own is None else self.own
        if whose is None:
            return [rows]
        return [rows.filter(payer_id=whose), rows.filter(payee_id=whose).exclude(payer_id=whose)]

    def condition(self) -> Q:
        """Returns the additional condition that the rows of `sources` must meet."""
        found = self.other
        if self.own is not None:
            found &= _is_told(self.own)
        if self.error:
            found &= Q(error_code=self.error)
        if self.own is not None and self.dfsp is not None:
            found &= Q(payer_id=self.dfsp) | Q(payee_id=self.dfsp)
        return found


def all_rows() -> "QuerySet[Transfer]":
    return Transfer.objects.select_related("payer").annotate(took=F("completed_at") - F("received_at"))


def _is_told(dfsp_id: int) -> Q:
    """Returns the condition under which this participant may see a transfer.

    The payee may see a held transfer only after its release.
    """
    never_sent = HeldTransfer.objects.filter(pk=OuterRef("pk")).exclude(state=HeldTransfer.State.RELEASED)
    return Q(payer_id=dfsp_id) | Q(~Exists(never_sent))


def visible(dfsp_id: int | None) -> "QuerySet[Transfer]":
    """Returns a query for all transfers. For a participant, returns only its own transfers that it may see."""
    if dfsp_id is None:
        return all_rows()
    return all_rows().filter(Q(payer_id=dfsp_id) | Q(payee_id=dfsp_id), _is_told(dfsp_id))


def latest(wish: Wish, *, before: Key | None, size: int) -> Found[Transfer]:
    """Returns a page of matching transfers after the key `before`, with the latest arrival first."""
    return keyset.latest(wish.sources(), wish.condition(), before=before, size=size)


def all_of(wish: Wish, *, most: int) -> Iterator[Sequence[Transfer]]:
    """Yields every matching transfer in batches, with the latest first."""
    return keyset.all_of(lambda before, size: latest(wish, before=before, size=size), most=most)


def in_window(window_id: int) -> tuple[Q, datetime | None, datetime | None]:
    """Returns a condition for transfers that were committed in this window.

    Also returns the earliest and the latest arrival of these transfers.
    """
    entries = Entry.objects.filter(transfer_id=OuterRef("pk"), kind="TRANSFER", window_id=window_id)
    window = SettlementWindow.objects.filter(pk=window_id).first()
    if window is None:
        return Q(pk__in=[]), None, None
    earliest = window.created_at - timedelta(seconds=settings.TRANSFER_MAX_VALIDITY_S)
    return Q(Exists(entries)), earliest, window.closed_at


def with_id(any_id: str, *, own: int | None) -> list[Transfer]:
    """Returns the transfers for the id of a transfer, a bulk, a conversion or a quote."""
    named = {any_id, *FxTransfer.objects.filter(pk=any_id).values_list("determining_transfer_id", flat=True)}
    named |= quotes.transfers_converted_by(any_id)
    found = list(visible(own).filter(Q(pk__in=named) | Q(bulk_id=any_id)).order_by("-received_at")[:_MOST])
    return found or of_agreements(quotes.named(any_id), own=own)


def of_alias(identifier: str, *, own: int | None) -> list[Transfer]:
    """Returns the latest transfers whose quotes have this alias as payer or payee."""
    bare = identifier.removeprefix("+")
    spellings = {identifier, identifier.lower(), identifier.upper(), bare, f"+{bare}"}
    return of_agreements(quotes.of_alias(spellings), own=own)


def of_agreements(agreed: Sequence[quotes.Agreed], *, own: int | None) -> list[Transfer]:
    """Returns the transfers of these quotes. Finds a transfer by the transaction's id, or by payer and condition."""
    found = {row.pk: row for row in visible(own).filter(pk__in={quote.transaction_id for quote in agreed})}
    left = [quote for quote in agreed if quote.transaction_id not in found and quote.condition]
    for quote in left[:_MOST_QUOTES]:
        wish = Wish(
            dfsp=quote.payer_id,
            since=quote.created_at,
            until=quote.created_at + timedelta(seconds=settings.TRANSFER_MAX_VALIDITY_S),
            other=Q(payer_id=quote.payer_id, condition=quote.condition),
        )
        found |= {row.pk: row for row in latest(wish, before=None, size=2).rows}
    if own is not None and left:
        told = set(visible(own).filter(pk__in=found).values_list("pk", flat=True))
        found = {pk: row for pk, row in found.items() if pk in told}
    return sorted(found.values(), key=lambda row: row.received_at, reverse=True)
