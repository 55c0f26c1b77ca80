"""Reads the history of one transfer."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.api import forwarding
from hub.outbox.models import Delivery, Message
from hub.outbox.store import kept_subject
from ledger import queries as ledger
from ledger.models import Entry, FxTransfer, Transfer, TransferEvent
from ledger.states import TERMINAL, State
from portal.queries import prepare_checks
from portal.queries.prepare_checks import Applied
from portal.words.errors import words_of
from quotes.models import FxQuote, Quote
from settlement.models import Inclusion, Settlement

_LOOKUP_BEFORE = timedelta(hours=1)


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

    @property
    def is_signed(self) -> bool:
        return "fspiop-signature" in self.headers


@dataclass(slots=True)
class Story:
    """The history of a payment from the lookup to the settlement. `settlements` include its entries."""

    moments: Sequence[Moment]
    entries: Sequence[Entry]
    quote: Quote | None
    conversions: Sequence[FxTransfer]
    settlements: Sequence[Settlement]
    were_signatures_checked: bool = False


def story_of(transfer: Transfer, *, dfsp_id: int | None) -> Story:
    """Returns the history of a transfer and of its conversions, in the order of time. Runs a fixed number of SQL
    statements.

    With `dfsp_id`, includes only conversions that this participant requested or carried out.
    """
    quote = _quote_of(transfer)
    conversions = FxTransfer.objects.filter(determining_transfer_id=transfer.transfer_id).select_related("initiator")
    if dfsp_id is not None:
        conversions = conversions.filter(Q(initiator_id=dfsp_id) | Q(fxp_id=dfsp_id))
    converted = list(conversions.order_by("received_at"))
    subjects = [transfer.transfer_id, *(conversion.commit_request_id for conversion in converted)]
    parties = {transfer.payer_id, transfer.payee_id, *(side for c in converted for side in (c.initiator_id, c.fxp_id))}
    moments = [
        *_looked_up(quote),
        *quoted(quote),
        *_history_of(transfer),
        *told(subjects, parties),
    ]
    moments.sort(key=lambda moment: moment.at)
    entries = list(
        Entry.objects.filter(transfer_id__in=subjects)
        .select_related("debit_account__participant", "credit_account__participant", "window")
        .order_by("id")
    )
    checked = settings.SIGNATURES != "ignored"
    return Story(moments, entries, quote, converted, _settlements_of(entries), checked)


def _settlements_of(entries: Sequence[Entry]) -> list[Settlement]:
    """Returns the settlements that include these entries. Leaves out aborted settlements."""
    posted = {(entry.window_id, entry.currency) for entry in entries if entry.window_id}
    if not posted:
        return []
    windows, currencies = zip(*posted, strict=True)
    held = Inclusion.objects.filter(is_released=False, content__window_id__in=windows, content__currency__in=currencies)
    return list(Settlement.objects.filter(pk__in=held.values("settlement_id")).order_by("id"))


def _looked_up(quote: Quote | None) -> Iterator[Moment]:
    """Yields the lookup of the payee and the lookup's result, if the lookup was shortly before the quote."""
    subject = _subject_of_lookup(quote) if quote is not None else None
    if quote is None or subject is None:
        return
    span = (quote.created_at - _LOOKUP_BEFORE, quote.created_at)
    subjects = [kept_subject(subject), subject]  # earlier versions of the hub stored the plain subject
    for done in Delivery.objects.filter(subject__in=subjects, delivered_at__range=span).select_related("destination"):
        title = (
            _("%(name)s received the lookup of the payee")
            if done.method == "GET"
            else _("%(name)s received the result of the lookup")
        )
        yield Moment(done.delivered_at, title % {"name": done.destination.name}, "", _delivery(done))


def _subject_of_lookup(quote: Quote) -> str | None:
    try:
        party = json.loads(bytes(quote.request))["payee"]["partyIdInfo"]
        names = [party["partyIdType"], party["partyIdentifier"], *filter(None, [party.get("partySubIdOrType")])]
        return forwarding.subject_of(f"{forwarding.path_of('parties', *names)} for {quote.payer.name}")
    except (ValueError, KeyError, TypeError):
        return None  # the request has an unknown form, or no alias


def _quote_of(transfer: Transfer) -> Quote | None:
    """Returns the quote named in the ILP packet.

    If the packet names no quote, returns the quote whose transaction has the packet's transaction ID.
    """
    terms = ledger.transaction_of(transfer.transfer_id) or {}
    quote_id = terms.get("quoteId")
    named = Q(pk=quote_id) if isinstance(quote_id, str) else Q(transaction_id=transfer.transfer_id)
    # The payer DFSP writes the quote's id and the transfer's ID, so a quote between other DFSPs must not be found.
    found = Quote.objects.filter(named, payer_id=transfer.payer_id, payee_id=transfer.payee_id)
    return found.select_related("payer", "payee").order_by("-created_at").first()


def quoted(quote: Quote | FxQuote | None) -> Iterator[Moment]:
    """Yields the request for the quote of a payment or a conversion, and the answer to this request."""
    if quote is None:
        return
    asked = _("%(payer)s requested terms from %(payee)s") % {"payer": quote.payer.name, "payee": quote.payee.name}
    yield Moment(quote.created_at, _("Quote requested"), "", asked, text(quote.request), quote.request_headers or {})
    if quote.answered_at is not None:
        is_refused = quote.state == Quote.State.REJECTED
        tone, title = ("bad", _("Quote rejected")) if is_refused else ("", _("Quote returned"))
        yield Moment(quote.answered_at, title, tone, "", text(quote.response), quote.response_headers or {})


def _history_of(transfer: Transfer) -> Iterator[Moment]:
    """Yields the changes of the transfer's state. The first change also lists the checks of the prepare."""
    events = list(_events_of(transfer))
    for event in events:
        moment = _moved(event, transfer)
        if event is events[0]:
            moment.checks = prepare_checks.to_prepare(transfer, was_reserved=event.state == State.RESERVED)
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
    detail = event.reason or ""
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
    """Yields the delivered callbacks about these subjects.

    Also yields callbacks to `parties` that wait, and callbacks whose delivery the hub has given up.
    """
    for done in Delivery.objects.filter(subject__in=subjects).select_related("destination"):
        title = _("%(name)s was notified") % {"name": done.destination.name}
        yield Moment(done.delivered_at, title, "", _delivery(done))
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
