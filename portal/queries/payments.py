"""Finds payments and attempts at payments by the values that people know: a number, an amount, a time, a DFSP, an id.

An attempt is a lookup, a quote or a request to pay that has no transfer. A search by a number reads the quotes with
this number. A search without a number reads several tables, each by an index, and merges the rows by time.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from fspiop.paths import path_of
from hub.outbox.models import Delivery
from hub.outbox.store import kept_subject
from hub.participants.models import Participant
from ledger.models import Account, Transfer
from portal.parse_typed_values import spellings_of_id, spellings_of_identifier
from portal.queries import keyset, transfers
from portal.queries.keyset import Found, Key, Source
from portal.queries.transfers import Wish
from quotes import queries as quote_queries
from quotes.models import Quote, TransactionRequest, alias_of_request, requested_amount, requested_currency

QUOTES_AT_ONCE = 200
_MOST_QUOTES = 1000  # the maximum number of quotes to read for one page
_MOST_REQUESTS = 200
_MOST_ITEMS = 1000  # the maximum number of transfers of a bulk
_MOST_LOOKUPS = 500
_MOST_PARSED = 2000  # the maximum number of messages whose currency is read for one page
_MOST_OPEN = 5000  # the maximum number of quotes that are compared with transfers for one page
# the longest period of a search for quotes without a transfer, if the search has no amount
_LONGEST_OPEN = timedelta(days=1)
_FAILED = ("REJECTED", "EXPIRED")
_SOON = timedelta(hours=1)


class Kind(StrEnum):
    TRANSFER = "transfer"
    QUOTE = "quote"
    REQUEST = "request"
    LOOKUP = "lookup"


@dataclass(frozen=True, slots=True)
class Sought:
    """The conditions of a search. `own` is the visitor's participant. `dfsp` is the payer's or the payee's DFSP."""

    own: int | None = None
    identifier: str = ""
    amount: int | None = None
    currency: str = ""
    payer: int | None = None
    payee: int | None = None
    dfsp: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    kinds: frozenset[Kind] = frozenset(Kind)

    @property
    def reads_open_quotes(self) -> bool:
        """Returns whether the search also reads accepted quotes without a transfer.

        If the search has no number and no amount, no index finds accepted quotes. In this case, the search reads
        accepted quotes only if the period of the search is short.
        """
        if self.identifier or self.amount is not None:
            return True
        return self.since is not None and self.until is not None and self.until - self.since <= _LONGEST_OPEN


@dataclass(slots=True)
class Lookup:
    """A lookup of a number: the message that the hub sent to a DFSP, and the DFSP's answer.

    `asked` is empty if the hub refused or could not deliver the lookup.
    """

    at: datetime
    requester: str
    asked: str
    answered_at: datetime | None
    state: str
    pk: str
    found_by: Key = field(init=False)

    @property
    def seconds(self) -> float | None:
        return (self.answered_at - self.at).total_seconds() if self.answered_at is not None else None

    def __post_init__(self) -> None:
        self.found_by = (self.at, self.pk)


def kind_of(row: object) -> Kind:
    kinds: dict[type, Kind] = {Transfer: Kind.TRANSFER, Quote: Kind.QUOTE, TransactionRequest: Kind.REQUEST}
    return kinds.get(type(row), Kind.LOOKUP)


def latest(sought: Sought, *, before: Key | None, size: int) -> "Found[Any]":
    """Returns a page of payments and attempts after the key `before`, with the latest first."""
    if sought.identifier:
        return _of_identifier(sought, before=before, size=size)
    return keyset.merged(list(_sources(sought)), before=before, size=size)


def with_id(any_id: str, *, own: int | None) -> list[Any]:
    """Returns the transfers, the quotes without a transfer and the requests to pay with this id. The search does not
    distinguish capital and small letters."""
    ids = spellings_of_id(any_id)
    found: list[Any] = list(transfers.with_id(any_id, Wish(own=own), before=None, size=_MOST_ITEMS).rows)
    if not found:
        found += list(_own(_quotes(), own).filter(Q(pk__in=ids) | Q(transaction_id__in=ids))[:20])
    return [*found, *_own(_requests(), own).filter(pk__in=ids)]


