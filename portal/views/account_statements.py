"""Pages and files of account statements, for a period of days."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fspiop import money
from hub.audit import record
from hub.downloads import Download
from ledger.models import Account
from portal import csv_export, pagination
from portal.queries import account_statements
from portal.queries.account_statements import Line, Span
from portal.search_forms import DayField, Search, no_file
from portal.visitor import participant_of, visitor_of

_USUAL_DAYS = 7
MOST_ROWS = 1_000_000  # the largest number of rows in a file; for a longer statement, the page offers no file


class Days(Search):
    since = DayField(label=gettext_lazy("From"))
    until = DayField(label=gettext_lazy("Until"), is_end=True)

    @classmethod
    def asked(cls, request: HttpRequest) -> "Days":
        """Returns the days in the page's address. If the address has no days, returns the last week."""
        today = timezone.localdate()
        usual = {"since": str(today - timedelta(days=_USUAL_DAYS - 1)), "until": str(today)}
        return cls(usual | {name: text for name, text in request.GET.items() if name in usual and text})

    def span(self, account: Account) -> Span:
        """Returns the entries of these days, or no entries if a day cannot be read."""
        now = timezone.now()
        if not self.is_valid():
            return account_statements.span(account, since=now, until=now)
        until: datetime = self.cleaned_data["until"]
        since: datetime = self.cleaned_data["since"]
        return account_statements.span(account, since=since, until=until)


def _account(request: HttpRequest, name: str, account_id: int) -> Account:
    participant = participant_of(request, name)
    found = participant.accounts.filter(pk=account_id).first() if account_id < 2**63 else None
    if found is None:
        raise Http404
    found.participant = participant
    return found


def show(request: HttpRequest, name: str, account_id: int) -> HttpResponse:
    account, days = _account(request, name, account_id), Days.asked(request)
    span = days.span(account)
    before = pagination.number_before(request)
    if before is not None and not span.first < before <= span.end.before:
        before = None
    size = pagination.PAGE_SIZE
    lines = account_statements.latest(span, before=before, size=size + 1, own=visitor_of(request).dfsp_id)
    last = lines[size - 1].entry.id if len(lines) > size else None
    page = pagination.page_of(request, lines[:size], last, is_first=before is None)
    context = {
        "account": account,
        "participant": account.participant,
        "search": days,
        "span": span,
        "page": page,
        "is_held": account_statements.is_held(account),
        "may_export": span.entries <= MOST_ROWS,
        "most": MOST_ROWS,
    }
    return render(request, "portal/account_statement.html", context)


_HEADINGS = ["entry", "at", "kind", "reference", "counterparty", "detail", "debit", "credit", "balance", "currency"]
_text = money.format_amount


def export(request: HttpRequest, name: str, account_id: int) -> HttpResponse | Download:
    account, visitor = _account(request, name, account_id), visitor_of(request)
    days = Days.asked(request)
    if not days.is_valid():
        return no_file(request, reverse("account_statement", args=[name, account_id]))
    span = days.span(account)
    if span.entries > MOST_ROWS:
        messages.error(
            request, _("A file can contain at most %(most)s entries. Choose fewer days.") % {"most": MOST_ROWS}
        )
        return redirect("account_statement", name, account_id)
    file = f"{name}-{account.type}-{account.currency}.csv".lower()
    answer = csv_export.response(request, file, _HEADINGS, _rows(span, own=visitor.dfsp_id))
    record(
        "statement_exported",
        subject=name,
        actor=visitor.name,
        after={"account": account.pk, "type": account.type, "currency": account.currency, "entries": span.entries},
    )
    return answer


def _rows(span: Span, *, own: int | None) -> Iterator[list[tuple[Any, ...]]]:
    """Yields the opening balance, each entry and the closing balance. A file without a closing balance is
    incomplete."""
    currency = span.account.currency
    yield [("", "", "OPENING", "", "", "", "", "", _text(span.opening_balance), currency)]
    for lines in account_statements.earliest(span, own=own):
        yield [(*_row(line), currency) for line in lines]
    totals = (_text(span.debits), _text(span.credits))
    yield [("", "", "CLOSING", "", "", "", *totals, _text(span.closing_balance), currency)]


def _row(line: Line) -> tuple[Any, ...]:
    entry = line.entry
    debit, credit = (_text(amount) if amount else "" for amount in (entry.debit, entry.credit))
    named = (line.reference, line.counterparty, line.detail)
    return (entry.id, entry.at.isoformat(), entry.kind, *named, debit, credit, _text(line.balance))
