"""Neither a DFSP nor a stranger disturbs the certification of other DFSPs."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as configured
from django.test import override_settings
from django.utils import timezone

from directory import alias_registry
from directory.aliases import Alias
from directory.models import PartyIdentifier
from fspiop.errors import FspiopError
from hub.participants import credential_cache
from hub.participants import services as participants
from hub.participants.models import Participant
from hub.recordings.models import RecordedRequest, Recording
from portal.certification import certifier_participant, certifying_process, starting_and_ending_runs
from portal.certification.models import Certification, CertificationCase
from portal.certification.options import UNKNOWN, Options
from portal.certification.recorded_requests import Door, Told, _read
from portal.certification.run_for_one_dfsp import Run
from portal.certification.shown_messages import shown
from portal.certification.telephone_numbers_of_cases import ALIASES, PAID
from tests import proofs
from tests.api.caller import dfsp
from tests.proofs import by_proxy
from tests.world import World

ENDPOINT = "http://127.0.0.1:9/endpoint"
SCHEME = proofs.Authority("scheme")


@pytest.fixture
def green(world: World) -> Participant:
    return Participant.objects.get(name="green")


@pytest.mark.parametrize("number", [*ALIASES, UNKNOWN, "+" + PAID])
def test_no_dfsp_registers_a_number_of_the_certifier(green: Participant, number: str) -> None:
    alias = Alias("MSISDN", number, currency="XTS")
    with pytest.raises(FspiopError, match="reserved"):
        alias_registry.register(alias, green)
    assert list(alias_registry.register_many([alias, Alias("MSISDN", "255712000001")], green)) == [alias]
    assert [each.identifier for each in PartyIdentifier.objects.filter(fsp=green)] == ["255712000001"]


def test_the_certifier_takes_back_a_number_that_a_dfsp_holds_from_before(green: Participant) -> None:
    PartyIdentifier.objects.create(type="MSISDN", identifier=PAID, currency="XTS", fsp=green)
    PartyIdentifier.objects.create(type="MSISDN", identifier=PAID, fsp=green)
    certifier_participant.set_up(endpoint=ENDPOINT)
    held = PartyIdentifier.objects.filter(identifier__in=ALIASES)
    assert {each.fsp.name for each in held} == {configured.CERTIFIER_NAME}
    assert held.count() == len(ALIASES)


@pytest.fixture
def recorded(world: World) -> Any:
    """Begins a recording of green with blue, on a hub that requires certificates. Returns a function for requests."""
    certificates = {name: SCHEME.issue(name) for name in ("green", "red")}
    for name, certificate in certificates.items():
        proofs.register_certificate(name, certificate)
    Recording.objects.create(dfsp="green", counterpart="blue", until=timezone.now() + timedelta(minutes=1))

    def send(by: str, source: str) -> tuple[int, list[tuple[str, str]]]:
        credential_cache.forget()
        credential_cache.current()
        path = "/quotes/7c2f5a9e-6a57-4f35-8a0e-1c7f0b1d9f01"
        headers = dict(by_proxy(certificates.get(by)))
        answer = dfsp("PUT", path, {"nothing": "fits"}, source=source, destination="blue", headers=headers)
        return answer.status_code, [(told.source, told.claimed) for told in read_all()]

    return send


@override_settings(**proofs.CERTIFICATE)
def test_a_strangers_message_is_not_the_tested_dfsps(recorded: Any) -> None:
    assert recorded("", "green") == (401, [])
    assert recorded("red", "green") == (403, [])
    assert recorded("red", "red") == (400, [])  # it is not certified now
    assert recorded("green", "green") == (400, [("green", "green")])


@override_settings(**proofs.CERTIFICATE)
def test_a_wrong_source_is_recorded_for_the_dfsp_to_which_the_credential_belongs(recorded: Any) -> None:
    assert recorded("green", "red") == (403, [("green", "red")])


def read_all() -> list[Told]:
    return _read(list(RecordedRequest.objects.values_list("pk", flat=True)))


def begun(name: str) -> Certification:
    asked = {"options": Options(payee="255799000001").as_json(), "asked_by": "asha"}
    made = Certification.objects.create(participant=Participant.objects.get(name=name), **asked)
    CertificationCase.objects.create(certification=made, number=1, name="payee-quote")
    assert starting_and_ending_runs.take(made)
    assert made.participant.name == name  # loaded, as the process has it
    return made


def run_of(certification: Certification) -> Run:
    sender: Any = SimpleNamespace(name="certifier")
    return Run(certification, endpoint=no_endpoint(), sender=sender, door=Door())


def no_endpoint() -> Any:
    return SimpleNamespace(on=lambda *_: None, off=lambda *_: None)


ODD = "a\0b\ud800c"


def test_text_that_the_database_cannot_store_is_replaced(green: Participant) -> None:
    made = begun("green")
    run_of(made)._store(
        "payee-quote",
        {"faults": [{"code": ODD, "values": {ODD: [ODD, float("nan"), 1]}}], "exchanges": [{"body": ODD}]},
    )
    case = made.cases.get(name="payee-quote")
    assert case.faults == [{"code": "a�b�c", "values": {"a�b�c": ["a�b�c", "nan", 1]}}]
    assert case.exchanges == [{"body": "a�b�c"}]
    certifying_process._give_up([made], ODD)
    made.refresh_from_db()
    assert made.fault == "a�b�c"


def test_a_body_that_is_nested_too_deeply_is_shown_as_text() -> None:
    assert shown(b"[" * 60_000).startswith("[[[[")


@pytest.mark.django_db(transaction=True)
def test_an_error_ends_only_the_certification_in_which_it_arises(
    green: Participant, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = begun("green"), begun("blue")

    async def fails(_: Run) -> None:
        raise RuntimeError(ODD)

    monkeypatch.setattr(Run, "play_all", fails)
    nothing: Any = None
    asyncio.run(certifying_process._run_one(mine, no_endpoint(), nothing, Door(), lambda *_: None))
    mine.refresh_from_db()
    other.refresh_from_db()
    assert (mine.state, other.state) == ("INTERRUPTED", "RUNNING")
    assert mine.fault == "RuntimeError: a�b�c"


@pytest.mark.django_db(transaction=True)
def test_the_end_of_a_dfsps_accounts_ends_only_its_own_certification(green: Participant) -> None:
    participants.create(name="brown", actor="test")
    closed, other = begun("brown"), begun("blue")
    now = timezone.now()
    left = {"is_active": False, "may_send": False, "may_receive": False, "leaving_since": now, "closed_at": now}
    Participant.objects.filter(name="brown").update(**left)
    participant = certifier_participant.set_up(endpoint=ENDPOINT).participant
    assert asyncio.run(certifying_process._with_accounts([closed, other], participant)) == [other]
    closed.refresh_from_db()
    assert closed.state == "INTERRUPTED"
    assert "closed for good" in closed.fault


@pytest.mark.parametrize("end", [starting_and_ending_runs.end_lost, starting_and_ending_runs.start])
def test_a_dead_process_leaves_no_open_certifier_and_no_recordings(green: Participant, end: Any) -> None:
    made = begun("green")
    certifier_participant.set_up(endpoint=ENDPOINT)
    Recording.objects.create(dfsp="green", counterpart="certifier", until=timezone.now() + timedelta(hours=1))
    RecordedRequest.objects.create(source="green", method="PUT", path="/", headers={}, body=b"{}", status=200)
    end()
    made.refresh_from_db()
    assert made.state == "INTERRUPTED"
    assert not Participant.objects.get(name=configured.CERTIFIER_NAME).is_active
    assert not Recording.objects.exists()
    assert not RecordedRequest.objects.exists()


def test_only_the_certification_creates_the_certifier(world: World) -> None:
    for name in ("certifier", "Certifier"):
        with pytest.raises(FspiopError, match="reserved"):
            participants.create(name=name, actor="asha")
    certifier_participant.set_up(endpoint=ENDPOINT)
    assert Participant.objects.filter(name="certifier").exists()


def test_a_dfsp_with_the_certifiers_name_stays_as_it_is(green: Participant, settings: Any) -> None:
    settings.CERTIFIER_NAME = "green"
    with pytest.raises(FspiopError, match="CERTIFIER_NAME"):
        certifier_participant.set_up(endpoint=ENDPOINT)
    certifier_participant.take_down()
    starting_and_ending_runs.end_lost()
    green.refresh_from_db()
    assert green.is_active