# --- by amount, time and DFSP -----------------------------------------------------------------------------------------


def _sources(sought: Sought) -> "Iterator[Source[Any]]":
    """Yields the tables to read. For each table, separates the conditions with an index from the conditions without an
    index."""
    if Kind.TRANSFER in sought.kinds:
        wish = _wish(sought)
        for rows in wish.sources():
            yield Source(rows if sought.amount is None else rows.filter(amount=sought.amount), wish.condition())
    # To find the currency, the search must parse each stored message, so a search by currency reads fewer rows.
    most = _MOST_PARSED if sought.currency else None
    if Kind.QUOTE in sought.kinds:
        failed = _within(_quotes().filter(state__in=_FAILED), sought)
        found = _by_side(failed, sought) if sought.amount is None else [failed.filter(asked=sought.amount)]
        for rows in found:
            yield Source(rows, _sides(sought), most)
        if sought.reads_open_quotes:
            has_transfer = Q(Exists(Transfer.objects.filter(pk=OuterRef("transaction_id"))))
            condition = _sides(sought, currency="transfer_currency") & ~has_transfer
            yield Source(_open_quotes(sought), condition, _MOST_OPEN)
    if Kind.REQUEST in sought.kinds:
        requests = _within(_requests(), sought)
        found = _by_side(requests, sought) if sought.amount is None else [requests.filter(asked=sought.amount)]
        for rows in found:
            yield Source(rows, _sides(sought), most)


def _wish(sought: Sought) -> Wish:
    sides = {"payer_id": sought.payer, "payee_id": sought.payee, "currency": sought.currency}
    return Wish(
        own=sought.own,
        # An amount has an index of its own, so the DFSP is only an additional search condition.
        dfsp=None if sought.amount is not None else sought.dfsp or sought.payer or sought.payee,
        since=sought.since,
        until=sought.until,
        other=Q(**{name: value for name, value in sides.items() if value}) & _either(sought),
    )


def _either(sought: Sought) -> Q:
    return Q(payer_id=sought.dfsp) | Q(payee_id=sought.dfsp) if sought.dfsp is not None else Q()


def _sides(sought: Sought, *, currency: str = "asked_currency") -> Q:
    """Returns the search conditions about the currency, and about the DFSPs of a quote or a request to pay."""
    sides = {"payer_id": sought.payer, "payee_id": sought.payee, currency: sought.currency}
    found = Q(**{name: value for name, value in sides.items() if value}) & _either(sought)
    return found if sought.own is None else found & (Q(payer_id=sought.own) | Q(payee_id=sought.own))


def _by_side(rows: "QuerySet[Any]", sought: Sought) -> "list[QuerySet[Any]]":
    whose = sought.own or sought.dfsp or sought.payer or sought.payee
    if whose is None:
        return [rows]
    return [rows.filter(payer_id=whose), rows.filter(payee_id=whose)]


def _within(rows: "QuerySet[Any]", sought: Sought) -> "QuerySet[Any]":
    if sought.since is not None:
        rows = rows.filter(created_at__gte=sought.since)
    return rows if sought.until is None else rows.filter(created_at__lt=sought.until)


def _open_quotes(sought: Sought) -> "QuerySet[Any]":
    rows = _within(_quotes().filter(state__in=("PENDING", "ACCEPTED")), sought)
    return rows if sought.amount is None else rows.filter(transfer_amount=sought.amount)


def _quotes() -> "QuerySet[Any]":
    return _asked(Quote.objects.defer("request_headers", "response", "response_headers", "rule_facts"))


def _requests() -> "QuerySet[Any]":
    return _asked(TransactionRequest.objects.defer("request_headers", "response", "response_headers"))


def _asked(rows: "QuerySet[Any]") -> "QuerySet[Any]":
    """Adds the requested amount and its currency to each row. The function also adds the time, under the same name as
    the time of a transfer."""
    return rows.select_related("payer", "payee").annotate(
        received_at=F("created_at"), asked=requested_amount(), asked_currency=requested_currency()
    )


