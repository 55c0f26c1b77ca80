"""The pages about held transfers. A user can request the release or the refusal of a held transfer."""

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ledger.held_transfers import queries
from ledger.held_transfers.models import HeldTransfer
from portal import pagination
from portal.changes import Line
from portal.rules import held
from portal.search_forms import ParticipantField, Search
from portal.views.request_change import AskForm, asking
from rules.language.refusal_codes import is_scheme_code

_MOST = 200


class HeldSearch(Search):
    payer = ParticipantField(label=gettext_lazy("Payer DFSP"))
    payee = ParticipantField(label=gettext_lazy("Payee DFSP"))


def index(request: HttpRequest) -> HttpResponse:
    """Shows the held transfers, sorted by the time of release. Also shows the transfers that were released or refused
    most recently.

    If there are many held transfers, the page shows only those with the earliest times of release. To find a transfer
    with a later time of release, a user searches for the transfer's payer DFSP or payee DFSP.
    """
    related, search = ("transfer__payer", "transfer__payee"), HeldSearch(request.GET)
    found = search.filtered(queries.held().select_related(*related), payer="transfer__payer", payee="transfer__payee")
    waiting = list(found[: _MOST + 1])
    context = {
        "search": search,
        "waiting": held.with_rules(waiting[:_MOST]),
        "has_more": len(waiting) > _MOST,
        "ended": pagination.latest(queries.ended().select_related(*related), 50),
    }
    return render(request, "portal/held_transfers.html", context)


class Refusal(AskForm):
    code = forms.CharField(
        label=gettext_lazy("Error code"),
        max_length=4,
        initial="3140",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
        help_text=gettext_lazy("The payer DFSP and the payee DFSP receive this error code of the scheme."),
    )

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        if not is_scheme_code(code):
            raise forms.ValidationError(
                _("Enter an error code of the scheme, for example %(code)s.") % {"code": "3140"}
            )
        return code


def _hold(transfer_id: str) -> HeldTransfer:
    found = queries.held().filter(pk=transfer_id, refusal_code__isnull=True).first() if len(transfer_id) <= 36 else None
    if found is None:
        raise Http404
    return found


def facts_of(hold: HeldTransfer) -> list[Line]:
    return [
        Line(_("Transfer"), hold.pk),
        Line(_("Amount"), hold.transfer.amount, hold.transfer.currency),
        Line(_("Held until"), hold.until),
        Line(_("Expires"), hold.transfer.expires_at),
    ]


def release(request: HttpRequest, transfer_id: str) -> HttpResponse:
    hold = _hold(transfer_id)
    return asking(
        request,
        "release_held",
        form=AskForm(request.POST or None),
        subject=hold.pk,
        payload=lambda said: {"transfer": hold.pk, "reason": said["reason"]},
        back=reverse("held_transfers"),
        facts=facts_of(hold),
    )


def refuse(request: HttpRequest, transfer_id: str) -> HttpResponse:
    hold = _hold(transfer_id)
    return asking(
        request,
        "refuse_held",
        form=Refusal(request.POST or None),
        subject=hold.pk,
        payload=lambda said: {"transfer": hold.pk, "code": said["code"], "reason": said["reason"]},
        back=reverse("held_transfers"),
        facts=facts_of(hold),
    )
