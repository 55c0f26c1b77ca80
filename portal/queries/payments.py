"""Finds payments and attempts at payments by the values that people know: a number, an amount, a time, a DFSP, an id.

An attempt is a lookup, a quote or a request to pay that has no transfer. A search by a number reads the quotes with
this number. A search without a number reads several tables, each by an index, and merges the rows by time.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db.models import Exists, F, Func, OuterRef, Q, QuerySet

from directory.aliases import TYPES
from directory.queries import sub_ids_of
from fspiop.bodies.common import PERSONAL_IDENTIFIER_TYPES
from fspiop.paths import path_of
from hub.outbox.queries import delivered_about
from hub.outbox.store import kept_subject
from hub.participants.models import Participant
from ledger.models import Account, Transfer
from portal.parse_typed_values import forms_of_identifier, spellings_of_id, spellings_of_identifier
from portal.queries import keyset, transfers
from portal.queries.keyset import Found, Key, Source
from portal.queries.transfers import Wish
from quotes import bulk_quote_items
from quotes import queries as quote_queries
from quotes.models import (
    REFUSED_BY_RULES,
    Quote,
    TransactionRequest,
    alias_of,
    alias_of_request,
    requested_amount,
    requested_currency,
)
from rules.rulesets import queries as rules_queries

QUOTES_AT_ONCE = 200
_MOST_QUOTES = 1000  # the maximum number of quotes to read for one page
_MOST_REQUESTS = 200
_MOST_ITEMS = 1000  # the maximum number of transfers of a bulk
_MOST_LOOKUPS = 500
_MOST_SUB_IDS = 10
_MOST_PARSED = 2000  # the maximum number of messages whose currency is read for one page
_MOST_OPEN = 5000  # the maximum number of quotes that are compared with transfers for one page
# the longest period of a search for quotes without a transfer, if the search has no amount
_LONGEST_OPEN = timedelta(days=1)
_FAILED = ("REJECTED", "EXPIRED")
_SOON = timedelta(hours=1)
_AT_ONCE = timedelta(seconds=5)  # the longest time between the decision about a lookup and the message of the refusal


class Kind(StrEnum):
    TRANSFER = "transfer"
    QUOTE = "quote"
    REQUEST = "request"
    LOOKUP = "lookup"


@dataclass(frozen=True, slots=True)
class Sought:
    """The conditions of a search. `own` is the visitor's participant. Each DFSP in `dfsps` is the payer DFSP or the
    payee DFSP. `identifier` is a party's identifier as a person wrote it."""

    own: int | None = None
    identifier: str = ""
    amount: int | None = None
    currency: str = ""
    payer: int | None = None
    payee: int | None = None
    dfsps: frozenset[int] = frozenset()
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

    `asked` is empty if the hub refused or could not deliver the lookup. `error_code` is the error of a refusal by the
    scheme's rules or by a kill switch.
    """

    at: datetime
    requester: str
    asked: str
    answered_at: datetime | None
    state: str
    pk: str
    error_code: str = ""
    rules: Sequence[str] = ()  # the rules that refused the lookup; empty if a kill switch refused the lookup
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


def with_ids(ids: Collection[str], sought: Sought, *, before: Key | None, size: int) -> "Found[Any]":
    """Returns a page of the payments and attempts that have one of these ids and meet the other conditions."""
    found = {(type(row), row.pk): row for any_id in ids for row in _with_id(any_id, sought)}
    rows = sorted(found.values(), key=keyset.key_of, reverse=True)
    return Found([row for row in rows if before is None or keyset.key_of(row) < before][:size])


def _with_id(any_id: str, sought: Sought) -> list[Any]:
    """Returns the transfers, the quotes without a transfer and the requests to pay that have this id and meet the other
    conditions. The search does not distinguish capital and small letters."""
    ids, found = spellings_of_id(any_id), list[Any]()
    spellings = spellings_of_identifier(sought.identifier)
    if Kind.TRANSFER in sought.kinds:
        found += transfers.with_id(any_id, _wish(sought), spellings, before=None, size=_MOST_ITEMS).rows
    if Kind.QUOTE in sought.kinds:
        named = quote_queries.named(ids)
        paid = transfers.transfers_of(named)
        seen = transfers.visible(sought.own).filter(pk__in={each for every in paid.values() for each in every})
        shown = set(seen.values_list("pk", flat=True))
        left = [quote for quote in named if not shown.intersection(paid.get(quote.quote_id, ()))]
        found += _of_party(_quotes_in(left, sought), spellings, alias_of)
        found += _shown_items(_of_party(_items_in(left, sought), spellings, _alias_of_item))
    if Kind.REQUEST in sought.kinds:
        found += _of_party(_requests_of_any(sought).filter(pk__in=ids), spellings, alias_of_request)
    return found


def _of_party(rows: "QuerySet[Any]", spellings: Collection[str], alias: Callable[[str], Func | F]) -> "QuerySet[Any]":
    """Returns the rows of this party. The query is for a search that already knows the few rows to read."""
    if not spellings:
        return rows
    aliased = rows.alias(of_payer=alias("payer"), of_payee=alias("payee"))
    return aliased.filter(Q(of_payer__in=spellings) | Q(of_payee__in=spellings))


# --- by amount, time and DFSP -----------------------------------------------------------------------------------------


def _sources(sought: Sought) -> "Iterator[Source[Any]]":
    """Yields the tables to read. For each table, separates the conditions with an index from the conditions without an
    index."""
    if Kind.TRANSFER in sought.kinds:
        wish = _wish(sought)
        for rows in wish.sources():
            yield Source(rows, wish.condition())
    # To find the currency, the search must parse each stored message, so a search by currency reads fewer rows.
    most = _MOST_PARSED if sought.currency else None
    if Kind.QUOTE in sought.kinds:
        failed = _within(_quotes().filter(state__in=_FAILED), sought)
        found = _by_side(failed, sought) if sought.amount is None else [failed.filter(asked=sought.amount)]
        for rows in found:
            yield Source(rows, _quote_sides(sought), most)
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
    return Wish(
        own=sought.own,
        payer=sought.payer,
        payee=sought.payee,
        dfsps=sought.dfsps,
        since=sought.since,
        until=sought.until,
        amount=sought.amount,
        other=Q(currency=sought.currency) if sought.currency else Q(),
    )


def _sides(sought: Sought, *, currency: str = "asked_currency") -> Q:
    """Returns the search conditions about the currency, and about the DFSPs of a quote or a request to pay."""
    sides = {"payer_id": sought.payer, "payee_id": sought.payee, currency: sought.currency}
    found = Q(**{name: value for name, value in sides.items() if value}) & transfers.of_dfsps(sought.dfsps)
    return found if sought.own is None else found & (Q(payer_id=sought.own) | Q(payee_id=sought.own))


def _quote_sides(sought: Sought) -> Q:
    """Returns the conditions of `_sides` for quotes. The payee DFSP's people do not see a quote that the scheme's rules
    refused, because the payee DFSP did not receive it."""
    found = _sides(sought)
    return found if sought.own is None else found & (Q(payer_id=sought.own) | ~REFUSED_BY_RULES)


def _by_side(rows: "QuerySet[Any]", sought: Sought) -> "list[QuerySet[Any]]":
    whose = sought.own or min(sought.dfsps, default=None) or sought.payer or sought.payee
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
        by_id = _wish(sought).rows().in_bulk({transfer_id for each in ids.values() for transfer_id in each})
        quoted = {transfer_id: quote for quote in agreed for transfer_id in ids.get(quote.quote_id, ())}
        for transfer_id, row in by_id.items():
            row.found_by = (quoted[transfer_id].created_at, quoted[transfer_id].quote_id)  # type: ignore[attr-defined]
            found.append(row)
    if Kind.QUOTE in sought.kinds:
        left = [quote for quote in agreed if quote.quote_id not in ids]
        found += _quotes_in(left, sought)
        found += _shown_items(_items_in(left, sought))
    return found


def _quotes_in(agreed: Collection[quote_queries.Agreed], sought: Sought) -> "QuerySet[Any]":
    """Returns those of these quotes that meet the conditions, except the condition about the party."""
    ids = [quote.quote_id for quote in agreed if quote.item_id is None]
    rows = _within(_quotes().filter(_quote_sides(sought), pk__in=ids), sought)
    if sought.amount is not None:
        rows = rows.filter(Q(asked=sought.amount) | Q(transfer_amount=sought.amount))
    return rows


def _items_in(agreed: Collection[quote_queries.Agreed], sought: Sought) -> "QuerySet[Any]":
    """Returns those of these payments of bulk quotes that meet the conditions, except the condition about the party."""
    ids = [quote.item_id for quote in agreed if quote.item_id is not None]
    rows = _within(bulk_quote_items.all_rows().filter(_sides(sought), pk__in=ids), sought)
    return rows if sought.amount is None else rows.filter(asked=sought.amount)


def _alias_of_item(side: str) -> F:
    return F(f"{side}_alias")


def _shown_items(rows: "QuerySet[Any]") -> list[Quote]:
    """Returns payments of bulk quotes as the rows of a page."""
    found = list(rows)
    shown = bulk_quote_items.as_quotes(found) if found else []
    for row, quote in zip(found, shown, strict=True):
        quote.received_at, quote.asked, quote.asked_currency = row.created_at, row.asked, row.asked_currency  # type: ignore[attr-defined]
    return shown


def _requests_of_any(sought: Sought) -> "QuerySet[Any]":
    """Returns the requests to pay that meet the conditions, except the condition about the party."""
    rows = _within(_requests().filter(_sides(sought)), sought)
    return rows if sought.amount is None else rows.filter(asked=sought.amount)


def _requests_of(spellings: Collection[str], sought: Sought, *, before: Key | None) -> list[Any]:
    """Returns a party's latest requests to pay. Returns more requests to pay than one page shows."""
    if Kind.REQUEST not in sought.kinds:
        return []
    rows = _requests_of_any(sought)
    if before is not None:
        rows = rows.filter(created_at__lte=before[0])
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
    if Kind.LOOKUP not in sought.kinds or sought.amount is not None or sought.currency or sought.payee is not None:
        return [], None
    names = dict(Participant.objects.filter(is_hub=False).values_list("pk", "name"))
    whose = {number for number in (sought.own, sought.payer) if number is not None}
    asking = [name for number, name in names.items() if whose <= {number}]
    if before is not None:  # quotes on the previous page can belong to lookups on this page
        soon = before[0] + _SOON
        agreed = [
            *agreed,
            *quote_queries.of_alias(spellings, own=sought.own, until=soon, before=None, size=QUOTES_AT_ONCE),
        ]
    quoted = [(names.get(quote.payer_id), quote.created_at) for quote in agreed]
    found, reached = _lookups(asking, sought, before=before)
    between = {names[number] for number in sought.dfsps if number in names}
    return [
        lookup
        for lookup in found
        if between <= {lookup.requester, lookup.asked}
        and not any(who == lookup.requester and lookup.at <= at <= lookup.at + _SOON for who, at in quoted)
    ], reached