def _own(rows: "QuerySet[Any]", own: int | None) -> "QuerySet[Any]":
    return rows if own is None else rows.filter(Q(payer_id=own) | Q(payee_id=own))


# --- by number --------------------------------------------------------------------------------------------------------


def _of_identifier(sought: Sought, *, before: Key | None, size: int) -> "Found[Any]":
    """Returns the payments and attempts of a party.

    The quotes and their transfers determine the last row of the page. The page also has the requests to pay and the
    lookups of the same time.
    """
    spellings = spellings_of_identifier(sought.identifier)
    first, found, left = before, list[Any](), _MOST_QUOTES
    stop: Key | None = None
    seen: list[quote_queries.Agreed] = []
    while True:
        agreed = quote_queries.of_alias(
            spellings, own=sought.own, until=sought.until, before=before, size=QUOTES_AT_ONCE
        )
        seen += agreed
        shown = {row.pk for row in found}
        found += [row for row in _matching(agreed, sought) if row.pk not in shown]
        if len(agreed) < QUOTES_AT_ONCE or (sought.since is not None and agreed[-1].created_at < sought.since):
            break
        before, left = (agreed[-1].created_at, agreed[-1].quote_id), left - len(agreed)
        if len(found) >= size or left <= 0:
            stop = before
            break
    lookups, reached = _lookups_of(spellings, sought, seen, before=first)
    stop = max(filter(None, [stop, reached]), default=None)
    rows: list[Any] = [*found, *_requests_of(spellings, sought, before=first), *lookups]
    rows = [row for row in rows if _is_between(keyset.key_of(row), first, stop)]
    rows.sort(key=keyset.key_of, reverse=True)
    if stop is None or len(rows) >= size:
        return Found(rows[:size])
    return Found(rows, *stop)


def _is_between(key: Key, upper: Key | None, lower: Key | None) -> bool:
    return (upper is None or key < upper) and (lower is None or key >= lower)


def _matching(agreed: Sequence[quote_queries.Agreed], sought: Sought) -> list[Any]:
    """Returns the matching transfers of these quotes, and the matching quotes without a transfer."""
    ids = transfers.transfers_of(agreed)
    found: list[Any] = []
    if Kind.TRANSFER in sought.kinds:
        wish = _wish(sought)
        rows = wish.rows() if sought.amount is None else wish.rows().filter(amount=sought.amount)
        by_id = rows.in_bulk({transfer_id for each in ids.values() for transfer_id in each})
        quoted = {transfer_id: quote for quote in agreed for transfer_id in ids.get(quote.quote_id, ())}
        for transfer_id, row in by_id.items():
            row.found_by = (quoted[transfer_id].created_at, quoted[transfer_id].quote_id)  # type: ignore[attr-defined]
            found.append(row)
    if Kind.QUOTE in sought.kinds:
        left = [quote.quote_id for quote in agreed if quote.quote_id not in ids]
        rest = _within(_quotes().filter(_sides(sought), pk__in=left), sought)
        if sought.amount is not None:
            rest = rest.filter(Q(asked=sought.amount) | Q(transfer_amount=sought.amount))
        found += rest
    return found


def _requests_of(spellings: Collection[str], sought: Sought, *, before: Key | None) -> list[Any]:
    """Returns a party's latest requests to pay. Returns more requests to pay than one page shows."""
    if Kind.REQUEST not in sought.kinds:
        return []
    rows = _within(_requests().filter(_sides(sought)), sought)
    if before is not None:
        rows = rows.filter(created_at__lte=before[0])
    if sought.amount is not None:
        rows = rows.filter(asked=sought.amount)
    aliased = rows.alias(payer_alias=alias_of_request("payer"), payee_alias=alias_of_request("payee"))
    # The query makes one index scan for each spelling and side, because an index yields the latest rows of only one
    # identifier.
    first, *others = [
        aliased.filter(**{side: spelling}).order_by("-created_at").values_list("pk", flat=True)[:_MOST_REQUESTS]
        for side in ("payer_alias", "payee_alias")
        for spelling in sorted(spellings)
    ]
    return list(_requests().filter(pk__in=list(first.union(*others, all=True))))


