"""TWO_PEOPLE=everywhere for management commands: they ask for what needs two people in the portal, and print that."""

import io
import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import override_settings

from hub.audit.models import Approval
from hub.participants.models import Credential
from portal import changes, users
from portal.permissions import Role
from portal.visitor import visitor_for
from settlement.models import Settlement
from tests import proofs
from tests.portal.people import person
from tests.settlement.operator_steps import add_model, close, pay
from tests.world import World

EVERYWHERE = override_settings(TWO_PEOPLE="everywhere")
SCHEME = proofs.Authority("scheme")


def run(*arguments: str, **options: object) -> str:
    said = io.StringIO()
    call_command(*arguments, stdout=said, **options)
    return said.getvalue()


def approve(said: str, checker: User) -> None:
    """What the command says waits."""
    found = re.search(r"Request (\d+) submitted: .*: /portal/approvals/(\d+)/", said)
    assert found is not None, said
    assert found[1] == found[2]
    approval = Approval.objects.get(pk=int(found[1]))
    assert re.fullmatch(r"manage\.py \(.+\)", approval.client)
    changes.approve(visitor_for(checker), approval.pk)


@pytest.fixture
def officer(world: World) -> User:
    user = person(Role.RISK, name="juma")
    users.set_roles(user, roles=frozenset({Role.RISK, Role.ADMINISTRATOR}), actor="test")
    return User.objects.get(pk=user.pk)


def live(kind: str) -> int:
    return Credential.objects.filter(participant__name="green", kind=kind, revoked_at=None).count()


@EVERYWHERE
def test_credentials_are_registered_and_revoked_once_a_person_approves(
    world: World, officer: User, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "tls.pem"
    key.write_text(proofs.public_pem(proofs.key_of("green")))
    certificate.write_text(proofs.pem_of(SCHEME.issue("green")))
    for action, file, kind in (("key", key, "signingKey"), ("certificate", certificate, "certificate")):
        said = run("credentials", action, "green", str(file))
        assert live(kind) == 0
        approve(said, officer)
        assert live(kind) == 1
    number = Credential.objects.get(kind="signingKey").pk
    said = run("credentials", "revoke", "green", str(number))
    assert live("signingKey") == 1
    approve(said, officer)
    assert live("signingKey") == 0
    assert "revoked" in run("credentials", "revoke", "green", str(number))  # nothing is left to ask for
    with pytest.raises(CommandError, match="was registered before"):
        run("credentials", "key", "green", str(key))
    with pytest.raises(CommandError, match="no such credential"):
        run("credentials", "revoke", "green", "999999")


@EVERYWHERE
@override_settings(**proofs.TOKEN)
def test_a_clients_secret_is_printed_at_once_and_good_once_a_person_approves(world: World, officer: User) -> None:
    said = run("credentials", "client", "green")
    key, secret = re.findall(r"client (?:key|secret)\s+(\S+)", said)
    assert proofs.ask_token(key, secret).status_code == 401
    approve(said, officer)
    assert proofs.ask_token(key, secret).status_code == 200


@pytest.fixture
def closed(world: World) -> World:
    add_model()
    pay(world, "green", "blue", 100)
    close()
    return world


@EVERYWHERE
def test_a_settlement_is_made_and_its_steps_are_asked_for(closed: World, officer: User) -> None:
    said = run("settle", model="DEFERREDNET")
    settlement = Settlement.objects.get()
    assert settlement.state == "PENDING_SETTLEMENT"
    approve(said, officer)
    settlement.refresh_from_db()
    assert settlement.state == "PS_TRANSFERS_COMMITTED"
    with pytest.raises(CommandError, match=f"no reason for its absence.*--id {settlement.pk}"):
        run("settle", id=settlement.pk, to="SETTLED")
    said = run("settle", id=settlement.pk, to="SETTLED", without_statement="its line is down")
    assert Approval.objects.get(state="PENDING").payload["without_statement"] == "its line is down"
    approve(said, officer)
    settlement.refresh_from_db()
    assert settlement.state == "SETTLED"
    assert closed.breaks() == []


@EVERYWHERE
def test_a_settlement_is_taken_back_once_a_person_approves(closed: World, officer: User) -> None:
    run("settle", model="DEFERREDNET", to="PS_TRANSFERS_RECORDED")
    settlement = Settlement.objects.get()
    said = run("settle", id=settlement.pk, to="ABORTED")
    settlement.refresh_from_db()
    assert settlement.state == "PENDING_SETTLEMENT"
    approve(said, officer)
    settlement.refresh_from_db()
    assert settlement.state == "ABORTED"
    with pytest.raises(CommandError, match="not found"):
        run("settle", id=999999, to="SETTLED")


def test_a_window_is_closed_alone_as_in_the_portal(world: World) -> None:
    pay(world, "green", "blue", 1)
    with EVERYWHERE:
        assert "is closed" in run("close_window")


@EVERYWHERE
def test_the_first_two_administrators_come_alone_and_nobody_after_them(world: World) -> None:
    with pytest.raises(CommandError, match="two administrators first"):
        run("create_administrator", "risky", email="risky@example.org", role=["risk"])
    for name in ("asha", "juma"):
        assert "sets the password at" in run("create_administrator", name, email=f"{name}@example.org")
    said = run("create_administrator", "neema", email="neema@example.org")
    assert not User.objects.filter(username="neema").exists()
    with pytest.raises(changes.NotApproved, match="A person, not a program"):  # nobody could hand over the link
        approve(said, User.objects.get(username="juma"))
    with override_settings(SENDS_EMAIL=True):
        approve(said, User.objects.get(username="juma"))
    assert User.objects.filter(username="neema", groups__name="administrator").exists()
    said = run("create_administrator", "risky", email="risky@example.org", role=["risk"])
    assert not User.objects.filter(username="risky").exists()
    with pytest.raises(CommandError, match="already in use"):
        run("create_administrator", "asha", email="other@example.org")
