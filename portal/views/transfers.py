"""The pages about transfers: the search, the export of the search results, and the history of one payment."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fspiop import money
from hub.audit import record
from hub.downloads import Download
from hub.outbox.messages import Recipient
from ledger import accounts_and_funds as ledger
from ledger.held_transfers.models import HeldTransfer
from ledger.held_transfers.queries import hold_of
from ledger.models import Transfer
from portal import csv_export, pagination, signed_payment_documents
from portal.fields import AmountField
from portal.parse_typed_values import spellings_of_id, spellings_of_identifier
from portal.permissions import Right
from portal.posted_text import posted
from portal.queries import keyset, payment_outcome, transfers
from portal.queries.keyset import Found, Key
from portal.queries.payment_outcome import Verdict
from portal.queries.transfer_history import Story, story_of
from portal.queries.transfers import Wish
from portal.rules import decided
from portal.search_forms import (
    CurrencyField,
    IdentifierField,
    MomentField,
    ParticipantField,
    Search,
    UseCaseField,
    no_file,
)
from portal.visitor import Visitor, visitor_of
from portal.words import states

Read = Callable[[Key | None, int], Found[Transfer]]
_YES_OR_NO = [("", "–"), ("yes", gettext_lazy("yes")), ("no", gettext_lazy("no"))]
_DEFAULT_SPAN = timedelta(days=7)
_STATES = states.choices("RESERVED", "COMMITTED", "ABORTED", transfers.ENDED)


class TransferSearch(Search):
    id = forms.CharField(label=gettext_lazy("Any id"), required=False, max_length=36)
    alias = IdentifierField(label=gettext_lazy("Alias of a party"))
    dfsp = ParticipantField(label=gettext_lazy("Participant"))
    payer = ParticipantField(label=gettext_lazy("Payer DFSP"))
    payee = ParticipantField(label=gettext_lazy("Payee DFSP"))
    shown = forms.ChoiceField(label=gettext_lazy("Shown to the payee DFSP"), required=False, choices=_YES_OR_NO)
    use_case = UseCaseField(label=gettext_lazy("Use case"))
    state = forms.ChoiceField(label=gettext_lazy("State"), required=False, choices=_STATES)
    error = forms.CharField(label=gettext_lazy("Error code"), required=False, max_length=4)
    currency = CurrencyField(label=gettext_lazy("Currency"))
    least = AmountField(label=gettext_lazy("Amount from"), required=False, may_be_zero=True)
    most = AmountField(label=gettext_lazy("Amount to"), required=False, may_be_zero=True)
    window = forms.IntegerField(label=gettext_lazy("Window"), required=False, min_value=1, max_value=2**31 - 1)
    since = MomentField(label=gettext_lazy("From"))
    until = MomentField(label=gettext_lazy("Until"), is_end=True)

    def read(self, visitor: Visitor) -> Read:
        """Returns the function that reads one page of this search. If a field has an error, the returned function reads
        no rows."""
        if not self.is_valid():
            return lambda _before, _size: Found([])
        wish, said = self._wish(visitor), self.said
        if "alias" in said:
            # The audit trail records who searched, but not for which alias.
            record("alias_looked_up", subject="transfers", actor=visitor.name)
        if "id" in said:
            spellings = spellings_of_identifier(said.get("alias", ""))
            return lambda before, size: transfers.with_id(said["id"], wish, spellings, before=before, size=size)
        if "alias" in said:
            return lambda before, size: transfers.of_identifier(said["alias"], wish, before=before, size=size)
        return lambda before, size: transfers.latest(wish, before=before, size=size)

    def _wish(self, visitor: Visitor) -> Wish:
        """Returns the search conditions from the form's fields, except the fields for ids and aliases."""
        said = self.said
        other, since, until = Q(), said.get("since"), said.get("until")
        if "window" in said:
            other, earliest, latest = transfers.in_window(said["window"])
            since, until = since or earliest, min(filter(None, (until, latest)), default=None)
        elif since is None and "id" not in said and "alias" not in said:
            since = datetime.now(UTC) - _DEFAULT_SPAN
        lookups = {"currency": "currency", "least": "amount__gte", "most": "amount__lte"}
        narrowed = {lookup: said[name] for name, lookup in lookups.items() if name in said}
        return Wish(
            own=visitor.dfsp_id,
            payer=said.get("payer"),
            payee=said.get("payee"),
            dfsps=frozenset({said["dfsp"]}) if "dfsp" in said else frozenset(),
            since=since,
            until=until,
            state=said.get("state", ""),
            error=said.get("error", ""),
            use_case=said.get("use_case", ""),
            is_shown=said["shown"] == "yes" if "shown" in said else None,
            other=other & Q(**narrowed),
        )


def index(request: HttpRequest) -> HttpResponse:
    search = TransferSearch(request.GET)
    page, found = pagination.by_arrival(request, search.read(visitor_of(request)))
    context = {"search": search, "page": page, "stopped_at": found.stopped_at}
    return render(request, "portal/transfers.html", context)


def export(request: HttpRequest) -> Download | HttpResponse:
    search, visitor = TransferSearch(request.GET), visitor_of(request)
    if not search.is_valid():
        return no_file(request, reverse("transfers"))
    headings = ["transferId", "receivedAt", "payer", "payee", "amount", "currency", "state", "error", "completedAt"]
    found = keyset.all_of(search.read(visitor), most=csv_export.MOST_ROWS + 1)
    lines = csv_export.limited([_line(each) for each in batch] for batch in _distinct(found))
    answer = csv_export.response(request, "transfers.csv", headings, lines)
    asked = {name: text for name, text in request.GET.items() if name != "alias"}
    record("transfers_exported", subject="transfers", actor=visitor.name, after=asked)
    return answer


