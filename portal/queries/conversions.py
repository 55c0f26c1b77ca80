"""Searches conversions and FX quotes, and reads the history of one conversion."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from django.conf import settings
from django.db.models import F, Model, Q, QuerySet
from django.utils.translation import gettext_lazy

from ledger.fx.states import FX_TERMINAL, LIVE
from ledger.models import Entry, FxTransfer, FxTransferEvent, Transfer
from portal.parse_typed_values import spellings_of_id
from portal.queries import keyset
from portal.queries.keyset import Found, Key
from portal.queries.transfer_history import Moment, quoted, text, told
from portal.words import refusals
from portal.words.errors import words_of
from quotes.models import FxQuote

T = TypeVar("T", bound=Model)
_TITLES = {
    "RESERVED": gettext_lazy("Prepared and reserved"),
    "AGREED": gettext_lazy("Agreed by the FXP"),
    "COMMITTED": gettext_lazy("Committed with its transfer"),
    "ABORTED": gettext_lazy("Aborted"),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """The conditions of a search for conversions. `own` is the visitor's participant.

    `dfsp` is the initiating DFSP or the FXP of the wanted conversions.
    """

    any_id: str = ""
    own: int | None = None
    dfsp: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    other: Q = field(default_factory=Q)  # search conditions without an index


def latest(wish: Wish, *, before: Key | None, size: int) -> Found[FxTransfer]:
    """Returns matching conversions, with the latest first.

    The id in a search is the id of a conversion or of a transfer.
    """
    rows = FxTransfer.objects.select_related("initiator")
    if wish.any_id:
        ids = spellings_of_id(wish.any_id)
        rows = rows.filter(Q(pk__in=ids) | Q(determining_transfer_id__in=ids))
    return _latest(rows, wish, ("initiator", "fxp"), before, size)


def latest_terms(wish: Wish, *, before: Key | None, size: int) -> Found[FxQuote]:
    """Returns matching FX quotes, with the latest first.

    The id in a search is the id of a quote, a conversion or a transfer.
    """
    rows = FxQuote.objects.annotate(received_at=F("created_at")).select_related("payer", "payee")
    rows = rows.defer("request", "request_headers", "response", "response_headers", "rule_facts")
    if wish.any_id:
        ids = spellings_of_id(wish.any_id)
        rows = rows.filter(Q(pk__in=ids) | Q(conversion_id__in=ids) | Q(determining_transfer_id__in=ids))
    return _latest(rows, wish, ("payer", "payee"), before, size)


def _latest(rows: "QuerySet[T]", wish: Wish, sides: tuple[str, str], before: Key | None, size: int) -> Found[T]:
    if wish.since is not None:
        rows = rows.filter(received_at__gte=wish.since)
    if wish.until is not None:
        rows = rows.filter(received_at__lt=wish.until)
    condition = wish.other
    whose = wish.dfsp if wish.own is None else wish.own
    if wish.own is not None and wish.dfsp is not None:
        condition &= Q(**{f"{sides[0]}_id": wish.dfsp}) | Q(**{f"{sides[1]}_id": wish.dfsp})
    sources = [rows]
    if whose is not None:
        first, second = ({f"{side}_id": whose} for side in sides)
        sources = [rows.filter(**first), rows.filter(**second).exclude(**first)]
    return keyset.latest(sources, condition, before=before, size=size)


def visible(dfsp_id: int | None) -> "QuerySet[FxTransfer]":
    """Returns all conversions. For a participant, returns only the conversions that the participant requested or
    carries out."""
    found = FxTransfer.objects.select_related("initiator")
    return found if dfsp_id is None else found.filter(Q(initiator_id=dfsp_id) | Q(fxp_id=dfsp_id))


@dataclass(slots=True)
class Story:
    """The history of a conversion from its terms to its entries. `transfer` is None until the hub receives the
    transfer."""

    moments: Sequence[Moment]
    entries: Sequence[Entry]
    terms: FxQuote | None
    transfer: Transfer | None
    were_signatures_checked: bool = False


def story_of(conversion: FxTransfer) -> Story:
    """Returns the history of a conversion in the order of time. Runs a fixed number of SQL statements."""
    agreed = FxQuote.objects.filter(
        conversion_id=conversion.pk, payer_id=conversion.initiator_id, payee_id=conversion.fxp_id
    )
    terms = agreed.select_related("payer", "payee").order_by("-created_at").first()
    # With these two conditions, PostgreSQL uses the two unique indexes on states.
    is_live, has_ended = (Q(fx_transfer=conversion, state__in=sorted(states)) for states in (LIVE, FX_TERMINAL))
    events = FxTransferEvent.objects.filter(is_live | has_ended).order_by("id")
    moments = [
        *quoted(terms),
        *(_moved(event, conversion) for event in events),
        *told([conversion.pk], {conversion.initiator_id, conversion.fxp_id}),
    ]
    moments.sort(key=lambda moment: moment.at)
    entries = (
        Entry.objects.filter(transfer_id=conversion.pk)
        .select_related("debit_account__participant", "credit_account__participant", "window")
        .order_by("id")
    )
    transfer = Transfer.objects.filter(pk=conversion.determining_transfer_id).first()
    return Story(moments, list(entries), terms, transfer, settings.SIGNATURES != "ignored")


def _moved(event: FxTransferEvent, conversion: FxTransfer) -> Moment:
    detail = refusals.word_of(event.reason)
    if event.state == "ABORTED" and conversion.error_code:
        words = words_of(conversion.error_code, conversion.error_description or "")
        detail = f"{detail}: {conversion.error_code} {words}".strip(": ")
    tone = "bad" if event.state == "ABORTED" else ""
    return Moment(event.at, str(_TITLES[event.state]), tone, detail, text(event.body), event.headers or {})