def _lookups_of(
    spellings: Collection[str], sought: Sought, agreed: Sequence[quote_queries.Agreed], *, before: Key | None
) -> tuple[list[Lookup], Key | None]:
    """Returns the lookups of a number, but leaves out a lookup if the same DFSP sent a quote after the lookup.

    If some earlier lookups were not read, also returns the key at which the reading stopped.
    """
    if Kind.LOOKUP not in sought.kinds or sought.amount is not None or sought.payee is not None:
        return [], None
    names = dict(Participant.objects.filter(is_hub=False).values_list("pk", "name"))
    whose = {number for number in (sought.own, sought.payer, sought.dfsp) if number is not None}
    asking = [name for number, name in names.items() if whose <= {number}]
    if before is not None:  # quotes on the previous page can belong to lookups on this page
        soon = before[0] + _SOON
        agreed = [
            *agreed,
            *quote_queries.of_alias(spellings, own=sought.own, until=soon, before=None, size=QUOTES_AT_ONCE),
        ]
    quoted = [(names.get(quote.payer_id), quote.created_at) for quote in agreed]
    found, reached = _lookups(spellings, asking, sought, before=before)
    return [
        lookup
        for lookup in found
        if not any(who == lookup.requester and lookup.at <= at <= lookup.at + _SOON for who, at in quoted)
    ], reached


def _lookups(
    spellings: Collection[str], asking: Collection[str], sought: Sought, *, before: Key | None
) -> tuple[list[Lookup], Key | None]:
    """Returns the lookups that these DFSPs sent about a number.

    For each lookup, the hub stores only one digest, computed from the number and the DFSP's name together. The search
    computes the digest of the number for each DFSP.
    """
    paths = [
        path_of("parties", id_type, identifier)
        for identifier in sorted(spellings)
        for id_type in _types_of(sought.identifier)
    ]
    digests = {_digest(f"{path} for {name}"): name for path in paths for name in asking}
    # The hub's own refusal contains either the currency of the lookup or no currency.
    refusals = {_digest(f"{path} in {code}") for path in paths for code in ("", *currencies())}
    rows = Delivery.objects.filter(subject__in=[*digests, *refusals])
    if sought.since is not None:
        rows = rows.filter(created_at__gte=sought.since)
    if sought.until is not None:
        rows = rows.filter(created_at__lt=sought.until)
    if before is not None:
        rows = rows.filter(created_at__lte=before[0] + _SOON)
    messages = list(rows.select_related("destination").order_by("-message_id")[:_MOST_LOOKUPS])
    waiting: dict[str, Lookup] = {}
    found = []
    for message in reversed(messages):
        name, at = message.destination.name, message.created_at
        if message.method == "GET":
            lookup = Lookup(at, digests.get(message.subject, ""), name, None, "SENT", str(message.pk))
            waiting[message.subject] = lookup
            found.append(lookup)
        elif message.subject in waiting:
            answered = waiting.pop(message.subject)
            answered.answered_at = at
            answered.state = "REJECTED" if message.path.endswith("/error") else "ANSWERED"
        elif name in asking and message.path.endswith("/error"):
            found.append(Lookup(at, name, "", at, "REJECTED", str(message.pk)))
    is_cut = len(messages) == _MOST_LOOKUPS
    return found, (messages[-1].created_at, str(messages[-1].pk)) if is_cut else None


def _types_of(identifier: str) -> tuple[str, ...]:
    if "@" in identifier:
        return ("EMAIL", "ALIAS")
    return ("MSISDN", "ACCOUNT_ID", "BUSINESS") if identifier.isdecimal() else ("ALIAS", "IBAN", "ACCOUNT_ID")


def _digest(subject: str) -> str:
    return kept_subject(hashlib.sha256(subject.encode()).hexdigest())


def currencies() -> list[str]:
    """Returns the currencies of the scheme's accounts."""
    return sorted(Account.objects.order_by().values_list("currency", flat=True).distinct())
