"""Searches transfers by an id, by an alias, or by other properties."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from ledger.models import Entry, FxTransfer, HeldTransfer, SettlementWindow, Transfer
from portal.parse_typed_values import spellings_of_id, spellings_of_identifier
from portal.queries import keyset
from portal.queries.keyset import Found, Key
from quotes import queries as quotes

_QUOTES_AT_ONCE = 200
_MOST_QUOTES = 1000  # the maximum number of quotes to read for one page
# the maximum number of quotes in one batch; for each quote, the hub searches for a transfer with the quote's ILP
# condition
_MOST_BY_CONDITION = 20
_NEXT_TRANSFERS = 5000  # for each quote in the batch, the statement reads at most this many later transfers


@dataclass(frozen=True, slots=True)
class Wish:
    """The conditions of a search for transfers. `own` is the visitor's participant.

    `dfsp` is the payer DFSP or payee DFSP of the wanted transfers.
    """

    own: int | None = None
    dfsp: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    state: str = ""
    error: str = ""
    other: Q = field(default_factory=Q)  # search conditions without an index

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

    def rows(self) -> "QuerySet[Transfer]":
        """Returns one query for all matching transfers. The query is for a search that already knows the few rows to
        read."""
        rows = visible(self.own).filter(self.condition())
        if self.since is not None:
            rows = rows.filter(received_at__gte=self.since)
        if self.until is not None:
            rows = rows.filter(received_at__lt=self.until)
        if self.state or self.error:
            rows = rows.filter(state=self.state or "ABORTED")
        if self.dfsp is not None:
            rows = rows.filter(Q(payer_id=self.dfsp) | Q(payee_id=self.dfsp))
        return rows

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
    """Returns the SQL condition for the transfers that this participant is allowed to see.

    The payee may see a held transfer only after its release.
    """
    never_sent = HeldTransfer.objects.filter(pk=OuterRef("pk")).exclude(state=HeldTransfer.State.RELEASED)
    return Q(payer_id=dfsp_id) | Q(~Exists(never_sent))


def visible(dfsp_id: int | None) -> "QuerySet[Transfer]":
    """Returns a query for all transfers. For a participant, returns only the transfers that this participant may
    see."""
    if dfsp_id is None:
        return all_rows()
    return all_rows().filter(Q(payer_id=dfsp_id) | Q(payee_id=dfsp_id), _is_told(dfsp_id))


def latest(wish: Wish, *, before: Key | None, size: int) -> Found[Transfer]:
    """Returns a page of matching transfers after the key `before`, with the latest arrival first."""
    return keyset.latest(wish.sources(), wish.condition(), before=before, size=size)


def in_window(window_id: int) -> tuple[Q, datetime | None, datetime | None]:
    """Returns the search condition that selects the transfers committed in this settlement window.

    Also returns two times: no transfer of the window arrived before the first time or after the second time.
    """
    entries = Entry.objects.filter(transfer_id=OuterRef("pk"), kind="TRANSFER", window_id=window_id)
    window = SettlementWindow.objects.filter(pk=window_id).first()
    if window is None:
        return Q(pk__in=[]), None, None
    earliest = window.created_at - timedelta(seconds=settings.TRANSFER_MAX_VALIDITY_S)
    return Q(Exists(entries)), earliest, window.closed_at


def with_id(any_id: str, wish: Wish, *, before: Key | None, size: int) -> Found[Transfer]:
    """Returns the matching transfers for the id of a transfer, a bulk, a conversion or a quote. The search does not
    distinguish capital and small letters."""
    ids = spellings_of_id(any_id)
    named = ids | set(FxTransfer.objects.filter(pk__in=ids).values_list("determining_transfer_id", flat=True))
    named |= quotes.transfers_converted_by(ids)
    rows = wish.rows().filter(Q(pk__in=named) | Q(bulk_id__in=ids))
    found = keyset.latest([rows], Q(), before=before, size=size)
    if found.rows or before is not None:
        return found
    return Found(_of_agreements(quotes.named(ids), wish))


def of_identifier(identifier: str, wish: Wish, *, before: Key | None, size: int) -> Found[Transfer]:
    """Returns the matching transfers whose quotes have this identifier as payer or payee. The latest quote comes first.

    The search reads the identifier's quotes, and stops after `_MOST_QUOTES` quotes.
    """
    spellings, found, left = spellings_of_identifier(identifier), dict[str, Transfer](), _MOST_QUOTES
    while True:
        agreed = quotes.of_alias(spellings, own=wish.own, until=wish.until, before=before, size=_QUOTES_AT_ONCE)
        found |= {row.pk: row for row in _of_agreements(agreed, wish) if row.pk not in found}
        rows = list(found.values())
        if len(rows) >= size:
            return Found(rows[:size])
        if len(agreed) < _QUOTES_AT_ONCE or _is_before(agreed[-1].created_at, wish.since):
            return Found(rows)
        before, left = (agreed[-1].created_at, agreed[-1].quote_id), left - len(agreed)
        if left <= 0:
            return Found(rows, *before)


def _is_before(quoted_at: datetime, since: datetime | None) -> bool:
    """Returns whether the quote is too old for a search from `since` on. If a quote is too old, the transfers of this
    quote and of all earlier quotes arrived before `since`, or never arrived."""
    return since is not None and quoted_at < since - timedelta(seconds=settings.TRANSFER_MAX_VALIDITY_S)


# Some payer DFSPs use different ids for a transfer and for its transaction. The ILP condition of such a transfer is the
# ILP condition of its quote. No index contains ILP conditions. So the statement uses the index of a payer's transfers,
# and reads the payer's next transfers.
_BY_CONDITION = """SELECT q.quote_id, t.transfer_id
    FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::timestamptz[]) AS q (quote_id, payer_id, condition, at)
    CROSS JOIN LATERAL (
        SELECT transfer_id FROM (
            SELECT transfer_id, condition FROM ledger_transfer
            WHERE payer_id = q.payer_id AND received_at >= q.at AND received_at < q.at + interval '1 day'
            ORDER BY received_at LIMIT %s) next
        WHERE next.condition = q.condition LIMIT 2) t
