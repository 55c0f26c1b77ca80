"""Transfers: search, export, and one payment's whole story."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fspiop import money
from hub.audit import record
from ledger import services as ledger
from ledger.models import Transfer
from portal import csv, paging
from portal.fields import AmountField
from portal.queries import transfers
from portal.search import DayField, Search
from portal.visitor import Visitor, visitor_of

_DEFAULT_SPAN = timedelta(days=7)
_STATES = [("", "–"), ("RESERVED", "RESERVED"), ("COMMITTED", "COMMITTED"), ("ABORTED", "ABORTED")]


class TransferSearch(Search):
    id = forms.CharField(label=gettext_lazy("Id"), required=False, max_length=36)
    dfsp = forms.CharField(label=gettext_lazy("Participant"), required=False, max_length=30)
    state = forms.ChoiceField(label=gettext_lazy("State"), required=False, choices=_STATES)
    error = forms.CharField(label=gettext_lazy("Error code"), required=False, max_length=4)
    currency = forms.CharField(label=gettext_lazy("Currency"), required=False, max_length=3)
    least = AmountField(label=gettext_lazy("Amount from"), required=False, may_be_zero=True)
    most = AmountField(label=gettext_lazy("Amount to"), required=False, may_be_zero=True)
    window = forms.IntegerField(label=gettext_lazy("Window"), required=False, min_value=1, max_value=2**31 - 1)
    since = DayField(label=gettext_lazy("From"), required=False)
    until = DayField(label=gettext_lazy("To"), required=False, is_end=True)

    def rows(self, visitor: Visitor) -> Any:
        self.is_valid()
        said = self.cleaned_data
        rows = transfers.visible(visitor.dfsp_id)
        if said.get("id"):
            return transfers.with_id(rows, said["id"])
        if said.get("dfsp"):
            rows = rows.filter(Q(payer__name=said["dfsp"]) | Q(payee__name=said["dfsp"]))
        if said.get("currency"):
            rows = rows.filter(currency=said["currency"].upper())
        if said.get("window"):
            rows = transfers.in_window(rows, said["window"])
        elif not said.get("since"):
            rows = rows.filter(received_at__gte=datetime.now(UTC) - _DEFAULT_SPAN)
        return self.filtered(
            rows,
            state="state",
            error="error_code",
            least="amount__gte",
            most="amount__lte",
            since="received_at__gte",
            until="received_at__lt",
        )


def index(request: HttpRequest) -> HttpResponse:
    search = TransferSearch(request.GET)
    before = _read_key(request.GET.get("before", ""))
    found = transfers.latest(search.rows(visitor_of(request)), before=before, size=paging.PAGE_SIZE + 1)
    rows = found[: paging.PAGE_SIZE]
    last = _key_of(rows[-1]) if len(found) > paging.PAGE_SIZE else None
    page = paging.page_of(request, rows, last, is_first=before is None)
    return render(request, "portal/transfers.html", {"search": search, "page": page})


def _key_of(transfer: Transfer) -> str:
    return f"{transfer.received_at.isoformat()} {transfer.transfer_id}"


def _read_key(text: str) -> tuple[datetime, str] | None:
    moment, _space, transfer_id = text.partition(" ")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (at, transfer_id[:36]) if at.tzinfo and "\0" not in transfer_id else None


def export(request: HttpRequest) -> StreamingHttpResponse:
    rows = TransferSearch(request.GET).rows(visitor_of(request))
    headings = ["transferId", "receivedAt", "payer", "payee", "amount", "currency", "state", "error", "completedAt"]
    found = transfers.all_of(rows, most=csv.MOST_ROWS)
    record("transfers_exported", subject="transfers", actor=visitor_of(request).name, after=dict(request.GET.items()))
    return csv.response("transfers.csv", headings, (_line(transfer) for transfer in found))


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
    found = (
        transfers.visible(visitor_of(request).dfsp_id).filter(pk=transfer_id).first()
        if len(transfer_id) <= 36
        else None
    )
    if found is None:
        raise Http404
    return found


def show(request: HttpRequest, transfer_id: str) -> HttpResponse:
    transfer = _found(request, transfer_id)
    story = transfers.story_of(transfer, dfsp_id=visitor_of(request).dfsp_id)
    return render(request, "portal/transfer.html", {"transfer": transfer, "story": story})


def tell_again(request: HttpRequest, transfer_id: str) -> HttpResponse:
    """Tells one of the two how the transfer stands, as if it had asked by GET /transfers/{ID}."""
    transfer = _found(request, transfer_id)
    to = request.POST.get("to", "")
    asked = {transfer.payer.name: transfer.payer_id, transfer.payee_name: transfer.payee_id}
    participant_id = asked.get(to)
    if participant_id is None:
        raise Http404
    ledger.tell_state(transfer_id=transfer_id, asker_id=participant_id, asker=to, version=transfer.version)
    record("state_told_again", subject=to, actor=visitor_of(request).name, after={"transferId": transfer_id})
    messages.success(request, _("%(name)s is told again how this transfer stands.") % {"name": to})
    return redirect("transfer", transfer_id)
