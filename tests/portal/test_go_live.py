"""A new bank goes live by a step of its own: its checks, a test lookup, and two people. Others stay as they are."""

import pytest
from django.conf import LazySettings
from django.db.models import Q
from django.test import Client
from django.utils import timezone

from directory import trial_lookups
from directory.aliases import Alias
from directory.models import TrialLookup
from hub.audit.models import Entry
from hub.outbox.client import Answer
from hub.participants import services
from hub.participants.models import Participant
from ledger.commands_and_outcomes import Committed, Refused
from portal import go_live_checks
from portal.certification import report, starting_and_ending_runs
from portal.certification.models import Certification
from portal.certification.options import Options
from portal.permissions import Role
from tests import proofs
from tests.api.caller import admin, dfsp
from tests.portal.people import browser
from tests.portal.test_onboarding import walk
from tests.portal.test_participants import approve, latest, text_of
from tests.world import World, fulfil, prepare, run

NEW = "/portal/participants/newbank/"
PAGE = f"{NEW}go-live/"
NUMBER = "255700000001"
PARTY = {"partyIdType": "MSISDN", "partyIdentifier": NUMBER, "fspId": "newbank"}
ONE_CURRENCY = {"currency_1": "", "ndc_1": ""}


@pytest.fixture
def two(world: World) -> tuple[Client, Client]:
    operator, checker = browser(Role.OPERATOR), browser(Role.RISK)
    walk(operator, money=ONE_CURRENCY, connection={"networks": ""})
    assert operator.post("/portal/participants/new/review/", {"reason": "joins"}).status_code == 302
    page = approve(checker)
    assert "not live" in page
    assert f'href="{PAGE}"' in page
    world.ids["newbank"] = Participant.objects.get(name="newbank").pk
    return operator, checker


@pytest.fixture
def accepted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that the hub asked the new bank for; the bank's web server takes each."""
    asked: list[str] = []

    def send(_participant: Participant, path: str) -> Answer:
        asked.append(path)
        return Answer(202)

    monkeypatch.setattr(trial_lookups, "_send", send)
    return asked


def stops() -> set[str]:
    return {check.name for check in go_live_checks.checks_of(new_bank()) if check.stops}


def new_bank() -> Participant:
    return Participant.objects.get(name="newbank")


def answer(party: dict[str, str] | None = None, *, number: str = NUMBER) -> int:
    body = {"party": {"partyIdInfo": party or PARTY, "name": "Test"}}
    return dfsp("PUT", f"/parties/MSISDN/{number}", body, source="newbank", destination="Hub").status_code


def test_a_new_bank_pays_nobody_before_it_goes_live(world: World, two: tuple[Client, Client]) -> None:
    operator, _checker = two
    assert (new_bank().may_send, new_bank().may_receive) == (False, False)
    world.funds_in("newbank", 1000)
    for payer, payee in (("newbank", "green"), ("green", "newbank")):
        assert isinstance(run(prepare(world, payer, payee, 1)), Refused)
    page = text_of(operator, NEW)
    assert ">not live yet<" in page
    assert PAGE in page
    answer = operator.post(f"{NEW}directions/", {"direction": "both", "reason": "quickly"})
    assert answer.status_code == 400
    assert (new_bank().may_send, new_bank().may_receive) == (False, False)


