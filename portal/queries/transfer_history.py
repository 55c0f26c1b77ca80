"""Reads the history of one transfer."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet, Subquery
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.api import forwarding
from hub.outbox.models import Delivery, Message
from hub.outbox.store import kept_subject
from ledger import queries as ledger
from ledger.models import Entry, FxTransfer, Transfer, TransferEvent
from ledger.states import TERMINAL, State
from portal.queries import transfer_prepare_checks
from portal.queries.transfer_prepare_checks import Applied
from portal.words import refusals
from portal.words.errors import words_of
from quotes import bulk_quote_items
from quotes.models import REFUSED_BY_RULES, FxQuote, Quote, alias_of
from settlement.models import Inclusion, Settlement

_LOOKUP_BEFORE = timedelta(hours=1)
_MOST_QUOTES = 1000
_MOST_DELIVERED = 200


@dataclass(slots=True)
class Moment:
    """One event in the history of a payment. `message_id` is set if the event is a callback that can be sent again."""

    at: datetime
    title: str
    tone: str = ""
    detail: str = ""
    raw: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    message_id: int | None = None
    checks: Sequence[Applied] = ()
    order: datetime | None = None  # the time by which the event is sorted; if None, the event is sorted by `at`

    @property
    def is_signed(self) -> bool:
        return "fspiop-signature" in self.headers


@dataclass(slots=True)
class Story:
    """The history of a payment from the lookup to the settlement. `settlements` are the settlements that include the
    entries of the payment."""

    moments: Sequence[Moment]
    entries: Sequence[Entry]
    quote: Quote | None
    conversions: Sequence[FxTransfer]
    settlements: Sequence[Settlement]
    deliveries: Sequence[Delivery]
    lookup: "Lookup | None" = None
    were_signatures_checked: bool = False


def story_of(transfer: Transfer, *, dfsp_id: int | None) -> Story:
    """Returns the history of a transfer and of its conversions, in the order of time. Runs a fixed number of SQL
    statements.

    If `dfsp_id` is set, includes only conversions that this participant requested or carried out.
    """
    quote = _quote_of(transfer)
    conversions = FxTransfer.objects.filter(determining_transfer_id=transfer.transfer_id).select_related("initiator")
    if dfsp_id is not None:
        conversions = conversions.filter(Q(initiator_id=dfsp_id) | Q(fxp_id=dfsp_id))
    converted = list(conversions.order_by("received_at"))
    subjects = [transfer.transfer_id, *(conversion.commit_request_id for conversion in converted)]
    parties = {transfer.payer_id, transfer.payee_id, *(side for c in converted for side in (c.initiator_id, c.fxp_id))}
    lookup = lookup_of(quote) if quote is not None else None
    deliveries = _delivered(subjects, parties)
    moments = [
        *looked_up(quote, lookup),
        *quoted(quote),
        *_history_of(transfer),
        *_accepted(deliveries),
        *_waiting(subjects, parties),
    ]
    moments.sort(key=lambda moment: moment.order or moment.at)
    entries = list(
        Entry.objects.filter(transfer_id__in=subjects)
        .select_related("debit_account__participant", "credit_account__participant", "window")
        .order_by("id")
    )
    checked = settings.SIGNATURES != "ignored"
    return Story(moments, entries, quote, converted, _settlements_of(entries), deliveries, lookup, checked)


def _settlements_of(entries: Sequence[Entry]) -> list[Settlement]:
    """Returns the settlements that include these entries. Leaves out aborted settlements."""
    posted = {(entry.window_id, entry.currency) for entry in entries if entry.window_id}
    if not posted:
        return []
    windows, currencies = zip(*posted, strict=True)
    held = Inclusion.objects.filter(is_released=False, content__window_id__in=windows, content__currency__in=currencies)
    return list(Settlement.objects.filter(pk__in=held.values("settlement_id")).order_by("id"))


def looked_up(quote: Quote | None, lookup: "Lookup | None") -> Iterator[Moment]:
    """If a lookup of the payee came shortly before the quote, yields this lookup and the lookup's result."""
    if quote is None or lookup is None:
        return
    note = ""
    if lookup.others:
        note = _(
            "At that time, %(name)s had %(count)s more lookups of this party without a quote. The hub cannot tell with "
            "certainty which lookup belongs to this payment."
        ) % {"name": quote.payer.name, "count": lookup.others}
    if lookup.request is not None:
        title = _("%(name)s received the lookup of the payee") % {"name": lookup.request.destination.name}
        yield _of_lookup(lookup.request, title, note, quote)
    title = _("%(name)s received the result of the lookup") % {"name": lookup.answer.destination.name}
    yield _of_lookup(lookup.answer, title, note, quote)


def _of_lookup(done: Delivery, title: str, note: str, quote: Quote) -> Moment:
    # The payer DFSP can send the quote before the hub has recorded the delivery of the result.
    order = min(done.delivered_at, quote.created_at - timedelta(microseconds=1))
    return Moment(done.delivered_at, title, "", ". ".join(filter(None, [_delivery(done), note])), order=order)