"""


def transfers_of(agreed: Sequence[quotes.Agreed]) -> dict[str, list[str]]:
    """Returns the ids of the transfers of these quotes. The keys are the quotes' ids.

    Finds a transfer by the `transactionId` of the quote. Also finds a transfer that has the quote's payer and
    condition, and that arrived soon after the quote.
    """
    stored = set(
        Transfer.objects.filter(pk__in={quote.transaction_id for quote in agreed}).values_list("pk", flat=True)
    )
    found = {quote.quote_id: [quote.transaction_id] for quote in agreed if quote.transaction_id in stored}
    left = [quote for quote in agreed if quote.quote_id not in found and quote.condition][:_MOST_BY_CONDITION]
    if left:
        columns: list[list[Any]] = [
            [quote.quote_id for quote in left],
            [quote.payer_id for quote in left],
            [quote.condition for quote in left],
            [quote.created_at for quote in left],
        ]
        with connection.cursor() as cursor:
            cursor.execute(_BY_CONDITION, [*columns, _NEXT_TRANSFERS])
            for quote_id, transfer_id in cursor.fetchall():
                found.setdefault(quote_id, []).append(transfer_id)
    return found


def _of_agreements(agreed: Sequence[quotes.Agreed], wish: Wish) -> list[Transfer]:
    """Returns the matching transfers of these quotes, in the order of the quotes."""
    ids = transfers_of(agreed)
    rows = wish.rows().in_bulk({transfer_id for found in ids.values() for transfer_id in found})
    found: dict[str, Transfer] = {}
    for quote in agreed:
        for transfer_id in ids.get(quote.quote_id, ()):
            if transfer_id in rows and transfer_id not in found:
                found[transfer_id] = rows[transfer_id]
                rows[transfer_id].found_by = (quote.created_at, quote.quote_id)  # type: ignore[attr-defined]
    return list(found.values())
