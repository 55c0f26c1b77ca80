"""The pages of a certification: a run with a payment to make, and a failed one."""

import json

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db.models import Q
from django.utils import timezone

from hub.participants.models import Participant
from portal.certification import report, starting_and_ending_runs
from portal.certification.faults import fault
from portal.certification.models import Certification, CertificationCase
from portal.certification.options import Options
from portal.certification.shown_messages import Exchange
from portal.permissions import Role
from tests.browser import scheme
from tests.browser.conftest import Open
from tests.browser.looks import Look, faults_of, in_every_look
from tests.portal.people import person

BANK = "kilele-sacco"
TRANSFER = "b51ec534-ee48-4575-b6a9-ead2955b8069"
Verdict = CertificationCase.Verdict


@pytest.fixture
def operator(transactional_db: None) -> User:
    cache.clear()
    scheme.begin(payments=4)
    return person(Role.OPERATOR, name="asha")


def begun() -> Certification:
    bank = Participant.objects.get(name=BANK)
    made = starting_and_ending_runs.ask(
        bank, Options(payee="255770000001", outbound="http://127.0.0.1:4001"), asked_by="asha"
    )
    starting_and_ending_runs.take(made)
    now = timezone.now()
    made.cases.filter(number__lte=9).update(verdict=Verdict.PASSED, started_at=now, ended_at=now)
    messages = [
        message("certifier", BANK, "POST", "/transfers", 202, {"transferId": TRANSFER}),
        message(BANK, "certifier", "PUT", f"/transfers/{TRANSFER}", 200, {"transferState": "RESERVED"}),
    ]
    found = [fault("wrong_fulfilment").as_json()]
    made.cases.filter(name="payee-transfer").update(verdict=Verdict.FAILED, faults=found, exchanges=messages)
    reason = [fault("no_signatures").as_json()]
    made.cases.filter(name="payee-bad-signature").update(verdict=Verdict.LEFT_OUT, faults=reason)
    return made


def message(sender: str, recipient: str, method: str, path: str, status: int, body: object) -> dict[str, object]:
    return Exchange(
        at=timezone.now().timestamp(), sender=sender, recipient=recipient, way="hub", method=method, path=path,
        status=status, is_signed=True, body=json.dumps(body, indent=2),
    ).as_json()  # fmt: skip


@in_every_look
def test_the_pages_fit_and_are_accessible(open_window: Open, operator: User, look: Look) -> None:
    run = begun()
    values = {"to": {"idType": "MSISDN", "idValue": "999000000001"}, "amount": "7.5", "currency": "XTS"}
    instruction = {"what": "payments", "values": values}
    run.cases.filter(name="payer-transfer").update(verdict=Verdict.RUNNING, instruction=instruction)
    question = {"what": "outcome", "values": values}
    run.cases.filter(name="payer-rejection").update(verdict=Verdict.RUNNING, instruction=question)
    pages = {"certification-running": f"/portal/certifications/{run.pk}/"}
    assert faults_of(open_window, operator, pages, look) == []
    run.cases.filter(ended_at=None).update(verdict=Verdict.PASSED, ended_at=timezone.now(), instruction=None)
    report.finish(run)
    pages = {
        "certification": f"/portal/certifications/{run.pk}/",
        "certifications": "/portal/certifications/",
        "certify": f"/portal/participants/{BANK}/certify/",
    }
    assert faults_of(open_window, operator, pages, look) == []


def test_what_a_person_has_closed_stays_closed_when_the_page_is_reloaded(open_window: Open, operator: User) -> None:
    run = begun()
    window = open_window(operator)
    window.go(f"/portal/certifications/{run.pk}/")
    window.page.click("#summary-payee-transfer")
    starting_and_ending_runs.interrupt(Q(pk=run.pk))
    window.page.wait_for_selector(".state:has-text('Interrupted')")  # the poll has replaced the cases
    assert not window.page.evaluate("document.getElementById('messages-payee-transfer').open")
