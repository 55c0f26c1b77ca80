"""Searches transfers by an id, by an alias, or by other properties."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import CharField, Exists, F, Func, OuterRef, Q, QuerySet, Subquery

from ledger.models import Entry, FxTransfer, HeldTransfer, SettlementWindow, Transfer
from portal.history import UNKNOWN
from portal.parse_typed_values import spellings_of_id, spellings_of_identifier
from portal.queries import keyset
from portal.queries.keyset import Found, Key
from quotes import queries as quotes
from quotes.bulk_quote_items import conditions_of
from quotes.models import Quote

ENDED = "ENDED"

_QUOTES_AT_ONCE = 200
_MOST_QUOTES = 1000  # the maximum number of quotes to read for one page
_MOST_ITEMS = 1000  # the maximum number of transfers of a bulk
_MOST_ABORTED = 20_000
_MOST_PARSED = 2000  # the maximum number of quotes to parse for one page
# the maximum number of quotes in one batch; for each quote, the hub searches for a transfer with the quote's ILP
# condition
_MOST_BY_CONDITION = 20
_NEXT_TRANSFERS = 5000  # for each quote in the batch, the statement reads at most this many later transfers


@dataclass(frozen=True, slots=True)
class Wish:
    """The conditions of a search for transfers. `own` is the visitor's participant.

    Each DFSP in `dfsps` is the payer DFSP or the payee DFSP of the wanted transfers. The state ENDED means that a
    transfer has ended. If `is_shown` is set, the search finds only the transfers that the payee DFSP may see, or only
    the other transfers.
    """

    own: int | None = None
    payer: int | None = None
    payee: int | None = None
    dfsps: frozenset[int] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    amount: int | None = None
    state: str = ""
    error: str = ""
    use_case: str = ""
    is_shown: bool | None = None
    other: Q = field(default_factory=Q)  # search conditions without an index

    @property
    def most(self) -> int | None:
        """Returns the maximum number of rows to read for one page, or None for the usual maximum. To find a use case,
        the search must parse the stored message of each quote. Aborted transfers are far apart in the table, so
        PostgreSQL reads a page of the disk for each of them."""
        if self.use_case:
            return _MOST_PARSED
        return _MOST_ABORTED if self.error else None

    def sources(self) -> "list[QuerySet[Transfer]]":
        """Returns one query for each index to read.

        For a participant on either side, returns two queries: one for sent transfers, and one for received transfers.
        """
        rows, index = self._narrowed(all_rows()), self._index()
        if index is None:
            return [rows]
        column, participant_id = index
        if column:
            return [rows.filter(**{column: participant_id})]
        sent, received = rows.filter(payer_id=participant_id), rows.filter(payee_id=participant_id)
        return [sent, received.exclude(payer_id=participant_id)]

    def rows(self) -> "QuerySet[Transfer]":
        """Returns one query for all matching transfers. The query is for a search that already knows the few rows to
        read."""
        sides = Q(**dict(self._sides()))
        return self._narrowed(visible(self.own)).filter(self.condition(), sides, of_dfsps(self.dfsps))

    def condition(self) -> Q:
        """Returns the additional condition that the rows of `sources` must meet."""
        found, index = self.other, self._index()
        if self.own is not None:
            found &= _is_told(self.own)
        if self.error:
            found &= Q(error_code=self.error)
        if self.state == ENDED:
            found &= ~Q(state="RESERVED")
        if self.use_case:
            found &= Q(use_case__isnull=True) if self.use_case == UNKNOWN else Q(use_case=self.use_case)
        if self.is_shown is not None:
            found &= _IS_SHOWN if self.is_shown else ~_IS_SHOWN
        for side in self._sides():
            if side != index:
                found &= Q(**dict([side]))
        return found & of_dfsps(each for each in self.dfsps if ("", each) != index)

    def _sides(self) -> list[tuple[str, int]]:
        sides = (("payer_id", self.payer), ("payee_id", self.payee))
        return [(column, participant_id) for column, participant_id in sides if participant_id is not None]

    def _index(self) -> tuple[str, int] | None:
        """Returns the column and the participant of the index by which the search reads rows. The column is empty if
        the participant can be on either side. Returns None if the search reads rows by their time or amount."""
        if self.own is None and self.amount is not None:
            return None
        for side in self._sides():
            if self.own in (None, side[1]):
                return side
        if self.own is not None:
            return "", self.own
        return ("", min(self.dfsps)) if self.dfsps else None

    def _narrowed(self, rows: "QuerySet[Transfer]") -> "QuerySet[Transfer]":
        """Adds the conditions that the indexes contain."""
        if self.since is not None:
            rows = rows.filter(received_at__gte=self.since)
        if self.until is not None:
            rows = rows.filter(received_at__lt=self.until)
        if self.amount is not None:
            rows = rows.filter(amount=self.amount)
        if self.error or self.state not in ("", ENDED):
            rows = rows.filter(state="ABORTED" if self.state in ("", ENDED) else self.state)
        return rows.alias(use_case=Subquery(_use_case())) if self.use_case else rows


def of_dfsps(dfsps: Iterable[int]) -> Q:
    """Returns the SQL condition for rows in which each of these DFSPs is the payer DFSP or the payee DFSP."""
    found = Q()
    for participant_id in dfsps:
        found &= Q(payer_id=participant_id) | Q(payee_id=participant_id)
    return found


def _use_case() -> "QuerySet[Quote, str]":
    """Returns the use case in the quote of a transfer, as the history of payments reads it (`portal.history`)."""
    terms = Quote.objects.filter(payer_id=OuterRef("payer_id"), condition=OuterRef("condition"))
    use_case = Func("request", function="portal_use_case", output_field=CharField())
    return terms.filter(packet_sha256__isnull=False).order_by().values_list(use_case)[:1]


def all_rows() -> "QuerySet[Transfer]":
    return Transfer.objects.select_related("payer").annotate(took=F("completed_at") - F("received_at"))


_NEVER_SENT = Exists(HeldTransfer.objects.filter(pk=OuterRef("pk")).exclude(state=HeldTransfer.State.RELEASED))
# The payee DFSP may see a held transfer only after its release.
_IS_SHOWN = Q(payee_id__isnull=False) & ~Q(_NEVER_SENT)


def _is_told(dfsp_id: int) -> Q:
    """Returns the SQL condition for the transfers that this participant is allowed to see."""
    return Q(payer_id=dfsp_id) | Q(~_NEVER_SENT)


def visible(dfsp_id: int | None) -> "QuerySet[Transfer]":
    """Returns a query for all transfers. For a participant, returns only the transfers that this participant may
    see."""
    if dfsp_id is None:
        return all_rows()
    return all_rows().filter(Q(payer_id=dfsp_id) | Q(payee_id=dfsp_id), _is_told(dfsp_id))


def latest(wish: Wish, *, before: Key | None, size: int) -> Found[Transfer]:
    """Returns a page of matching transfers after the key `before`, with the latest arrival first."""
    sources = [keyset.Source(rows, wish.condition(), wish.most) for rows in wish.sources()]
    return keyset.merged(sources, before=before, size=size)


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


def with_id(
    any_id: str, wish: Wish, spellings: Collection[str] = (), *, before: Key | None, size: int
) -> Found[Transfer]:
    """Returns the matching transfers for the id of a transfer, a bulk, a conversion, a quote or a bulk quote. The
    search does not distinguish capital and small letters.

    If there are spellings of an identifier, returns only the transfers of the party with this identifier.
    """
    ids = spellings_of_id(any_id)
    named = ids | set(FxTransfer.objects.filter(pk__in=ids).values_list("determining_transfer_id", flat=True))
    named |= quotes.transfers_converted_by(ids)
    rows = wish.rows().filter(Q(pk__in=named) | Q(bulk_id__in=ids | _bulks_agreed_by(ids)))
    if spellings:
        rows = rows.filter(pk__in=_of_party(rows[:_MOST_ITEMS], spellings))
    found = keyset.latest([rows], Q(), before=before, size=size)
    if found.rows or before is not None:
        return found
    others = _of_agreements(quotes.named(ids), wish)
    theirs = _of_party(others, spellings) if spellings else ()
    return Found([row for row in others if not spellings or row.pk in theirs])


def _bulks_agreed_by(ids: Collection[str]) -> set[str]:
    """Returns the ids of the bulks whose terms are in the bulk quotes with these ids."""
    agreed = quotes.in_bulk_quotes(ids)
    if not agreed:
        return set()
    paid = [transfer_id for found in transfers_of(agreed).values() for transfer_id in found]
    bulks = Transfer.objects.filter(pk__in=paid, bulk_id__isnull=False).values_list("bulk_id", flat=True)
    return {str(bulk_id) for bulk_id in bulks}


def _of_party(rows: Iterable[Transfer], spellings: Collection[str]) -> set[str]:
    """Returns the ids of the transfers whose quotes have one of these identifiers as payer or payee."""
    return quotes.of_party([(row.pk, row.payer_id, row.condition) for row in rows], spellings)


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
    left = [quote for quote in agreed if quote.quote_id not in found and (quote.condition or quote.item_id is not None)]
    left = left[:_MOST_BY_CONDITION]
    of_items = conditions_of([quote.item_id for quote in left if quote.item_id is not None])
    if left:
        columns: list[list[Any]] = [
            [quote.quote_id for quote in left],
            [quote.payer_id for quote in left],
            [quote.condition or of_items.get(quote.item_id or 0) for quote in left],
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