@dataclass(frozen=True, slots=True)
class Lookup:
    """The lookup after which the payer DFSP sent a quote. `others` is the number of other lookups that had no quote at
    that time."""

    answer: Delivery
    request: Delivery | None
    others: int


def lookup_of(quote: Quote) -> Lookup | None:
    """Returns the lookup of the payee before this quote.

    Messages of lookups have no id. Several customers of one payer DFSP can pay the same payee at the same time. The
    order of the messages distinguishes such payments: each quote belongs to the latest earlier lookup that has no other
    quote.
    """
    subject, span = _subject_of_lookup(quote), (quote.created_at - _LOOKUP_BEFORE, quote.created_at)
    if subject is None:
        return None
    subjects = [kept_subject(subject), subject]  # earlier versions of the hub stored the subject without a hash
    messages = list(
        Delivery.objects.filter(subject__in=subjects, created_at__range=span)
        .select_related("destination")
        .order_by("created_at", "message_id")
    )
    answers = [done for done in messages if done.method == "PUT" and not done.path.endswith("/error")]
    open_ones: list[Delivery] = []
    events = [(done.created_at, done) for done in answers] + [(at, None) for at in _quoted_before(quote)]
    for _at, answer in sorted(events, key=lambda event: event[0]):
        if answer is not None:
            open_ones.append(answer)
        elif open_ones:
            open_ones.pop()
    if not open_ones:
        return None
    own = open_ones.pop()
    requests = [done for done in messages if done.method == "GET" and done.created_at <= own.created_at]
    return Lookup(own, requests[-1] if requests else None, len(open_ones))


def _quoted_before(quote: Quote) -> list[datetime]:
    """Returns the times of the payer DFSP's other quotes for the same payee. The function reads only quotes in the
    period in which a lookup can belong to this quote."""
    span = (quote.created_at - _LOOKUP_BEFORE, quote.created_at)
    same = Quote.objects.alias(alias=alias_of("payee")).filter(payer_id=quote.payer_id, created_at__range=span)
    identifier = Quote.objects.filter(pk=quote.pk).values(alias=alias_of("payee"))
    found = same.filter(alias=Subquery(identifier)).exclude(pk=quote.pk).order_by("-created_at")
    return list(found.values_list("created_at", flat=True)[:_MOST_QUOTES])


def _subject_of_lookup(quote: Quote) -> str | None:
    try:
        party = json.loads(bytes(quote.request))["payee"]["partyIdInfo"]
        names = [party["partyIdType"], party["partyIdentifier"], *filter(None, [party.get("partySubIdOrType")])]
        return forwarding.subject_of(f"{forwarding.path_of('parties', *names)} for {quote.payer.name}")
    except (ValueError, KeyError, TypeError):
        return None  # the request has an unknown form, or no alias


def _quote_of(transfer: Transfer) -> Quote | None:
    """Returns the quote whose id is in the ILP packet.

    If there is no packet, or no id of a quote in the packet, returns the quote whose transaction has the transfer's id.
    For a transfer of a bulk, returns the transfer's part of the bulk quote.
    """
    if transfer.bulk_id is not None:
        return bulk_quote_items.of_transfer(
            Transfer.objects.values_list("bulk__bulk_quote_id", flat=True).get(pk=transfer.pk),
            transfer_id=transfer.transfer_id,
            condition=transfer.condition,
            payer_id=transfer.payer_id,
            payee_id=transfer.payee_id,
        )
    terms = ledger.transaction_of(transfer.transfer_id) or {}
    quote_id = terms.get("quoteId")
    named = Q(pk=quote_id) if isinstance(quote_id, str) else Q(transaction_id=transfer.transfer_id)
    # The payer DFSP chooses the quote's id and the transfer's ID, so the search must exclude quotes between other
    # DFSPs.
    found = Quote.objects.filter(named, payer_id=transfer.payer_id, payee_id=transfer.payee_id)
    # The payee DFSP's people read this page too, and must not see a quote that the payee DFSP did not receive.
    found = found.exclude(REFUSED_BY_RULES)
    return found.select_related("payer", "payee").order_by("-created_at").first()


def quoted(quote: Quote | FxQuote | None) -> Iterator[Moment]:
    """For a payment or a conversion, yields the request for the quote, and the answer to this request."""
    if quote is None:
        return
    asked = _("%(payer)s requested terms from %(payee)s") % {"payer": quote.payer.name, "payee": quote.payee.name}
    if bulk_quote_id := getattr(quote, "part_of", ""):
        part = _("The message is this payment's part of bulk quote %(id)s.") % {"id": bulk_quote_id}
        asked = f"{asked}. {part}"
    yield Moment(quote.created_at, _("Quote requested"), "", asked, text(quote.request), quote.request_headers or {})
    if quote.answered_at is not None:
        is_refused = quote.state == Quote.State.REJECTED
        tone, title = ("bad", _("Quote rejected")) if is_refused else ("", _("Quote returned"))
        if quote.is_refused_by_rules:
            title = _("Quote refused by the scheme's rules")
        yield Moment(quote.answered_at, title, tone, "", text(quote.response), quote.response_headers or {})


