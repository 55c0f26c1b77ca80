"""The pages of certifications: the list, the form that starts a certification, and the cases and messages of one
run."""

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from directory.aliases import TYPES, Alias, check_form
from fspiop.errors import FspiopError
from hub import egress
from hub.participants.models import Participant
from portal import pagination
from portal.certification import outcomes_by_hand, report, starting_and_ending_runs
from portal.certification.cases import BY_NAME, CASES
from portal.certification.faults import texts
from portal.certification.models import Certification, CertificationCase
from portal.certification.options import UNKNOWN, Options
from portal.certification.shown_messages import at
from portal.visitor import visitor_of

_LARGEST_NUMBER = 2**63 - 1


class StartForm(forms.Form):
    payee_type = forms.ChoiceField(
        label=gettext_lazy("Type of the test customer's identifier"),
        choices=[(each, each) for each in sorted(TYPES)],
        initial="MSISDN",
    )
    payee = forms.CharField(
        label=gettext_lazy("Identifier of the test customer"),
        max_length=128,
        help_text=gettext_lazy("A customer of the participant with an account in the test currency XTS."),
    )
    unknown = forms.CharField(
        label=gettext_lazy("Unknown identifier"),
        max_length=128,
        initial=UNKNOWN,
        help_text=gettext_lazy("An identifier of the same type that nobody has."),
    )
    outbound = forms.URLField(
        label=gettext_lazy("URL of the outbound API"),
        required=False,
        assume_scheme="https",
        max_length=256,
        help_text=gettext_lazy(
            "With the URL of the participant's connector, the test makes the payments itself. Without a URL, the page"
            " shows the payments that a person at the participant must make."
        ),
    )
    sdk_outbound = forms.URLField(
        label=gettext_lazy("URL of the outbound API for bulks"),
        required=False,
        assume_scheme="https",
        max_length=256,
        help_text=gettext_lazy(
            "The URL of an API with the calls /bulkQuotes and /bulkTransfers of Mojaloop's SDK. With this URL, the test"
            " makes the outgoing bulk itself."
        ),
    )
    left_out = forms.MultipleChoiceField(
        label=gettext_lazy("Cases to leave out"),
        choices=[(case.name, case.title) for case in CASES if case.is_optional],
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )

    def clean_outbound(self) -> str:
        return self._checked("outbound")

    def clean_sdk_outbound(self) -> str:
        return self._checked("sdk_outbound")

    def _checked(self, field: str) -> str:
        url: str = self.cleaned_data[field]
        if url and urlsplit(url).query:
            raise forms.ValidationError(_("The URL must not have a query."))
        if url:
            try:
                egress.check_url(url)
            except ValueError:
                raise forms.ValidationError(_("The hub is not allowed to call this address.")) from None
        return url

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        for name in ("payee", "unknown"):
            if said.get(name) and said.get("payee_type"):
                try:
                    check_form(Alias(said["payee_type"], said[name]))
                except FspiopError:
                    self.add_error(name, _("This identifier does not fit its type."))
        return said


def index(request: HttpRequest) -> HttpResponse:
    page = pagination.by_id(request, starting_and_ending_runs.of())
    return render(request, "portal/certifications.html", {"page": page})


def of_participant(request: HttpRequest, name: str) -> HttpResponse:
    """Shows the participant's certifications, and the form that starts another certification."""
    participant = Participant.objects.filter(name=name, is_hub=False).first()
    if participant is None:
        raise Http404
    form = StartForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        options = Options(
            payee=said["payee"],
            payee_type=said["payee_type"],
            unknown=said["unknown"],
            outbound=said["outbound"],
            sdk_outbound=said["sdk_outbound"],
            left_out=tuple(said["left_out"]),
        )
        try:
            made = starting_and_ending_runs.ask(participant, options, asked_by=visitor_of(request).name)
        except starting_and_ending_runs.NotStarted:
            form.add_error(
                None, _("Only an active participant that has an endpoint and is not leaving can be certified.")
            )
        else:
            return redirect("certification", made.pk)
    context = {
        "participant": participant,
        "form": form,
        "page": pagination.by_id(request, starting_and_ending_runs.of(participant)),
    }
    return render(request, "portal/certify.html", context, status=400 if form.errors else 200)


def show(request: HttpRequest, number: int) -> HttpResponse:
    return render(request, "portal/certification.html", _context(number))


def live(request: HttpRequest, number: int) -> HttpResponse:
    """Returns the part of the page that the browser reloads until the run has ended."""
    return render(request, "portal/certification_live.html", _context(number))


def report_outcome(request: HttpRequest, number: int, case: str) -> HttpResponse:
    """Stores which state the DFSP's own system shows for a payment that a person made by hand."""
    found, state = _found(number), request.POST.get("state", "")
    if state not in outcomes_by_hand.STATES:
        return HttpResponseBadRequest()
    outcomes_by_hand.report(found, case, state=state, actor=visitor_of(request).name)
    return redirect("certification", found.pk)


def download_json(request: HttpRequest, number: int) -> HttpResponse:
    found = _judged(number)
    return _file(report.file_of(found).encode(), "application/json", f"certification-{found.pk}.json")


def download_pdf(request: HttpRequest, number: int) -> HttpResponse:
    from portal.certification import pdf  # imported here, because few requests need this large library

    found = _judged(number)
    return _file(pdf.document(found), "application/pdf", f"certification-{found.pk}.pdf")


def _file(content: bytes, content_type: str, name: str) -> HttpResponse:
    return HttpResponse(
        content, content_type=content_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def _found(number: int) -> Certification:
    found = starting_and_ending_runs.of().filter(pk=min(number, _LARGEST_NUMBER)).first()
    if found is None:
        raise Http404
    return found


def _judged(number: int) -> Certification:
    found = _found(number)
    if not found.report:
        raise Http404
    return found


def _context(number: int) -> dict[str, Any]:
    found = _found(number)
    cases = [_case(case) for case in found.cases.all() if case.name in BY_NAME]
    done = sum(case["row"].ended_at is not None for case in cases)
    return {
        "run": found,
        "cases": cases,
        "bad": [case for case in cases if case["is_open"]],
        "done": done,
        "percent": 100 * done // len(cases) if cases else 0,
        "has_new_address": found.state == Certification.State.PASSED
        and starting_and_ending_runs.has_new_address(found),
        "states": outcomes_by_hand.STATES,
        "payee": f"{found.options['payee_type']}/{found.options['payee']}",
    }


def _case(case: CertificationCase) -> dict[str, Any]:
    return {
        "row": case,
        "case": BY_NAME[case.name],
        "faults": [texts(each) for each in case.faults],
        "messages": [each | {"moment": at(each)} for each in case.exchanges],
        "reported": case.reported and case.reported | {"state": outcomes_by_hand.STATES[case.reported["state"]]},
        "is_open": case.verdict in (CertificationCase.Verdict.FAILED, CertificationCase.Verdict.NOT_JUDGED),
    }
