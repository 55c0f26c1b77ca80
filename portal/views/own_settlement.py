"""The page of a participant's own settlements. For each window, the page shows the amounts that the participant owes or
receives."""

from collections.abc import Iterator
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from fspiop import money
from hub.downloads import Download
from hub.participants.models import Participant
from ledger.models import SettlementWindow
from portal import csv_export, pagination
from portal.queries import own_settlement
from portal.visitor import visitor_of
from settlement.bank_statements.matching import bare

_WINDOWS = 20
_LATEST = 20
_MOST = 5000


def _own(request: HttpRequest) -> Participant:
    dfsp_id = visitor_of(request).dfsp_id
    if dfsp_id is None:
        raise Http404
    return Participant.objects.get(pk=dfsp_id)


def index(request: HttpRequest) -> HttpResponse:
    participant = _own(request)
    page = pagination.by_id(request, SettlementWindow.objects.all(), size=_WINDOWS)
    context = {
        "participant": participant,
        "page": page,
        "windows": own_settlement.of_windows(page.rows, participant),
        "accounts": pagination.latest(own_settlement.settlements_of(participant.pk), _LATEST),
    }
    return render(request, "portal/own_settlement.html", context)


def _direction(net: int) -> str:
    """Returns DEBIT or CREDIT instead of a sign, because a spreadsheet program could read a sign as the start of a
    formula.
    """
    return "DEBIT" if net > 0 else "CREDIT" if net < 0 else ""


def windows_csv(request: HttpRequest) -> Download:
    headings = ["window", "state", "opened", "closed", "currency", "sent", "received", "direction", "net"]
    rows = _window_rows(_own(request), csv_export.cut_text(_MOST))
    return csv_export.response(request, "windows.csv", headings, [rows])


def _window_rows(participant: Participant, cut_text: str) -> Iterator[tuple[Any, ...]]:
    for own in own_settlement.all_windows(participant, most=_MOST):
        closed = own.window.closed_at.isoformat() if own.window.closed_at else ""
        opened = own.window.created_at.isoformat()
        for net in own.nets:
            sent, received, left = (money.format_amount(abs(amount)) for amount in (net.sent, net.received, net.net))
            direction = _direction(net.net)
            yield (own.window.pk, own.window.state, opened, closed, net.currency, sent, received, direction, left)
    if SettlementWindow.objects.order_by("-id")[_MOST : _MOST + 1].exists():
        yield (cut_text,)


def settlements_csv(request: HttpRequest) -> Download:
    headings = ["settlement", "state", "currency", "direction", "amount", "reference", "bankReference", "changed"]
    accounts = pagination.latest(own_settlement.settlements_of(_own(request).pk), _MOST)
    rows: list[tuple[Any, ...]] = [
        (
            account.settlement_id,
            account.state,
            account.account.currency,
            _direction(int(account.net)),
            money.format_amount(abs(int(account.net))),
            bare(account.transfer_id),
            account.external_reference,
            account.settlement.changed_at.isoformat(),
        )
        for account in accounts
    ]
    if accounts.has_more:
        rows.append((csv_export.cut_text(_MOST),))
    return csv_export.response(request, "settlements.csv", headings, [rows])