def _lookups(asking: Collection[str], sought: Sought, *, before: Key | None) -> tuple[list[Lookup], Key | None]:
    """Returns the lookups that these DFSPs sent about a number.

    For each lookup, the hub stores only one digest, computed from the number and the DFSP's name together. The search
    computes the digest of the number for each DFSP.
    """
    paths = list(_paths_of(sought.identifier))
    digests = {_digest(f"{path} for {name}"): name for path in paths for name in asking}
    # The hub's own refusal contains either the currency of the lookup or no currency.
    refusals = {_digest(f"{path} in {code}") for path in paths for code in ("", *currencies())}
    rows = delivered_about([*digests, *refusals])
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
    _add_reasons([lookup for lookup in found if not lookup.asked], digests)
    is_cut = len(messages) == _MOST_LOOKUPS
    return found, (messages[-1].created_at, str(messages[-1].pk)) if is_cut else None


def _add_reasons(refused: Sequence[Lookup], digests: Mapping[str, str]) -> None:
    """Sets the reason of each lookup that the scheme's rules or a kill switch refused. The messages of a lookup have
    no reason."""
    if not refused:
        return
    times = [lookup.at for lookup in refused]
    decisions = rules_queries.refusals_of_lookups(digests, since=min(times) - _AT_ONCE, until=max(times) + _AT_ONCE)
    for lookup in refused:
        near = [
            decision
            for decision in decisions
            if digests[decision.subject] == lookup.requester and abs(decision.at - lookup.at) <= _AT_ONCE
        ]
        if near:
            decision = min(near, key=lambda each: abs(each.at - lookup.at))
            lookup.error_code = decision.code or ""
            lookup.rules = [
                hit["rule"]
                for hit in decision.hits
                if hit["action"] == "refuse" and not hit.get("shadow") and not hit.get("excused")
            ]


