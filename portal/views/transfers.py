"""The pages of transfers: search, export, and the history of one payment."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fspiop import money
from hub.audit import record
from hub.downloads import Download
from hub.outbox.messages import Recipient
from hub.participants.models import Participant
from ledger import accounts_and_funds as ledger
from ledger.held_transfers.queries import hold_of
from ledger.models import Transfer
from portal import csv_export, pagination
from portal.fields import AmountField
from portal.permissions import Right
from portal.posted_text import posted
from portal.queries import transfers
from portal.queries.transfer_history import story_of
from portal.queries.transfers import Wish
from portal.rules import decided
from portal.search_forms import DayField, Search
from portal.visitor import Visitor, visitor_of
from portal.words import states

_DEFAULT_SPAN = timedelta(days=7)
_STATES = states.choices("RESERVED", "COMMITTED", "ABORTED")


class TransferSearch(Search):
    id = forms.CharField(label=gettext_lazy("Any id"), required=False, max_length=36)
    alias = forms.CharField(label=gettext_lazy("Alias of a party"), required=False, max_length=128)
    dfsp = forms.CharField(label=gettext_lazy("Participant"), required=False, max_length=30)
    state = forms.ChoiceField(label=gettext_lazy("State"), required=False, choices=_STATES)
    error = forms.CharField(label=gettext_lazy("Error code"), required=False, max_length=4)
    currency = forms.CharField(label=gettext_lazy("Currency"), required=False, max_length=3)
    least = AmountField(label=gettext_lazy("Amount from"), required=False, may_be_zero=True)
    most = AmountField(label=gettext_lazy("Amount to"), required=False, may_be_zero=True)
    window = forms.IntegerField(label=gettext_lazy("Window"), required=False, min_value=1, max_value=2**31 - 1)
    since = DayField(label=gettext_lazy("From"), required=False)
    until = DayField(label=gettext_lazy("To"), required=False, is_end=True)

    def found(self, visitor: Visitor) -> list[Transfer] | None:
        """Returns the transfers with the id or alias in the form, or None if the form has no id and no alias."""
        self.is_valid()
        if any_id := self.cleaned_data.get("id"):
            return transfers.with_id(any_id, own=visitor.dfsp_id)
        if alias := self.cleaned_data.get("alias"):
            found = transfers.of_alias(alias, own=visitor.dfsp_id)
            # The audit trail records the search and its user, but not the alias.
            record("alias_looked_up", subject="transfers", actor=visitor.name, after={"found": len(found)})
            return found
        return None

    def wish(self, visitor: Visitor) -> Wish:
        """Returns the conditions from all other fields."""
        self.is_valid()
        said = {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}
        other, since, until = Q(), said.get("since"), said.get("until")
        if "window" in said:
            other, earliest, latest = transfers.in_window(said["window"])
            since, until = since or earliest, min(filter(None, (until, latest)), default=None)
        elif since is None:
            since = datetime.now(UTC) - _DEFAULT_SPAN
        lookups = {"currency": "currency", "least": "amount__gte", "most": "amount__lte"}
        if "currency" in said:
            said["currency"] = said["currency"].upper()
        narrowed = {lookup: said[name] for name, lookup in lookups.items() if name in said}
        return Wish(
            own=visitor.dfsp_id,
            dfsp=_participant_id(said["dfsp"]) if "dfsp" in said else None,
            since=since,
            until=until,
            state=said.get("state", ""),
            error=said.get("error", ""),
            other=other & Q(**narrowed),
        )


def _participant_id(name: str) -> int:
    """Returns the id of the participant with this name, or 0 for an unknown name. No participant has the id 0."""
    return Participant.objects.filter(name=name).values_list("pk", flat=True).first() or 0


def index(request: HttpRequest) -> HttpResponse:
    search = TransferSearch(request.GET)
    visitor = visitor_of(request)
    named = search.found(visitor)
    if named is not None:
        page = pagination.page_of(request, named, None, is_first=True)
        return render(request, "portal/transfers.html", {"search": search, "page": page})
    wish = search.wish(visitor)
    page, found = pagination.by_arrival(request, lambda before, size: transfers.latest(wish, before=before, size=size))
    context = {"search": search, "page": page, "stopped_at": found.stopped_at}
    return render(request, "portal/transfers.html", context)


def export(request: HttpRequest) -> Download:
    search, visitor = TransferSearch(request.GET), visitor_of(request)
    headings = ["transferId", "receivedAt", "payer", "payee", "amount", "currency", "state", "error", "completedAt"]
    named = search.found(visitor)
    found = transfers.all_of(search.wish(visitor), most=csv_export.MOST_ROWS) if named is None else iter([named])
    asked = {name: text for name, text in request.GET.items() if name != "alias"}
    answer = csv_export.response(
        request, "transfers.csv", headings, ([_line(each) for each in batch] for batch in found)
    )
    record("transfers_exported", subject="transfers", actor=visitor.name, after=asked)
    return answer


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
    visitor = visitor_of(request)
    context: dict[str, Any] = {"transfer": transfer, "story": story_of(transfer, dfsp_id=visitor.dfsp_id)}
    # A DFSP must not learn which rule fired. The payee DFSP must not see a held transfer.
    if visitor.may(Right.SEE_RULES):
        quote = context["story"].quote
        subjects = [transfer.transfer_id, *([quote.quote_id] if quote is not None else [])]
        context |= {"judgements": decided.judgements(subjects), "hold": hold_of(transfer.transfer_id)}
    return render(request, "portal/transfer.html", context)


def tell_again(request: HttpRequest, transfer_id: str) -> HttpResponse:
    """Sends the transfer's state to one of its two DFSPs, as if the DFSP had sent GET /transfers/{ID}."""
    transfer = _found(request, transfer_id)
    to = posted(request, "to")
    asked = {transfer.payer.name: transfer.payer_id, transfer.payee_name: transfer.payee_id}
    participant_id = asked.get(to)
    hold = hold_of(transfer_id) if participant_id == transfer.payee_id else None
    if participant_id is None or (hold is not None and hold.state != "RELEASED"):
        raise Http404  # the payee must not receive a held transfer's state
    ledger.tell_state(transfer_id=transfer_id, requester=Recipient(participant_id, to, transfer.version))
    record("state_told_again", subject=to, actor=visitor_of(request).name, after={"transferId": transfer_id})
    messages.success(request, _("%(name)s is notified again of the state of this transfer.") % {"name": to})
    return redirect("transfer", transfer_id)
