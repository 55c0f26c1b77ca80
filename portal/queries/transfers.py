"""Searching transfers, and all that the hub holds about one of them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.outbox.models import Delivery, Message
from ledger import queries as ledger
from ledger.models import Entry, FxTransfer, Transfer, TransferEvent
from quotes.models import Quote

_BATCH = 1000


def visible(dfsp_id: int | None) -> "QuerySet[Transfer]":
    """All, or those that this participant sent or received."""
    found = Transfer.objects.select_related("payer").annotate(took=F("completed_at") - F("received_at"))
    if dfsp_id is None:
        return found
    return found.filter(Q(payer_id=dfsp_id) | Q(payee_id=dfsp_id))


def with_id(rows: "QuerySet[Transfer]", any_id: str) -> "QuerySet[Transfer]":
    """By its own id, its bulk's, or that of a conversion made for it."""
    converted = FxTransfer.objects.filter(pk=any_id).values("determining_transfer_id")
    return rows.filter(Q(pk=any_id) | Q(bulk_id=any_id) | Q(pk__in=converted))


def in_window(rows: "QuerySet[Transfer]", window_id: int) -> "QuerySet[Transfer]":
    entries = Entry.objects.filter(transfer_id=OuterRef("pk"), kind="TRANSFER", window_id=window_id)
    return rows.filter(Exists(entries))


def latest(rows: "QuerySet[Transfer]", *, before: tuple[datetime, str] | None, size: int) -> list[Transfer]:
    """The latest first, by time of arrival and id, from after a row that was the last of a page."""
    if before is not None:
        at, transfer_id = before
        # The first condition is what the index can use; the second says which rows of the same moment are left.
        rows = rows.filter(received_at__lte=at).filter(Q(received_at__lt=at) | Q(transfer_id__lt=transfer_id))
    return list(rows.order_by("-received_at", "-transfer_id")[:size])


def all_of(rows: "QuerySet[Transfer]", *, most: int) -> Iterator[Transfer]:
    """Every row, read in batches by key so that no statement takes long."""
    before, left = None, most
    while left > 0:
        batch = latest(rows, before=before, size=min(_BATCH, left))
        yield from batch
        if len(batch) < _BATCH:
            return
        before, left = (batch[-1].received_at, batch[-1].transfer_id), left - len(batch)


@dataclass(slots=True)
class Moment:
    """One thing that happened to a payment. `message_id` is of a callback that can be sent again."""

    at: datetime
    title: str
    tone: str = ""
    detail: str = ""
    raw: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    message_id: int | None = None


@dataclass(slots=True)
class Story:
    """A payment from its quote to its settlement window."""

    moments: Sequence[Moment]
    entries: Sequence[Entry]
    quote: Quote | None
    conversions: Sequence[FxTransfer]


def story_of(transfer: Transfer, *, dfsp_id: int | None) -> Story:
    """What happened to a transfer, in order of time, with its conversions. A fixed number of statements.

    A participant sees the conversions that it asked for or carried out, and no other.
    """
    quote = _quote_of(transfer)
    conversions = FxTransfer.objects.filter(determining_transfer_id=transfer.transfer_id).select_related("initiator")
    if dfsp_id is not None:
        conversions = conversions.filter(Q(initiator_id=dfsp_id) | Q(fxp_id=dfsp_id))
    converted = list(conversions.order_by("received_at"))
    subjects = [transfer.transfer_id, *(conversion.commit_request_id for conversion in converted)]
    moments = [
        *_quoted(quote),
        *(_moved(event, transfer) for event in TransferEvent.objects.filter(transfer=transfer)),
        *_told(subjects),
    ]
    moments.sort(key=lambda moment: moment.at)
    entries = (
        Entry.objects.filter(transfer_id__in=subjects)
        .select_related("debit_account__participant", "credit_account__participant", "window")
        .order_by("id")
    )
    return Story(moments, list(entries), quote, converted)


def _quote_of(transfer: Transfer) -> Quote | None:
    terms = ledger.transaction_of(transfer.transfer_id) or {}
    quote_id = terms.get("quoteId")
    if not isinstance(quote_id, str):
        return None
    # The packet is the payer's word: only a quote between the same two is this payment's.
    return (
        Quote.objects.filter(pk=quote_id, payer_id=transfer.payer_id, payee_id=transfer.payee_id)
        .select_related("payer", "payee")
        .first()
    )


def _quoted(quote: Quote | None) -> Iterator[Moment]:
    if quote is None:
        return
    asked = _("%(payer)s asked %(payee)s") % {"payer": quote.payer.name, "payee": quote.payee.name}
    yield Moment(quote.created_at, _("Quote asked for"), "", asked, _text(quote.request), quote.request_headers or {})
    if quote.answered_at is not None:
        is_refused = quote.state == Quote.State.REJECTED
        tone, title = ("bad", _("Quote refused")) if is_refused else ("", _("Quote answered"))
        yield Moment(quote.answered_at, title, tone, "", _text(quote.response), quote.response_headers or {})


_TITLES = {
    "RESERVED": gettext_lazy("Prepared, and reserved"),
    "COMMITTED": gettext_lazy("Fulfilled, and committed"),
    "ABORTED": gettext_lazy("Aborted"),
}


def _moved(event: TransferEvent, transfer: Transfer) -> Moment:
    detail = event.reason or ""
    if event.state == "ABORTED" and transfer.error_code:
        detail = f"{detail}: {transfer.error_code} {transfer.error_description or ''}".strip(": ")
    tone = "bad" if event.state == "ABORTED" else ""
    title = str(_TITLES.get(event.state, event.state))
    return Moment(event.at, title, tone, detail, _text(event.body), event.headers or {})


def _told(subjects: Sequence[str]) -> Iterator[Moment]:
    for done in Delivery.objects.filter(subject__in=subjects).select_related("destination"):
        detail = f"{done.method} {done.path}: HTTP {done.status}"
        if done.attempts > 1:
            detail = _attempt(detail, done.attempts)
        yield Moment(done.delivered_at, _("%(name)s was told") % {"name": done.destination.name}, "", detail)
    for waiting in Message.objects.filter(subject__in=subjects).select_related("destination"):
        is_dead = waiting.state == Message.State.DEAD
        title = _("%(name)s was not told") if is_dead else _("%(name)s is still to be told")
        yield Moment(
            waiting.created_at,
            title % {"name": waiting.destination.name},
            "bad" if is_dead else "wait",
            f"{_attempt(f'{waiting.method} {waiting.path}', waiting.attempts)} {waiting.last_error}",
            _text(waiting.body),
            waiting.headers or {},
            waiting.pk,
        )


def _attempt(text: str, number: int) -> str:
    return _("%(text)s, attempt %(number)s") % {"text": text, "number": number}


def _text(body: Any) -> str:
    """A message as it came, set out for reading where it is JSON."""
    if body is None:
        return ""
    text = bytes(body).decode(errors="replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text
