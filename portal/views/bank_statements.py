"""The pages of the settlement bank's statements, and the files of payments for the bank."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from fspiop import money
from hub.downloads import Download
from portal import change_request_forms, csv_export
from portal.visitor import visitor_of
from settlement import services
from settlement.bank_statements.matching import Expected, bare
from settlement.models import Settlement, Statement
from settlement.services.bank_statements import expected_of


def take_in(request: HttpRequest, settlement_id: int) -> HttpResponse:
    form = change_request_forms.StatementFile(request.POST, request.FILES)
    if not form.is_valid():
        messages.error(request, _("Choose a file that is not empty."))
        return redirect("settlement_of", settlement_id)
    file = form.cleaned_data["file"]
    try:
        found = services.take_in(settlement_id, name=file.name, octets=file.read(), actor=visitor_of(request).name)
    except services.NotTaken as reason:
        messages.error(request, str(reason))
        return redirect("settlement_of", settlement_id)
    if found.is_exact:
        messages.success(
            request, _("The statement matches this settlement: every line is expected, and no line is missing.")
        )
    else:
        messages.error(request, _("The statement does not match this settlement."))
    return redirect("statement", found.pk)


def _statement(statement_id: int) -> Statement:
    found = Statement.objects.select_related("settlement").filter(pk=statement_id).first()
    if found is None:
        raise Http404
    return found


def show(request: HttpRequest, statement_id: int) -> HttpResponse:
    """Shows each line of the statement with the expected amount. Also shows missing lines."""
    found = _statement(statement_id)
    expected = {account.account_id: account for account in expected_of(found.settlement)}
    lines = list(found.lines.order_by("number"))
    named = {line.account_id for line in lines}
    missing = [account for account in expected.values() if account.net and account.account_id not in named]
    return render(
        request,
        "portal/statement.html",
        {
            "statement": found,
            "lines": [(line, expected.get(line.account_id or 0)) for line in lines],
            "missing": missing,
        },
    )


def original(request: HttpRequest, statement_id: int) -> HttpResponse:
    """Returns the uploaded file as a download. The browser saves the file and does not display the file."""
    found = _statement(statement_id)
    answer = HttpResponse(bytes(found.body), content_type="application/octet-stream")
    kind = "xml" if bytes(found.body).lstrip().startswith(b"<") else "csv"
    answer["Content-Disposition"] = f'attachment; filename="statement-{found.pk}.{kind}"'
    return answer


def obligations(request: HttpRequest, settlement_id: int) -> Download:
    """Returns the file of payments for the bank. The bank's statement repeats each payment's own reference."""
    found = Settlement.objects.prefetch_related("contents").filter(pk=settlement_id).first()
    if found is None:
        raise Http404
    headings = ["settlement", "windows", "reference", "participant", "currency", "direction", "amount", "state"]
    windows = " ".join(str(number) for number in sorted({content.window_id for content in found.contents.all()}))
    rows = (_row(found, windows, account) for account in expected_of(found) if account.net)
    return csv_export.response(request, f"settlement-{found.pk}.csv", headings, [rows])


def _row(settlement: Settlement, windows: str, account: Expected) -> tuple[str | int, ...]:
    return (
        settlement.pk,
        windows,
        bare(account.reference),
        account.participant,
        account.currency,
        account.direction,
        money.format_amount(abs(account.net)),
        settlement.state,
    )
