"""The pages of settlement: closing of windows, and settlements step by step."""

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fspiop.errors import FspiopError
from ledger.models import CoverHold, SettlementWindow
from portal import forms, pagination
from portal.changes import Line
from portal.changes.settlement import hold_terms
from portal.queries import settlement_steps
from portal.views.request_change import AskForm, asking
from portal.visitor import visitor_of
from portal.words.errors import words_for
from settlement import change_request_terms, queries, services, window_nets
from settlement.models import Settlement
from settlement.states import MAY_ABORT, STEPS, State

_LATEST = 20
_NAMES = {
    State.PS_TRANSFERS_RECORDED: gettext_lazy("Recorded: the net amounts are fixed"),
    State.PS_TRANSFERS_RESERVED: gettext_lazy("Reserved: net recipients are settled in the hub"),
    State.PS_TRANSFERS_COMMITTED: gettext_lazy("Committed: net senders are settled in the hub"),
    State.SETTLED: gettext_lazy("Settled: the bank has moved the money"),
}


def index(request: HttpRequest) -> HttpResponse:
    windows = SettlementWindow.objects.exclude(state="OPEN")
    return render(
        request,
        "portal/settlement.html",
        {
            "open": SettlementWindow.objects.filter(state="OPEN").first(),
            "page": pagination.by_id(request, windows),
            "settlements": pagination.latest(_settlements(), _LATEST),
            "form": forms.Reason(),
        },
    )


def index_of_settlements(request: HttpRequest) -> HttpResponse:
    page = pagination.by_id(request, _settlements())
    return render(request, "portal/settlements.html", {"page": page, "settlements": page.rows})


def _settlements() -> "QuerySet[Settlement]":
    return Settlement.objects.select_related("model").order_by("-id")


def close(request: HttpRequest, window_id: int) -> HttpResponse:
    form = forms.Reason(request.POST)
    if not form.is_valid():
        messages.error(request, _("Enter a reason for closing the window."))
        return redirect("settlement")
    try:
        done = services.close_window(
            reason=form.cleaned_data["reason"], actor=visitor_of(request).name, window_id=window_id
        )
    except FspiopError as error:
        messages.error(request, words_for(error))
        return redirect("settlement")
    told = {"closed": done.closed.pk, "opened": done.opened.pk}
    messages.success(request, _("Window %(closed)s is closed. Window %(opened)s is open.") % told)
    return redirect("window", done.closed.pk)


def _window(window_id: int) -> SettlementWindow:
    found = SettlementWindow.objects.filter(pk=window_id).first()
    if found is None:
        raise Http404
    return found


def window(request: HttpRequest, window_id: int) -> HttpResponse:
    found = _window(window_id)
    return render(
        request,
        "portal/window.html",
        {
            "window": found,
            "nets": window_nets.of_window(found),
            "contents": found.contents.order_by("id"),  # type: ignore[attr-defined]
            "settlements": queries.settlements(window_id=found.pk),
            "form": forms.NewSettlement(),
        },
    )


def create(request: HttpRequest, window_id: int) -> HttpResponse:
    _window(window_id)
    form = forms.NewSettlement(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose a model and enter a reason."))
        return redirect("window", window_id)
    try:
        settlement = services.create(
            model_name=form.cleaned_data["model"].name,
            window_ids=[window_id],
            reason=form.cleaned_data["reason"],
            actor=visitor_of(request).name,
        )
    except FspiopError as error:
        messages.error(request, words_for(error))
        return redirect("window", window_id)
    return redirect("settlement_of", settlement.pk)


def _settlement(settlement_id: int) -> Settlement:
    found = queries.with_parts().filter(pk=settlement_id).first()
    if found is None:
        raise Http404
    return found


def show(request: HttpRequest, settlement_id: int) -> HttpResponse:
    found = _settlement(settlement_id)
    done = settlement_steps.steps_reached(found)
    return render(
        request,
        "portal/settlement_of.html",
        {
            "settlement": found,
            "steps": [(_NAMES[step], number < done, number == done) for number, step in enumerate(STEPS)],
            "plan": settlement_steps.planned(found, _NAMES),
            "statements": found.statements.defer("body").order_by("-id"),
            "form": forms.StatementFile(),
            "owed": change_request_terms.owed_of(found),
            "holds": CoverHold.objects.filter(settlement_number=found.pk, remaining__gt=0).select_related(
                "account__participant"
            ),
            "events": pagination.latest(
                found.events.select_related("account__account__participant").order_by("-id"), 100
            ),
            "may_go_on": found.state not in (State.SETTLED, State.ABORTED),
            "may_abort": State(found.state) in MAY_ABORT,
        },
    )


def advance(request: HttpRequest, settlement_id: int) -> HttpResponse:
    found = _settlement(settlement_id)
    now = STEPS.index(State(found.state)) if found.state in STEPS else -1
    left = [(step.value, _NAMES[step]) for step in STEPS[now + 1 :]]
    has_statement = change_request_terms.evidence_of(found) is not None
    form = forms.SettlementStep(
        request.POST or None, steps=left, has_statement=has_statement, initial={"to": State.SETTLED.value}
    )
    none_yet = Line(_("Bank's statement"), _("none uploaded"))
    return asking(
        request,
        "advance_settlement",
        form=form,
        subject=f"settlement {found.pk}",
        payload=lambda said: change_request_terms.terms(found, said["to"], said["reason"], said["because"]),
        back=reverse("settlement_of", args=[found.pk]),
        facts=[
            Line(_("Settlement"), found.pk),
            Line(_("Now"), found.state),
            *([] if has_statement else [none_yet]),
        ],
    )


def release_hold(request: HttpRequest, hold_id: int) -> HttpResponse:
    hold = CoverHold.objects.select_related("account__participant").filter(pk=hold_id, remaining__gt=0).first()
    if hold is None:
        raise Http404
    terms = hold_terms(hold)
    return asking(
        request,
        "release_hold",
        form=AskForm(request.POST or None),
        subject=f"settlement {hold.settlement_number}",
        payload=lambda said: terms | {"reason": said["reason"]},
        back=reverse("settlement_of", args=[hold.settlement_number]),
        facts=[
            Line(_("Settlement"), hold.settlement_number),
            Line(_("Participant"), terms["participant"]),
            Line(_("On hold until the bank has moved the money"), hold.remaining, terms["currency"]),
        ],
    )


def abort(request: HttpRequest, settlement_id: int) -> HttpResponse:
    found = _settlement(settlement_id)
    return asking(
        request,
        "abort_settlement",
        form=AskForm(request.POST or None),
        subject=f"settlement {found.pk}",
        payload=lambda said: change_request_terms.terms(found, State.ABORTED.value, said["reason"]),
        back=reverse("settlement_of", args=[found.pk]),
        facts=[Line(_("Settlement"), found.pk), Line(_("Now"), found.state)],
    )