def test_the_checks_say_what_is_missing_and_nobody_requests_it_before(
    world: World, two: tuple[Client, Client], accepted: list[str], settings: LazySettings
) -> None:
    operator, checker = two
    usual = settings.PARTICIPANT_AUTH
    settings.PARTICIPANT_AUTH, settings.SIGNATURES = ["certificate"], "required"
    assert stops() == {"funds TZS", "lookup", "certificate", "signing key"}
    refused = operator.post(f"{PAGE}request/", {"reason": "ready"})
    assert refused.status_code == 400
    assert "newbank cannot go live yet. Funds in TZS" in refused.content.decode()
    world.funds_in("newbank", 1000)
    proofs.register_key("newbank")
    settings.PARTICIPANT_AUTH = usual
    assert stops() == {"lookup"}
    settings.SIGNATURES = "ignored"

    operator.post(f"{PAGE}lookup/", {"type": "MSISDN", "identifier": NUMBER})
    assert accepted == [f"/parties/MSISDN/{NUMBER}"]
    assert stops() == {"lookup"}
    assert answer(PARTY | {"fspId": "green"}) == 200
    assert "fspId: green" in text_of(operator, PAGE)
    assert answer() == 400  # the trial has its answer
    operator.post(f"{PAGE}lookup/", {"type": "MSISDN", "identifier": f" {NUMBER[:6]} {NUMBER[6:]} "})
    assert answer() == 200
    assert stops() == set()
    assert NUMBER not in str(list(TrialLookup.objects.values()))

    assert operator.post(f"{PAGE}request/", {"reason": "ready"}).status_code == 302
    page = text_of(checker, f"/portal/approvals/{latest().pk}/")
    assert "Answer to GET /parties for a test number" in page
    assert "passed: answered correctly" in page
    assert "has taken effect" in approve(checker)
    assert (new_bank().may_send, new_bank().may_receive, new_bank().onboarding_since) == (True, True, None)
    assert Entry.objects.get(action="participant_went_live").subject == "newbank"
    for path in (PAGE, f"{PAGE}request/"):  # an old tab is loaded again
        assert operator.get(path)["Location"] == NEW
    assert operator.post(f"{PAGE}lookup/", {"type": "MSISDN", "identifier": NUMBER})["Location"] == NEW
    command = prepare(world, "newbank", "green", 1)
    run(command)
    assert isinstance(run(fulfil(world, "green", command.transfer_id)), Committed)
    assert world.breaks() == []


def test_an_answer_that_nobody_asked_for_changes_nothing(
    world: World, two: tuple[Client, Client], accepted: list[str]
) -> None:
    assert answer() == 400
    trial_lookups.ask(new_bank(), Alias("MSISDN", NUMBER), actor="test")
    body = {"party": {"partyIdInfo": PARTY, "name": "Test"}}
    assert dfsp("PUT", f"/parties/MSISDN/{NUMBER}", body, source="green", destination="Hub").status_code == 400
    assert answer(number="255700000002") == 400
    assert TrialLookup.objects.get().answered_at is None
    error = {"errorInformation": {"errorCode": "3204", "errorDescription": "Party not found"}}
    answered = dfsp("PUT", f"/parties/MSISDN/{NUMBER}/error", error, source="newbank", destination="Hub")
    assert answered.status_code == 200
    assert TrialLookup.objects.get().fault == "ERROR"
    assert stops() >= {"lookup"}


def test_what_changes_before_the_approval_is_checked_again(
    world: World, two: tuple[Client, Client], accepted: list[str]
) -> None:
    operator, checker = two
    world.funds_in("newbank", 1000)
    operator.post(f"{PAGE}lookup/", {"type": "MSISDN", "identifier": NUMBER})
    answer()
    assert operator.post(f"{PAGE}request/", {"reason": "ready"}).status_code == 302
    go_live = latest()
    TrialLookup.objects.update(answered_at=None, is_right=None)
    assert "The participant has not answered yet." in approve(checker)
    assert latest().state == "PENDING"
    assert new_bank().onboarding_since is not None
    assert go_live.kind == "go_live"


@pytest.fixture
def otherwise_ready(world: World, two: tuple[Client, Client], accepted: list[str]) -> tuple[Client, Client]:
    world.funds_in("newbank", 1000)
    two[0].post(f"{PAGE}lookup/", {"type": "MSISDN", "identifier": NUMBER})
    answer()
    assert stops() == set()
    return two


def certify(*left_out: str, **verdicts: str) -> Certification:
    made = starting_and_ending_runs.ask(new_bank(), Options(payee=NUMBER, left_out=left_out), asked_by="asha")
    starting_and_ending_runs.take(made)
    made.cases.update(verdict="PASSED", ended_at=timezone.now())
    for name, verdict in ({each.replace("-", "_"): "LEFT_OUT" for each in left_out} | verdicts).items():
        made.cases.filter(name=name.replace("_", "-")).update(verdict=verdict)
    report.finish(made)
    return made


