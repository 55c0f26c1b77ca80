"""The life of a run without its process, and the pages."""

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from fspiop import jws
from hub.audit.models import Entry
from hub.participants.models import Participant
from portal.certification import report, starting_and_ending_runs
from portal.certification.cases import CASES
from portal.certification.faults import TEXTS, fault, texts
from portal.certification.models import Certification, CertificationCase
from portal.certification.options import Options, read
from portal.certification.shown_messages import Exchange
from portal.permissions import Role
from portal.tasks import certify
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


def test_the_pages_start_and_show_a_certification(green: Participant) -> None:
    operator, viewer = browser_of(person(Role.OPERATOR)), browser_of(person(Role.VIEWER))
    form = {"payee_type": "MSISDN", "payee": "255799000001", "unknown": "999000000099", "outbound": ""}
    assert viewer.post("/portal/participants/green/certify/", form).status_code == 403
    wrong = operator.post("/portal/participants/green/certify/", form | {"payee": "no number"})
    assert wrong.status_code == 400
    assert not Certification.objects.exists()
    answer = operator.post("/portal/participants/green/certify/", form | {"left_out": ["payee-bulk"]})
    made = Certification.objects.get()
    assert answer.url == f"/portal/certifications/{made.pk}/"
    assert made.options["left_out"] == ["payee-bulk"]
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