def _history_of(transfer: Transfer) -> Iterator[Moment]:
    """Yields the changes of the transfer's state. The first change also lists the checks of the prepare."""
    events = list(_events_of(transfer))
    for event in events:
        moment = _moved(event, transfer)
        if event is events[0]:
            moment.checks = transfer_prepare_checks.to_prepare(transfer, was_reserved=event.state == State.RESERVED)
        yield moment


def _events_of(transfer: Transfer) -> "QuerySet[TransferEvent]":
    """Returns the transfer's events. The two conditions match the only indexes that find events by transfer."""
    found = Q(transfer=transfer, state=State.RESERVED) | Q(transfer=transfer, state__in=sorted(TERMINAL))
    return TransferEvent.objects.filter(found).order_by("id")


_TITLES = {
    "RESERVED": gettext_lazy("Prepared and reserved"),
    "COMMITTED": gettext_lazy("Fulfilled and committed"),
    "ABORTED": gettext_lazy("Aborted"),
}


def _moved(event: TransferEvent, transfer: Transfer) -> Moment:
    detail = refusals.word_of(event.reason)
    if event.state == "ABORTED" and transfer.error_code:
        detail = (
            f"{detail}: {transfer.error_code} {words_of(transfer.error_code, transfer.error_description or '')}".strip(
                ": "
            )
        )
    tone = "bad" if event.state == "ABORTED" else ""
    title = str(_TITLES.get(event.state, event.state))
    return Moment(event.at, title, tone, detail, text(event.body), event.headers or {})


def told(subjects: Sequence[str], parties: Collection[int | None]) -> Iterator[Moment]:
    """Yields the callbacks to `parties` about these subjects: the delivered callbacks, the callbacks that still wait
    for delivery, and the callbacks that the hub no longer tries to send.
    """
    yield from _accepted(_delivered(subjects, parties))
    yield from _waiting(subjects, parties)


_DELIVERED = """
    SELECT d.message_id FROM unnest(%s::text[]) AS n (subject)
    CROSS JOIN LATERAL (
        SELECT d.message_id FROM outbox_delivery d
        WHERE d.subject = n.subject AND d.destination_id = ANY(%s::bigint[]) LIMIT %s
    ) d
"""


def _delivered(subjects: Sequence[str], parties: Collection[int | None]) -> list[Delivery]:
    """Returns the delivered callbacks to these participants about these subjects, at most `_MOST_DELIVERED` for each
    subject. A DFSP can request the state of a payment without an end, and a stranger can use the payment's id."""
    known = [participant_id for participant_id in parties if participant_id is not None]
    found = RawSQL(_DELIVERED, [list(subjects), known, _MOST_DELIVERED])  # noqa: S611 (a constant)
    return list(Delivery.objects.filter(pk__in=found).select_related("destination").order_by("message_id"))


def _accepted(deliveries: Sequence[Delivery]) -> Iterator[Moment]:
    numbers = Counter(done.subject for done in deliveries)
    latest = {done.subject: done for done in deliveries}
    for done in deliveries:
        title, detail = _("%(name)s was notified") % {"name": done.destination.name}, _delivery(done)
        if done is latest[done.subject] and numbers[done.subject] == _MOST_DELIVERED:
            cut = _("Only the first %(most)s are shown.") % {"most": _MOST_DELIVERED}
            detail = f"{detail}. {cut}"
        yield Moment(done.delivered_at, title, "", detail)


def _waiting(subjects: Sequence[str], parties: Collection[int | None]) -> Iterator[Moment]:
    # The destinations are in the filter because the index begins with the destination.
    waiting_ones = Message.objects.filter(destination_id__in=parties, subject__in=subjects)
    for waiting in waiting_ones.select_related("destination"):
        is_dead = waiting.state == Message.State.DEAD
        title = _("%(name)s was not notified") if is_dead else _("%(name)s has not been notified yet")
        yield Moment(
            waiting.created_at,
            title % {"name": waiting.destination.name},
            "bad" if is_dead else "wait",
            f"{_attempt(f'{waiting.method} {waiting.path}', waiting.attempts)} {waiting.last_error}",
            text(waiting.body),
            waiting.headers or {},
            waiting.pk,
        )


def _delivery(done: Delivery) -> str:
    answered = f"{done.method} {done.path}: HTTP {done.status}"
    return _attempt(answered, done.attempts) if done.attempts > 1 else answered


def _attempt(text: str, number: int) -> str:
    return _("%(text)s, attempt %(number)s") % {"text": text, "number": number}


def text(body: Any) -> str:
    """Returns a message's body as text. JSON is indented."""
    if body is None:
        return ""
    text = bytes(body).decode(errors="replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text
