"""The pages of settlement. On these pages, a user closes windows and carries out the steps of a settlement."""

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fspiop.errors import FspiopError
from ledger.models import CoverHold, SettlementWindow
from portal import change_request_forms, pagination
from portal.changes import Line
from portal.changes.settlements_and_cover_holds import described_payments, hold_terms, payment_terms
from portal.queries import settlement_next_step, settlement_steps
from portal.views.request_change import AskForm, asking
from portal.visitor import visitor_of
from portal.words import states
from portal.words.errors import words_for
from settlement import change_request_terms, queries, services, window_nets
from settlement.models import Payment, Settlement, Statement
from settlement.services import bank_payments
from settlement.states import MAY_ABORT, STEPS, State, steps_left

_LATEST = 20
_NAMES = {
    State.PS_TRANSFERS_RECORDED: gettext_lazy("Recorded: the net amounts are fixed"),
    State.PS_TRANSFERS_RESERVED: gettext_lazy("Reserved: net recipients are settled in the hub"),
    State.PS_TRANSFERS_COMMITTED: gettext_lazy("Committed: net senders are settled in the hub"),
    State.SETTLED: gettext_lazy("Settled: the bank has moved the money"),
}


def index(request: HttpRequest) -> HttpResponse:
    page = pagination.by_id(request, SettlementWindow.objects.exclude(state="OPEN"))
    waiting = queries.with_waiting_contents(page.rows)
    for window in page.rows:
        window.is_late = settlement_next_step.is_window_late(window)
        window.waits_in_part = window.state == "PENDING_SETTLEMENT" and window.pk in waiting
    latest = pagination.latest(_settlements(), _LATEST)
    return render(
        request,
        "portal/settlement.html",
        {
            "open": SettlementWindow.objects.filter(state="OPEN").first(),
            "page": page,
            "settlements": replace(latest, rows=[_with_lateness(each) for each in latest]),
            "form": change_request_forms.Reason(),
        },
    )


def index_of_settlements(request: HttpRequest) -> HttpResponse:
    page = pagination.by_id(request, _settlements())
    rows = [_with_lateness(each) for each in page.rows]
    return render(request, "portal/settlements.html", {"page": page, "settlements": rows})


def _with_lateness(settlement: Any) -> Any:
    """Sets `is_late` on a settlement. A settlement is late if it has been in the same state for too long."""
    settlement.is_late = settlement_next_step.is_late(settlement)
    return settlement


def _settlements() -> "QuerySet[Settlement]":
    return Settlement.objects.select_related("model").order_by("-id")


def close(request: HttpRequest, window_id: int) -> HttpResponse:
    form = change_request_forms.Reason(request.POST)
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
            "form": change_request_forms.NewSettlement(window=found),
        },
    )


def create(request: HttpRequest, window_id: int) -> HttpResponse:
    form = change_request_forms.NewSettlement(request.POST, window=_window(window_id))
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
    statements = list(found.statements.defer("body").order_by("-id"))
    latest = statements[0] if statements else None
    holds = list(
        CoverHold.objects.filter(settlement_number=found.pk, remaining__gt=0).select_related("account__participant")
    )
    return render(
        request,
        "portal/settlement_of.html",
        {
            "settlement": found,
            "steps": [(_NAMES[step], number < done, number == done) for number, step in enumerate(STEPS)],
            "plan": settlement_steps.planned(found, _NAMES),
            "statements": statements,
            "next": settlement_next_step.of(found, latest, is_held=bool(holds)),
            "is_late": settlement_next_step.is_late(found),
            "differences": settlement_next_step.differences(found, latest),
            "proposals": _proposals(found, latest),
            "payments": _payments(found),
            "form": change_request_forms.StatementFile(),
            "owed": change_request_terms.owed_of(found),
            "holds": holds,
            "events": pagination.latest(
                found.events.select_related("account__account__participant").order_by("-id"), 100
            ),
            "may_go_on": found.state not in (State.SETTLED, State.ABORTED),
            "may_abort": State(found.state) in MAY_ABORT,
        },
    )


def _proposals(settlement: Settlement, latest: Statement | None) -> list[bank_payments.Proposal]:
    """Returns the payments that the latest bank statement proves. If the hub cannot record these payments now, returns
    no payments."""
    may_pay = settlement.state in bank_payments.MAY_PAY and bank_payments.is_for_funds(settlement)
    if not may_pay or latest is None or not latest.is_exact:
        return []
    try:
        return bank_payments.proposed(settlement, latest)
    except bank_payments.NotPaid:
        return []


def _payments(settlement: Settlement) -> "QuerySet[Payment]":
    """Returns the payments that the hub recorded together with the step SETTLED."""
    found = Payment.objects.filter(account__settlement=settlement).order_by("id")
    return found.select_related("account__account__participant", "movement")


def pay(request: HttpRequest, settlement_id: int) -> HttpResponse:
    """Submits one request with two effects: the hub records the bank's payments, and the settlement becomes SETTLED."""
    found = _settlement(settlement_id)
    statement = bank_payments.evidence(found)
    if statement is None or found.state not in bank_payments.MAY_PAY or not bank_payments.is_for_funds(found):
        raise Http404
    try:
        proposals = bank_payments.proposed(found, statement)
    except bank_payments.NotPaid as why:
        messages.error(request, str(why))
        return redirect("settlement_of", found.pk)
    reason = _("Payments in bank statement %(number)s") % {"number": statement.pk}
    return asking(
        request,
        "settle_with_payments",
        form=AskForm(request.POST or None, initial={"reason": reason}),
        subject=f"settlement {found.pk}",
        payload=lambda said: payment_terms(found, statement, said["reason"]),
        back=reverse("settlement_of", args=[found.pk]),
        facts=[
            Line(_("Settlement"), found.pk),
            Line(
                _("Bank's statement"),
                _("statement %(number)s; every line matches an expected payment") % {"number": statement.pk},
            ),
            *described_payments([each.terms() for each in proposals]),
        ],
    )


def advance(request: HttpRequest, settlement_id: int) -> HttpResponse:
    found = _settlement(settlement_id)
    left = [(step.value, _NAMES[step]) for step in steps_left(found.state)]
    if not left:
        raise Http404
    lacks_statement = change_request_terms.evidence_of(found) is None and change_request_terms.is_any_owed(found)
    form = change_request_forms.SettlementStep(
        request.POST or None, steps=left, lacks_statement=lacks_statement, initial={"to": left[0][0]}
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
            Line(_("Now"), states.word_of(found.state)),
            *([none_yet] if lacks_statement else []),
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
        facts=[Line(_("Settlement"), found.pk), Line(_("Now"), states.word_of(found.state))],
    )
