"""A participant's certificates and keys in the portal: asked for by the operator or its own technician, never alone."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from hub.audit.models import Approval
from hub.audit.models import Entry as AuditEntry
from hub.participants.models import Credential, Participant
from portal.permissions import Role
from tests import proofs, signing
from tests.portal.people import browser, browser_of, person
from tests.portal.test_participants import GREEN, approve, latest, text_of
from tests.proofs import key_of
from tests.world import World

SIGN = f"{GREEN}certificates/new/"
ADD = f"{GREEN}credentials/new/"


@pytest.fixture
def _authority(tmp_path: Path, settings: object) -> None:
    for name, value in signing.authority_in(tmp_path).items():
        setattr(settings, name, value)


@pytest.fixture
def checker(world: World) -> Client:
    return browser(Role.RISK)


@pytest.mark.usefixtures("_authority")
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.PARTICIPANT_TECHNICIAN])
def test_a_request_is_signed_when_a_second_person_approves_and_the_certificate_fetched(
    world: World, checker: Client, role: Role
) -> None:
    maker = browser(role)
    answer = maker.post(SIGN, {"csr": signing.csr("green"), "reason": "the old one ends in May"})
    assert answer.status_code == 302, answer.content.decode()
    assert not Credential.objects.exists()
    page = text_of(checker, f"/portal/approvals/{latest().pk}/")
    for part in ("CN=green", "RSA 2048", "365"):
        assert part in page, part
    assert "Request approved. The change has taken effect." in approve(checker)
    credential = Credential.objects.get()
    assert credential.participant.name == "green"
    assert AuditEntry.objects.get(action="credential_added").actor == f"{role.value}, approved by risk"
    answer = maker.get(f"{GREEN}certificates/{credential.pk}.pem")
    assert answer.content.decode() == credential.pem
    assert answer["Content-Disposition"] == f'attachment; filename="green-{credential.pk}.pem"'
    page = text_of(maker, GREEN)
    assert "CN=green" in page
    assert "valid" in page


@pytest.mark.usefixtures("_authority")
def test_a_wrong_request_is_refused_in_the_form_with_the_reason(world: World, checker: Client) -> None:
    maker = browser(Role.OPERATOR)
    for csr, why in {
        signing.csr("blue"): "common name green",
        signing.csr("green", key=key_of("short", 1024)): "2048",
        "nonsense": "cannot be read",
    }.items():
        answer = maker.post(SIGN, {"csr": csr, "reason": "r"})
        assert answer.status_code == 400
        assert why in answer.content.decode()
    assert not Approval.objects.exists()


def test_without_an_authority_the_page_says_how_to_make_one(world: World) -> None:
    client = browser(Role.OPERATOR)
    page = text_of(client, SIGN)
    assert "manage.py authority create" in page
    assert "<textarea" not in page
    client.post(SIGN, {"csr": signing.csr("green"), "reason": "r"})
    assert not Approval.objects.exists()


@pytest.mark.usefixtures("_authority")
def test_an_authority_that_is_gone_at_the_approval_leaves_the_request_waiting(
    world: World, checker: Client, tmp_path: Path
) -> None:
    browser(Role.OPERATOR).post(SIGN, {"csr": signing.csr("green"), "reason": "r"})
    (tmp_path / "ca.key").unlink()
    page = approve(checker)
    assert "cannot be read" in page
    assert str(tmp_path) not in page
    assert latest().state == "PENDING"


@pytest.mark.usefixtures("_authority")
def test_a33_no_page_and_no_record_has_the_authoritys_key(world: World, checker: Client, tmp_path: Path) -> None:
    secret = "".join((tmp_path / "ca.key").read_text().splitlines()[1:3])
    maker = browser(Role.OPERATOR)
    maker.post(SIGN, {"csr": signing.csr("green"), "reason": "r"})
    pages = [approve(checker), text_of(maker, GREEN), text_of(maker, SIGN)]
    records = [str(list(model.objects.values())) for model in (AuditEntry, Approval, Credential)]
    assert all(secret not in text.replace("\n", "") for text in [*pages, *records])


def test_keys_and_certificates_from_elsewhere_are_registered_by_two_people(world: World, checker: Client) -> None:
    maker = browser(Role.PARTICIPANT_TECHNICIAN)
    key = {"kind": "signingKey", "text": proofs.public_pem(key_of("green")), "reason": "first key"}
    assert maker.post(ADD, key).status_code == 302
    approve(checker)
    elsewhere = proofs.pem_of(proofs.Authority("elsewhere").issue("green"))
    maker.post(ADD, {"kind": "certificate", "text": elsewhere, "reason": "ours"})
    approve(checker)
    assert sorted(Credential.objects.values_list("kind", flat=True)) == ["certificate", "signingKey"]
    answer = maker.post(ADD, {**key, "text": proofs.private_pem(key_of("green"))})
    assert answer.status_code == 400
    assert "private key" in answer.content.decode()
    again = maker.post(ADD, key)
    assert (again.status_code, "was registered before" in again.content.decode()) == (400, True)


def test_a_credential_is_revoked_for_ever_by_two_people(world: World, checker: Client) -> None:
    credential = proofs.register_key("green")
    maker = browser(Role.PARTICIPANT_TECHNICIAN)
    path = f"{GREEN}credentials/{credential.pk}/revoke/"
    maker.post(path, {"reason": "the laptop was stolen"})
    credential.refresh_from_db()
    assert credential.revoked_at is None
    approve(checker)
    credential.refresh_from_db()
    assert credential.revoked_at is not None
    assert maker.get(path).status_code == 404
    assert "revoked" in text_of(maker, GREEN)


def test_a_clients_hash_is_shown_to_nobody(world: World, checker: Client) -> None:
    client = proofs.register_client("green")
    browser(Role.OPERATOR).post(f"{GREEN}credentials/{client.credential.pk}/revoke/", {"reason": "r"})
    shown = [text_of(checker, GREEN), text_of(checker, f"/portal/approvals/{latest().pk}/")]
    assert all(client.credential.sha256[:16] not in page for page in shown)
    assert client.credential.sha256 not in str(list(Approval.objects.values()))
    assert checker.get(f"{GREEN}certificates/{client.credential.pk}.pem").status_code == 404


@pytest.mark.parametrize(("days", "word"), [(-1, "expired"), (12, "expires in 11 d"), (31, "valid")])
def test_what_ends_soon_is_warned_of_where_its_people_look(world: World, days: int, word: str) -> None:
    credential = proofs.register_key("green")
    ends = timezone.now() + timedelta(days=days)
    Credential.objects.filter(pk=credential.pk).update(valid_from=ends - timedelta(days=90), valid_until=ends)
    client = browser_of(person(Role.PARTICIPANT_VIEWER))
    assert f">{word}</span>" in text_of(client, GREEN)


def test_a_technician_asks_for_its_own_endpoints_and_decides_nothing(world: World, checker: Client) -> None:
    technician = browser(Role.PARTICIPANT_TECHNICIAN)
    moved = {"type": "FSPIOP_CALLBACK_URL", "value": "https://moved.example", "reason": "moved"}
    assert technician.post(f"{GREEN}endpoint/", moved).status_code == 302
    assert technician.post(f"/portal/approvals/{latest().pk}/approve/").status_code == 403
    assert technician.post("/portal/participants/blue/endpoint/", moved).status_code == 404
    approve(checker)
    assert Participant.objects.get(name="green").endpoints.get().value == "https://moved.example"


def test_operators_see_whose_credentials_end_soon(world: World, checker: Client) -> None:
    soon, later, ended = (proofs.register_key(name) for name in ("green", "blue", "red"))
    now = timezone.now()
    for credential, days in ((soon, 12), (later, 31), (ended, -1)):
        ends = now + timedelta(days=days)
        Credential.objects.filter(pk=credential.pk).update(valid_from=ends - timedelta(days=90), valid_until=ends)
    page = checker.get("/portal/participants/")
    assert [found.participant.name for found in page.context["ending"]] == ["green"]
    assert "expires in 11 d. Register the replacement" in page.content.decode()
    own = browser_of(person(Role.PARTICIPANT_VIEWER))
    assert "expires in 11 d. Register the replacement" in text_of(own, GREEN)
