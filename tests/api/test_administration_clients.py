"""Clients of the hub's operators: made and revoked by two people, their secret given once, their tokens with scopes."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.test import override_settings
from django.utils import timezone

from hub.administration import secret_hash_cache, services
from hub.administration.models import READ, WRITE, AdministrationClient
from hub.api import tokens
from hub.audit.models import Approval, Entry
from portal import changes
from portal.permissions import Role
from portal.visitor import visitor_for
from tests import operators, proofs
from tests.api.caller import dfsp, error_of
from tests.portal.people import browser_of, person
from tests.portal.test_pages import text_of
from tests.world import World, amount

PARTICIPANTS = "/api/ledger/v1/participants"
LIMITS = f"{PARTICIPANTS}/green/limits"
CAP = {"currency": "TZS", "limit": {"type": "NET_DEBIT_CAP", "value": 5, "alarmPercentage": 10}}
NEW = {"name": "provisioning", "scopes": [READ, WRITE], "days": "30", "reason": "onboarding by script"}


def read_with(headers: dict[str, str]) -> int:
    return operators.send("GET", PARTICIPANTS, None, headers).status_code


@pytest.fixture
def asha(world: World) -> User:
    return person(Role.ADMINISTRATOR, name="asha")


@pytest.fixture
def juma(world: World) -> User:
    return person(Role.ADMINISTRATOR, name="juma")


def shown_secret(page: str) -> tuple[str, str]:
    key, secret = re.findall(r"<dd><code>([^<]+)</code></dd>", page)
    return key, secret


@override_settings(**operators.OAUTH2)
def test_two_people_make_a_client_and_the_one_who_asked_sees_its_secret_once(
    world: World, asha: User, juma: User
) -> None:
    first, second = browser_of(asha), browser_of(juma)
    assert first.post("/portal/clients/new/", NEW).status_code == 302
    assert not AdministrationClient.objects.exists()
    approval = Approval.objects.get()
    first.post(f"/portal/approvals/{approval.pk}/approve/")
    assert not AdministrationClient.objects.exists()
    second.post(f"/portal/approvals/{approval.pk}/approve/")
    client = AdministrationClient.objects.get()
    assert (client.holder, client.sha256, client.scopes) == (asha, None, [READ, WRITE])
    reveal = f"/portal/clients/{client.pk}/secret/"
    assert "Show secret once" in text_of(first, "/portal/clients/")
    assert "Show secret once" not in text_of(second, "/portal/clients/")
    assert second.post(reveal).status_code == 404
    assert first.get(reveal).status_code == 405
    answer = first.post(reveal)
    assert "no-store" in answer["Cache-Control"]
    key, secret = shown_secret(answer.content.decode())
    assert key == client.key
    again = first.post(reveal, follow=True)
    assert secret not in again.content.decode()
    assert "already shown" in again.content.decode()
    client.refresh_from_db()
    assert secret not in str(list(AdministrationClient.objects.values()))
    assert secret not in str(list(Entry.objects.values_list("after", flat=True)))
    headers = proofs.bearer(operators.token_of(client, secret))
    assert read_with(headers) == 200
    assert operators.send("PUT", LIMITS, CAP, headers).status_code == 200
    assert Entry.objects.get(action="ndc_changed").actor == client.key
    actions = list(Entry.objects.filter(subject=client.key).order_by("id").values_list("action", "actor"))
    assert actions == [
        ("administration_client_added", "asha, approved by juma"),
        ("administration_secret_given", "asha"),
    ]


@override_settings(**operators.OAUTH2)
def test_two_people_revoke_a_client_and_its_tokens_end_at_once(world: World, asha: User, juma: User) -> None:
    client, secret = operators.make_client(of=asha)
    headers = proofs.bearer(operators.token_of(client, secret))
    assert read_with(headers) == 200
    assert browser_of(juma).post(f"/portal/clients/{client.pk}/revoke/", {"reason": "lost"}).status_code == 302
    assert read_with(headers) == 200
    browser_of(asha).post(f"/portal/approvals/{Approval.objects.get().pk}/approve/")
    assert read_with(headers) == 401
    assert proofs.ask_token(client.key, secret).status_code == 401
    assert browser_of(juma).get(f"/portal/clients/{client.pk}/revoke/").status_code == 404
    shown = text_of(browser_of(juma), "/portal/clients/")
    assert client.key in shown
    assert "revoked" in shown


def test_clients_are_listed_with_their_last_use_to_who_may_see_users(world: World, asha: User) -> None:
    client, secret = operators.make_client(of=asha)
    assert client.last_used_at is None
    with override_settings(**operators.OAUTH2):
        headers = proofs.bearer(operators.token_of(client, secret))
        client.refresh_from_db()
        first = client.last_used_at
        assert first is not None
        assert timezone.now() - first < timedelta(seconds=30)
        read_with(headers)
        client.refresh_from_db()
        assert client.last_used_at == first  # to the minute: not each request writes
        AdministrationClient.objects.filter(pk=client.pk).update(last_used_at=first - timedelta(minutes=2))
        read_with(headers)
        client.refresh_from_db()
        assert client.last_used_at >= first
    for role in Role:
        who = asha if role == Role.ADMINISTRATOR else person(role)
        status = browser_of(who).get("/portal/clients/").status_code
        assert status == (200 if role in (Role.ADMINISTRATOR, Role.AUDITOR) else 403)
    assert "Show secret once" not in text_of(browser_of(User.objects.get(username="auditor")), "/portal/clients/")


@pytest.mark.parametrize(
    "changed", [{"name": "A b"}, {"name": ""}, {"name": "x" * 33}, {"scopes": []}, {"scopes": ["all"]}, {"days": "731"}]
)
def test_a_client_that_can_not_be_is_not_asked_for(world: World, asha: User, changed: dict[str, object]) -> None:
    assert browser_of(asha).post("/portal/clients/new/", NEW | changed).status_code == 400
    assert not Approval.objects.exists()


def test_a_secret_is_given_only_while_its_request_would_wait(world: World, asha: User) -> None:
    made = services.add(name="late", scopes=[READ], days=30, holder=asha, actor="test")
    with time_machine.travel(timezone.now() + timedelta(days=4)), pytest.raises(Exception, match="no longer"):
        services.give_secret(made.pk, to=asha)
    services.revoke(made.key, actor="test")
    with pytest.raises(Exception, match="no longer"):
        services.give_secret(made.pk, to=asha)


@override_settings(**operators.OAUTH2)
def test_a_token_has_the_scopes_that_were_asked_for_of_those_that_the_client_has(world: World) -> None:
    client, secret = operators.make_client([READ])
    for form, expected in (
        ("grant_type=client_credentials", (200, READ)),
        (f"grant_type=client_credentials&scope={READ}", (200, READ)),
        (f"grant_type=client_credentials&scope={READ}+{WRITE}", (400, "invalid_scope")),
        ("grant_type=client_credentials&scope=everything", (400, "invalid_scope")),
    ):
        answer = proofs.ask_token(client.key, secret, form=form)
        told = answer.json()
        assert (answer.status_code, told.get("scope") or told.get("error")) == expected
    assert answer["Cache-Control"] == "no-store"
    dfsps = proofs.register_client("green")
    form = f"grant_type=client_credentials&scope={WRITE}"
    asked = proofs.ask_token(dfsps.credential.label, dfsps.secret, form=form)
    assert (asked.status_code, asked.json()["error"]) == (400, "invalid_scope")


@override_settings(**operators.OAUTH2)
def test_a40_an_administration_client_is_no_dfsp(world: World) -> None:
    client, secret = operators.make_client()
    headers = proofs.bearer(operators.token_of(client, secret))
    assert error_of(dfsp("GET", "/parties/MSISDN/1", headers=headers)) == (401, "3000")
    # Not either with a DFSP's key and the other's claims, or the reverse.
    forged = tokens.issue(client_key=client.key, participant="green", certificate_sha256=None)
    assert error_of(dfsp("GET", "/parties/MSISDN/1", headers=proofs.bearer(forged))) == (401, "3000")
    assert read_with(proofs.bearer(forged)) == 401
    dfsps = proofs.register_client("green")
    forged = tokens.issue_to_operators(client_key=dfsps.credential.label, scopes=[READ, WRITE])
    assert read_with(proofs.bearer(forged)) == 401
    assert error_of(dfsp("GET", "/parties/MSISDN/1", headers=proofs.bearer(forged))) == (401, "3000")


@override_settings(**operators.OAUTH2)
def test_a40_a_process_gives_tokens_for_its_own_doors_only(world: World) -> None:
    client, secret = operators.make_client()
    dfsps = proofs.register_client("green")

    def statuses() -> tuple[int, int]:
        return (
            proofs.ask_token(client.key, secret).status_code,
            proofs.ask_token(dfsps.credential.label, dfsps.secret).status_code,
        )

    for serves, expected in (
        (["fspiop", "administration"], (200, 200)),
        (["fspiop"], (401, 200)),
        (["administration", "portal", "admin", "docs"], (200, 401)),
        (["portal"], (404, 404)),
    ):
        with override_settings(SERVES=serves):
            assert statuses() == expected, serves


@override_settings(**operators.OAUTH2)
def test_a29_wrong_secrets_for_an_administration_client_do_not_keep_it_out(world: World) -> None:
    client, secret = operators.make_client()
    for number in range(60):
        assert proofs.ask_token(client.key, f"wrong {number}").status_code == 401
    assert read_with(proofs.bearer(operators.token_of(client, secret))) == 200
    for key in ("administration/", "administration/x\0y", client.key.upper(), f"{client.key} "):
        assert proofs.ask_token(key, secret).status_code == 401


@override_settings(**operators.OAUTH2)
def test_wrong_secrets_cost_the_database_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(secret_hash_cache, "_READ_EVERY_S", 1000.0)
    client, secret = operators.make_client()
    operators.token_of(client, secret)
    with django_assert_num_queries(0):
        for key in (
            client.key,
            "administration/nobody.0123456789abcdef",
            "administration/\0",
            "administration/" + "x" * 999,
        ):
            refused = proofs.ask_token(key, "wrong")
            assert (refused.status_code, json.loads(refused.content)["error"]) == (401, "invalid_client")
    services.revoke(client.key, actor="test")
    assert proofs.ask_token(client.key, secret).status_code == 401  # though the process still knows the hash


def test_a_client_without_a_secret_opens_nothing(world: World, asha: User) -> None:
    made = services.add(name="fresh", scopes=[READ], days=30, holder=asha, actor="test")
    for secret in ("", "None", "null"):
        assert proofs.ask_token(made.key, secret).status_code == 401
    with override_settings(**operators.OAUTH2):
        token = tokens.issue_to_operators(client_key=made.key, scopes=[READ])
        assert read_with(proofs.bearer(token)) == 401


@pytest.mark.parametrize(
    "statement",
    [
        "may_write = true",
        "holder_id = (SELECT min(id) FROM auth_user)",
        "key = 'administration/other'",
        "valid_until = valid_until + interval '1 day'",
        "sha256 = repeat('0', 64)",
        "sha256 = NULL, secret_given_at = NULL",
    ],
)
def test_the_database_keeps_a_clients_terms_and_secret(world: World, asha: User, statement: str) -> None:
    client, _ = operators.make_client([READ])
    with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE administration_administrationclient SET {statement} WHERE id = %s", [client.pk])


def test_the_database_keeps_a_revoked_client_revoked_and_for_ever(world: World) -> None:
    client, _ = operators.make_client()
    services.revoke(client.key, actor="test")
    for statement in (
        "UPDATE administration_administrationclient SET revoked_at = NULL WHERE id = %s",
        "DELETE FROM administration_administrationclient WHERE id = %s",
    ):
        with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, [client.pk])
    services.revoke(client.key, actor="test")
    assert Entry.objects.filter(action="administration_client_revoked").count() == 1


def test_the_database_lets_no_client_be_without_a_scope(world: World, asha: User) -> None:
    with pytest.raises(IntegrityError, match="may_do_something"), transaction.atomic():
        AdministrationClient.objects.create(
            name="x", key="administration/x", may_read=False, may_write=False, holder=asha, valid_until=timezone.now()
        )


EVERYWHERE = {"TWO_PEOPLE": "everywhere", **operators.OAUTH2}


def risk_officer(name: str) -> User:
    return person(Role.RISK, name=name)


def approve(number: int, user: User) -> None:
    changes.approve(visitor_for(User.objects.get(pk=user.pk)), number)


@override_settings(**EVERYWHERE)
def test_a30_who_has_a_clients_secret_does_not_approve_what_it_asks_for(world: World) -> None:
    holder, juma = risk_officer("asha"), risk_officer("juma")
    number = operators.send("PUT", LIMITS, CAP, operators.bearer(of=holder)).json()["approvalId"]
    with pytest.raises(changes.NotApproved, match="cannot approve it"):
        approve(number, holder)
    browser_of(holder).post(f"/portal/approvals/{number}/approve/")
    assert Approval.objects.get(pk=number).state == "PENDING"
    with (
        pytest.raises(IntegrityError, match="nobody_checks_what_their_client_asked_for"),
        transaction.atomic(),
    ):
        Approval.objects.filter(pk=number).update(state="APPROVED", checker=holder, decided_at=timezone.now())
    User.objects.filter(pk=juma.pk).update(email=holder.email.upper())
    with pytest.raises(changes.NotApproved, match="one person"):
        approve(number, juma)
    assert world.account("green").net_debit_cap == amount(1000)


@override_settings(**EVERYWHERE)
def test_a30_what_a_revoked_client_asked_for_does_not_happen(world: World) -> None:
    juma = risk_officer("juma")
    client, secret = operators.make_client()
    headers = proofs.bearer(operators.token_of(client, secret))
    number = operators.send("PUT", LIMITS, CAP, headers).json()["approvalId"]
    services.revoke(client.key, actor="test")
    with pytest.raises(changes.NotApproved, match="no longer has permission"):
        approve(number, juma)
    assert world.account("green").net_debit_cap == amount(1000)
    changes.refuse(visitor_for(juma), number, reason="revoked")


@override_settings(**EVERYWHERE)
def test_a30_the_terms_of_a_programs_request_do_not_change(world: World) -> None:
    juma = risk_officer("juma")
    number = operators.send("PUT", LIMITS, CAP, operators.bearer()).json()["approvalId"]
    for changed in ({"client": "administration/other"}, {"holder": None}, {"holder": juma}):
        with pytest.raises(IntegrityError, match="do not change"), transaction.atomic():
            Approval.objects.filter(pk=number).update(**changed)
    for client, holder in (("", None), ("x", None)):
        maker = None if client == "" else juma
        with pytest.raises(IntegrityError, match="a_request_is_a_persons_or_a_clients"), transaction.atomic():
            Approval.objects.create(
                kind="x",
                subject="x",
                payload={},
                payload_hash=b"",
                reason="",
                maker=maker,
                client=client,
                holder=holder,
                expires_at=timezone.now(),
            )


@override_settings(**EVERYWHERE)
def test_the_holder_may_take_back_what_the_client_asked_for_and_sees_it_as_its_own(world: World) -> None:
    holder, juma = risk_officer("asha"), risk_officer("juma")
    number = operators.send("PUT", LIMITS, CAP, operators.bearer(of=holder)).json()["approvalId"]
    page = text_of(browser_of(holder), f"/portal/approvals/{number}/")
    assert "Withdraw" in page
    assert "Approve</button>" not in page
    assert "Approve</button>" in text_of(browser_of(juma), f"/portal/approvals/{number}/")
    assert "administration/provisioning" in text_of(browser_of(juma), "/portal/approvals/")
    assert '<span class="count">1</span>' in browser_of(juma).get("/portal/overview/").content.decode()
    assert '<span class="count">1</span>' not in browser_of(holder).get("/portal/overview/").content.decode()
    with pytest.raises(changes.NotApproved, match="Withdraw it instead"):
        changes.refuse(visitor_for(holder), number, reason="")
    browser_of(holder).post(f"/portal/approvals/{number}/withdraw/")
    assert Approval.objects.get(pk=number).state == "WITHDRAWN"
    assert Entry.objects.get(action="approval_withdrawn").actor == "asha"


@override_settings(TWO_PEOPLE="everywhere", ADMINISTRATION_AUTH="staff")
def test_a30_staff_who_ask_through_the_api_do_not_approve_it_in_the_portal(world: World) -> None:
    olga, juma = risk_officer("olga"), risk_officer("juma")
    User.objects.filter(pk=olga.pk).update(is_staff=True)
    browser = browser_of(User.objects.get(pk=olga.pk))
    number = operators.send("PUT", LIMITS, CAP, browser=browser).json()["approvalId"]
    with pytest.raises(changes.NotApproved, match="cannot approve it"):
        approve(number, olga)
    approve(number, juma)
    assert world.account("green").net_debit_cap == amount(5)
