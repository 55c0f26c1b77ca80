"""The life of a run without its process, and the pages."""

import asyncio
import json
import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from fspiop import jws
from hub.audit.models import Entry
from hub.participants.models import Participant
from portal.certification import outcomes_by_hand, report, starting_and_ending_runs
from portal.certification.cases import CASES
from portal.certification.faults import TEXTS, NotJudged, fault, texts
from portal.certification.models import Certification, CertificationCase
from portal.certification.options import Options, read
from portal.certification.recorded_requests import Door
from portal.certification.run_for_one_dfsp import Run
from portal.certification.shown_messages import Exchange
from portal.permissions import Role
from portal.tasks import certify
from tests.certification.test_other_dfsps import no_endpoint
from tests.portal.people import browser_of, person
from tests.proofs import key_of, private_pem
from tests.world import World

Verdict = CertificationCase.Verdict
OPTIONS = Options(payee="255799000001")


@pytest.fixture
def green(world: World) -> Participant:
    return Participant.objects.get(name="green")


def judged(dfsp: Participant, **verdicts: Any) -> Certification:
    """A certification whose cases have these verdicts, and PASSED otherwise."""
    made = starting_and_ending_runs.ask(dfsp, OPTIONS, asked_by="asha")
    starting_and_ending_runs.take(made)
    made.cases.update(verdict=Verdict.PASSED, ended_at=timezone.now())
    for name, (verdict, faults) in verdicts.items():
        found = [each.as_json() for each in faults]
        made.cases.filter(name=name.replace("_", "-")).update(verdict=verdict, faults=found)
    message = Exchange(
        at=1.0, sender="certifier", recipient="green", way="direct", method="POST", path="/quotes", status=202,
        is_signed=True, body='{"a": 1}',
    )  # fmt: skip
    made.cases.filter(name="payee-quote").update(exchanges=[message.as_json()])
    report.finish(made)
    made.refresh_from_db()
    return made


def test_a_run_with_an_unjudged_case_fails(green: Participant) -> None:
    assert judged(green, names=(Verdict.NOT_JUDGED, [fault("step_failed", what="x")])).state == "FAILED"
    assert judged(green, payee_bulk=(Verdict.LEFT_OUT, [fault("left_out")])).state == "PASSED"


def test_a_dfsp_that_is_leaving_is_not_certified(green: Participant) -> None:
    green.leaving_since = timezone.now()
    with pytest.raises(starting_and_ending_runs.NotStarted, match="is leaving"):
        starting_and_ending_runs.ask(green, OPTIONS, asked_by="asha")


def test_a_judged_certification_never_changes(green: Participant) -> None:
    made = judged(green)
    assert made.state == "PASSED"
    with pytest.raises(DatabaseError), transaction.atomic():
        Certification.objects.filter(pk=made.pk).update(report="{}")


def test_the_report_is_signed_with_the_hubs_key(green: Participant, settings: Any, tmp_path: Any) -> None:
    settings.HUB_SIGNING_KEY_FILE = ""
    assert judged(green).signature == ""
    key = key_of("Hub")
    (tmp_path / "hub.key").write_text(private_pem(key))
    settings.HUB_SIGNING_KEY_FILE = str(tmp_path / "hub.key")
    made = judged(green)
    assert report.verify(made.signature, key.public_key()) == json.loads(made.report)
    changed = made.signature.rpartition(".")[0] + "." + report.sign("{}").rpartition(".")[2]
    with pytest.raises(ValueError, match="has not signed"):
        report.verify(changed, key.public_key())
    assert jws.load_private_key(private_pem(key).encode())


def test_one_run_of_a_dfsp_is_open_at_once(green: Participant) -> None:
    first = starting_and_ending_runs.ask(green, OPTIONS, asked_by="asha")
    assert starting_and_ending_runs.ask(green, OPTIONS, asked_by="juma") == first
    assert [case.name for case in first.cases.all()] == [case.name for case in CASES]
    assert read(first.options) == OPTIONS
    assert Entry.objects.filter(action="certification_requested", actor="asha").count() == 1
    green.is_active = False
    green.save()
    with pytest.raises(starting_and_ending_runs.NotStarted):
        starting_and_ending_runs.ask(green, OPTIONS, asked_by="asha")