def _paths_of(text: str) -> Iterator[str]:
    """Yields the path of each lookup that can be about this identifier. The search tries every type of identifier, and
    every sub-id that the API defines or that the hub's own directory has for the identifier."""
    identifiers = forms_of_identifier(text)
    registered = sorted(sub_ids_of(identifiers))[:_MOST_SUB_IDS]
    sub_ids = {spelling for sub_id in registered for spelling in (sub_id, sub_id.lower())}
    for id_type in sorted(TYPES):
        known = sub_ids.union(PERSONAL_IDENTIFIER_TYPES) if id_type == "PERSONAL_ID" else sub_ids
        for identifier in sorted(_spellings_of_type(id_type, identifiers)):
            yield path_of("parties", id_type, identifier)
            for sub_id in sorted(known):
                yield path_of("parties", id_type, identifier, sub_id)


def _spellings_of_type(id_type: str, identifiers: Collection[str]) -> set[str]:
    """Returns the spellings of these identifiers in lookups of this type."""
    if id_type == "MSISDN":
        bare = {identifier.removeprefix("+") for identifier in identifiers}
        return {spelling for number in bare if number.isdecimal() for spelling in (number, f"+{number}")}
    if id_type == "EMAIL":
        identifiers = [identifier for identifier in identifiers if "@" in identifier]
    return {spelling for each in identifiers for spelling in (each, each.lower(), each.upper())}


def _digest(subject: str) -> str:
    return kept_subject(hashlib.sha256(subject.encode()).hexdigest())


def currencies() -> list[str]:
    """Returns the currencies of the scheme's accounts."""
    return sorted(Account.objects.order_by().values_list("currency", flat=True).distinct())
