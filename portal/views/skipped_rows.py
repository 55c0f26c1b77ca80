"""Shows skipped rows with their errors. A skipped row is a row that a periodic batch of the hub could not process."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.sweeps import queries
from hub.sweeps import try_again as services
from hub.sweeps.models import SkippedRow
from portal import pagination
from portal.visitor import visitor_of

_NAMES = {
    "transfers": gettext_lazy("Expiry of transfers"),
    "bulks": gettext_lazy("Expiry of bulk transfers"),
    "conversions": gettext_lazy("Expiry of conversions"),
    "quotes": gettext_lazy("Expiry of quotes"),
    "bulk-quotes": gettext_lazy("Expiry of bulk quotes"),
    "fx-quotes": gettext_lazy("Expiry of FX quotes"),
    "requests-to-pay": gettext_lazy("Expiry of requests to pay"),
    "lookups": gettext_lazy("Lookups without a response"),
    "ended-lookups": gettext_lazy("Removal of completed lookups"),
    "questions": gettext_lazy("Questions without a response"),
    "ended-questions": gettext_lazy("Removal of completed questions"),
    "undeliverable": gettext_lazy("Requests not delivered in time"),
    "windows": gettext_lazy("Totals of closed windows"),
    "gross-settlement": gettext_lazy("Gross settlement"),
    "position-alarms": gettext_lazy("Position alarms"),
    "profiles": gettext_lazy("Counts of payments for the rules"),
    "account-marks": gettext_lazy("Running balances of accounts"),
    "outdated-requests": gettext_lazy("Withdrawal of requests that are out of date"),
    "invariants": gettext_lazy("Ledger checks"),
}
_PAGES = {"transfers": "transfer", "conversions": "conversion", "windows": "window", "outdated-requests": "approval"}


def name_of(batch: str) -> str:
    """Returns the name of a batch for display. If a batch processes only one currency, the name includes the
    currency."""
    kind, _space, currency = batch.partition(" ")
    return f"{_NAMES.get(kind, kind)} {currency}".strip()


def index(request: HttpRequest) -> HttpResponse:
    page = pagination.by_id(request, SkippedRow.objects.all())
    for row in page.rows:
        row.name = name_of(row.batch)
        row.page = _PAGES.get(row.batch) if row.row != queries.ALL else None
    counts = [(batch, name_of(batch), count) for batch, count in queries.counts()]
    return render(request, "portal/skipped.html", {"page": page, "counts": counts, "all": queries.ALL})


def try_again(request: HttpRequest, row_id: int) -> HttpResponse:
    return _told(request, services.try_again(row_id, actor=visitor_of(request).name))


def try_all_again(request: HttpRequest, batch: str) -> HttpResponse:
    return _told(request, services.try_all_again(batch, actor=visitor_of(request).name))


def _told(request: HttpRequest, count: int) -> HttpResponse:
    if count:
        messages.success(request, _("The hub retries %(count)s rows within seconds.") % {"count": count})
    else:
        messages.info(request, _("These rows are no longer skipped."))
    return redirect("skipped_rows")