@pytest.mark.django_db(transaction=True)
def test_a_run_without_its_process_ends_as_interrupted(green: Participant, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    class Dies:
        def __init__(self, command: list[str], **_: Any) -> None:
            started.append(command)
            assert starting_and_ending_runs.take(made)

        def wait(self) -> int:
            return -9

    made = starting_and_ending_runs.ask(green, OPTIONS, asked_by="asha")
    monkeypatch.setattr(starting_and_ending_runs.subprocess, "Popen", Dies)
    certify()
    assert started[0][1:][-2:] == ["certify", "--waiting"]
    for thread in threading.enumerate():
        if thread.name == "certification-process":
            thread.join(10)
    made.refresh_from_db()
    assert (made.state, made.fault) == ("INTERRUPTED", starting_and_ending_runs._INTERRUPTED)
    stale = starting_and_ending_runs.ask(green, OPTIONS, asked_by="asha")
    assert starting_and_ending_runs.take(stale)
    assert starting_and_ending_runs.end_stale() == 0
    Certification.objects.filter(pk=stale.pk).update(told_at=timezone.now() - timedelta(minutes=3))
    assert starting_and_ending_runs.end_stale() == 1


def test_every_fault_has_texts_that_its_values_fill() -> None:
    import re

    for code, both in TEXTS.items():
        names = {name for text in both for name in re.findall(r"%\((\w+)\)s", str(text))}
        filled = texts({"code": code, "values": dict.fromkeys(names, "x")})
        assert all("%(" not in text for text in filled), code
    assert texts({"code": "of an earlier version", "values": {}}) == ("of an earlier version", "")


def asked_about_a_payment(dfsp: Participant) -> Certification:
    """A certification in which a person must report the state of a payment."""
    made = starting_and_ending_runs.ask(dfsp, OPTIONS, asked_by="asha")
    starting_and_ending_runs.take(made)
    values = {"to": {"idType": "MSISDN", "idValue": "999000000004"}, "amount": "4.5", "currency": "XTS"}
    made.cases.filter(name="payer-timeout").update(verdict="RUNNING", instruction={"what": "outcome", "values": values})
    return made


def test_an_operator_reports_once_which_state_the_dfsp_shows(green: Participant) -> None:
    made = asked_about_a_payment(green)
    operator, viewer = browser_of(person(Role.OPERATOR)), browser_of(person(Role.VIEWER))
    page, url = f"/portal/certifications/{made.pk}/", f"/portal/certifications/{made.pk}/payer-timeout/outcome/"
    assert url not in viewer.get(page).content.decode()
    assert url in operator.get(page).content.decode()
    assert viewer.post(url, {"state": "ABORTED"}).status_code == 403
    assert operator.post(url, {"state": "unknown"}).status_code == 400
    assert outcomes_by_hand.reported(made, "payer-timeout") is None
    for state in ("ABORTED", "COMMITTED"):  # the second report changes nothing
        assert operator.post(url, {"state": state}).url == page
    assert outcomes_by_hand.reported(made, "payer-timeout") == "ABORTED"
    assert url not in operator.get(page).content.decode()
    assert "own system shows for the payment: Failed" in operator.get(page).content.decode()
    entry = Entry.objects.get(action="certification_outcome_reported")
    assert (entry.subject, entry.after["case"], entry.after["state"]) == ("green", "payer-timeout", "ABORTED")
    assert not outcomes_by_hand.report(made, "payer-transfer", state="ABORTED", actor="asha")  # nobody asks for it
    made.cases.update(verdict=Verdict.PASSED, ended_at=timezone.now(), instruction=None)
    report.finish(made)
    case = next(each for each in json.loads(made.report)["cases"] if each["name"] == "payer-timeout")
    assert case["reportedByHand"]["state"] == "ABORTED"
    assert operator.get(f"{page}report.pdf").content.startswith(b"%PDF-")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("answer", [None, "COMMITTED"])
def test_without_a_report_the_state_of_a_payment_is_not_judged(green: Participant, answer: str | None) -> None:
    made = asked_about_a_payment(green)
    made.options["patience_s"] = 2.0
    assert made.participant.name == "green"  # loaded, as the process has it

    async def asked() -> str:
        async with Door() as door:
            run = Run(made, endpoint=no_endpoint(), sender=SimpleNamespace(), door=door)  # type: ignore[arg-type]
            waiting = asyncio.create_task(run.reported_outcome("payer-timeout", {"amount": "4.5"}))
            await asyncio.sleep(0.5)
            if answer is not None:
                await asyncio.to_thread(report_state, made, answer)
            return await waiting

    if answer is not None:
        assert asyncio.run(asked()) == answer
        return
    with pytest.raises(NotJudged) as reason:
        asyncio.run(asked())
    assert reason.value.fault.code == "state_not_seen"


def report_state(certification: Certification, state: str) -> None:
    try:
        assert outcomes_by_hand.report(certification, "payer-timeout", state=state, actor="asha")
    finally:
        connection.close()


def test_the_pages_start_and_show_a_certification(green: Participant) -> None:
    operator, viewer = browser_of(person(Role.OPERATOR)), browser_of(person(Role.VIEWER))
    form = {"payee_type": "MSISDN", "payee": "255799000001", "unknown": "999000000099", "outbound": ""}
    form |= {"sdk_outbound": "http://127.0.0.1:4005"}
    assert viewer.post("/portal/participants/green/certify/", form).status_code == 403
    wrong = operator.post("/portal/participants/green/certify/", form | {"payee": "no number"})
    assert wrong.status_code == 400
    assert not Certification.objects.exists()
    answer = operator.post("/portal/participants/green/certify/", form | {"left_out": ["payee-bulk"]})
    made = Certification.objects.get()
    assert answer.url == f"/portal/certifications/{made.pk}/"
    assert made.options["left_out"] == ["payee-bulk"]
    assert made.options["sdk_outbound"] == "http://127.0.0.1:4005"
    starting_and_ending_runs.take(made)
    instruction = {"what": "payments", "values": {"to": {"idType": "MSISDN", "idValue": "999000000001"},
                                                  "amount": "7.5", "currency": "XTS"}}  # fmt: skip
    made.cases.filter(name="payer-transfer").update(verdict="RUNNING", instruction=instruction)
    shown = viewer.get(f"/portal/certifications/{made.pk}/live/").content.decode()
    assert "999000000001" in shown
    assert "hx-get" in shown
    made.cases.update(verdict=Verdict.PASSED, instruction=None)
    made.cases.filter(name="payee-quote").update(
        verdict="FAILED", faults=[fault("wrong_packet", why="too short").as_json()]
    )
    report.finish(made)
    page = viewer.get(f"/portal/certifications/{made.pk}/").content.decode()
    assert "The ILP packet cannot be read: too short" in page
    assert "hx-get" not in page
    assert viewer.get(f"/portal/certifications/{made.pk}/report.json").json()["report"]["result"] == "FAILED"
    pdf = viewer.get(f"/portal/certifications/{made.pk}/report.pdf")
    assert pdf.content.startswith(b"%PDF-")
    assert f"/portal/certifications/{made.pk}/" in viewer.get("/portal/certifications/").content.decode()
    assert viewer.get("/portal/certifications/999999/").status_code == 404