def _distinct(batches: Iterable[Sequence[Transfer]]) -> Iterator[list[Transfer]]:
    """Removes each transfer that an earlier batch already contained. A payer can request several quotes for one
    transfer, so two batches can contain the same transfer."""
    seen: set[str] = set()
    for batch in batches:
        found = [each for each in batch if each.pk not in seen]
        seen |= {each.pk for each in found}
        yield found


def _line(transfer: Transfer) -> tuple[Any, ...]:
    return (
        transfer.transfer_id,
        transfer.received_at.isoformat(),
        transfer.payer.name,
        transfer.payee_name,
        money.format_amount(transfer.amount),
        transfer.currency,
        transfer.state,
        transfer.error_code,
        transfer.completed_at.isoformat() if transfer.completed_at else "",
    )


def _found(request: HttpRequest, transfer_id: str) -> Transfer:
    ids = spellings_of_id(transfer_id) if len(transfer_id) <= 36 else ()
    found = transfers.visible(visitor_of(request).dfsp_id).filter(pk__in=ids).first()
    if found is None:
        raise Http404
    return found


def show(request: HttpRequest, transfer_id: str) -> HttpResponse:
    transfer = _found(request, transfer_id)
    visitor = visitor_of(request)
    found = _judged(transfer, visitor)
    context: dict[str, Any] = {
        "transfer": transfer,
        "story": found.story,
        "hold": found.hold,
        "verdict": found.verdict,
        "for_the_bank": signed_payment_documents.text_for_the_bank(transfer, found.verdict),
    }
    if visitor.may(Right.SEE_RULES):
        payer = transfer.payer.name
        context["decided"] = decided.of_payment(payer=payer, quote=found.story.quote, transfer=transfer)
    return render(request, "portal/transfer.html", context)


@dataclass(frozen=True, slots=True)
class _Judged:
    story: Story
    hold: HeldTransfer | None
    verdict: Verdict


def _judged(transfer: Transfer, visitor: Visitor) -> _Judged:
    # A DFSP must not learn which rule fired, or which limits another DFSP has. The payee DFSP must not see a held
    # transfer.
    hold = hold_of(transfer.transfer_id) if visitor.may(Right.SEE_RULES) else None
    story = story_of(transfer, dfsp_id=visitor.dfsp_id)
    verdict = payment_outcome.of_transfer(transfer, story, hold=hold, may_see=visitor.may_see)
    return _Judged(story, hold, verdict)


def export_json(request: HttpRequest, transfer_id: str) -> HttpResponse:
    """Returns a JSON file with everything that the payment's page shows. The hub signs the file with its key."""
    transfer, found = _exported(request, transfer_id, "json")
    content = signed_payment_documents.document(transfer, found.story, found.verdict, by=visitor_of(request).name)
    return _file(
        signed_payment_documents.json_file(content, signed_payment_documents.Signer.of_hub()),
        transfer,
        "json",
        "application/json",
    )


def export_pdf(request: HttpRequest, transfer_id: str) -> HttpResponse:
    """Returns the payment's page as a PDF. The signed JSON file is an attachment of the PDF. The PDF is signed too."""
    transfer, found = _exported(request, transfer_id, "pdf")
    signer = signed_payment_documents.Signer.of_hub()
    content = signed_payment_documents.document(transfer, found.story, found.verdict, by=visitor_of(request).name)
    attachment = signed_payment_documents.json_file(content, signer)
    pdf = signed_payment_documents.pdf_file(transfer, found.story, found.verdict, attachment, signer)
    return _file(pdf, transfer, "pdf", "application/pdf")


def _exported(request: HttpRequest, transfer_id: str, form: str) -> tuple[Transfer, _Judged]:
    transfer, visitor = _found(request, transfer_id), visitor_of(request)
    record("payment_exported", subject=transfer.transfer_id, actor=visitor.name, after={"form": form})
    return transfer, _judged(transfer, visitor)


def _file(octets: bytes, transfer: Transfer, ending: str, content_type: str) -> HttpResponse:
    name = f"payment-{transfer.transfer_id}.{ending}"
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(octets, content_type=content_type, headers=disposition)


def tell_again(request: HttpRequest, transfer_id: str) -> HttpResponse:
    """Sends the transfer's state to the payer DFSP or to the payee DFSP, as if this DFSP had sent GET
    /transfers/{ID}."""
    transfer = _found(request, transfer_id)
    to = posted(request, "to")
    asked = {transfer.payer.name: transfer.payer_id, transfer.payee_name: transfer.payee_id}
    participant_id = asked.get(to)
    transfer_id = transfer.transfer_id
    hold = hold_of(transfer_id) if participant_id == transfer.payee_id else None
    if participant_id is None or (hold is not None and hold.state != "RELEASED"):
        raise Http404  # the payee DFSP must not receive the state of a held transfer
    ledger.tell_state(transfer_id=transfer_id, requester=Recipient(participant_id, to, transfer.version))
    record("state_told_again", subject=to, actor=visitor_of(request).name, after={"transferId": transfer_id})
    messages.success(request, _("%(name)s is notified again of the state of this transfer.") % {"name": to})
    return redirect("transfer", transfer_id)