def test_a_scheme_can_require_the_certification(otherwise_ready: tuple[Client, Client], settings: LazySettings) -> None:
    operator, checker = otherwise_ready
    assert "not required" in text_of(operator, PAGE)
    settings.CERTIFICATION_REQUIRED = True
    assert stops() == {"certification"}
    assert f'href="{NEW}certify/"' in text_of(operator, PAGE)

    def refused() -> str:
        asked = operator.post(f"{PAGE}request/", {"reason": "ready"})
        assert asked.status_code == 400
        return asked.content.decode()

    assert "newbank cannot go live yet. Certification: Certify the participant." in refused()
    certify(payee_quote="FAILED")
    assert "The last certification failed on" in refused()
    certify("payee-bulk", "payee-duplicate")
    assert "left out cases that are not optional: payee-duplicate." in refused()
    passed = certify("payee-bulk")
    assert stops() == set()
    assert f'href="/portal/certifications/{passed.pk}/"' in text_of(operator, PAGE)
    assert operator.post(f"{PAGE}request/", {"reason": "ready"}).status_code == 302

    certify(payee_quote="FAILED")  # between the request and its approval
    assert "The last certification failed on" in text_of(checker, f"/portal/approvals/{latest().pk}/")
    assert "The last certification failed on" in approve(checker)
    assert new_bank().onboarding_since is not None
    certify()
    assert "has taken effect" in approve(checker)
    assert new_bank().may_send


def test_a_certification_that_has_not_ended_is_not_sufficient(
    otherwise_ready: tuple[Client, Client], settings: LazySettings
) -> None:
    settings.CERTIFICATION_REQUIRED = True
    made = starting_and_ending_runs.ask(new_bank(), Options(payee=NUMBER), asked_by="asha")
    assert stops() == {"certification"}
    starting_and_ending_runs.take(made)
    assert stops() == {"certification"}
    starting_and_ending_runs.interrupt(Q(pk=made.pk))
    assert stops() == {"certification"}


def test_a_certification_stays_valid_when_the_callback_url_changes_and_people_see_the_change(
    otherwise_ready: tuple[Client, Client], settings: LazySettings
) -> None:
    operator, _ = otherwise_ready
    settings.CERTIFICATION_REQUIRED = True
    passed = certify()
    page = f"/portal/certifications/{passed.pk}/"
    services.set_endpoint(
        new_bank(), endpoint_type="NET_DEBIT_CAP_THRESHOLD_BREACH_EMAIL", value="a@example.org", actor="asha"
    )
    for same in new_bank().endpoints.all():
        services.set_endpoint(new_bank(), endpoint_type=same.type, value=same.value, actor="asha")
    assert "a callback URL of the participant was changed" not in text_of(operator, page)
    services.set_endpoint(
        new_bank(), endpoint_type="FSPIOP_CALLBACK_URL", value="https://new.example/fspiop", actor="asha"
    )
    assert "a callback URL of the participant was changed" in text_of(operator, page)
    assert "with an earlier callback URL" in text_of(operator, PAGE)
    assert stops() == {"lookup"}  # a lookup must reach the new URL, so this check has to be repeated


def test_another_module_joins_its_own_check(
    world: World, two: tuple[Client, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(go_live_checks, "_checks", list(go_live_checks._checks))
    go_live_checks.join(lambda _bank: [go_live_checks.Check("certified", "Certification", False, "not certified")])
    assert "certified" in stops()


def test_the_administration_api_makes_live_participants_as_the_reference_does(world: World) -> None:
    assert admin("POST", "/participants", {"name": "apibank", "currency": "TZS"}).status_code == 201
    made = Participant.objects.get(name="apibank")
    assert (made.may_send, made.may_receive, made.onboarding_since) == (True, True, None)
    answer = browser(Role.OPERATOR).get("/portal/participants/apibank/go-live/")
    assert answer["Location"] == "/portal/participants/apibank/"
