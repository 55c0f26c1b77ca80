"""A30: ways around the second person. Each is refused, and nothing moves."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import Client, override_settings

from hub.audit import approvals
from hub.audit.approvals import NotApproved
from hub.audit.models import Approval
from portal import changes, users
from portal.permissions import Role
from portal.visitor import visitor_for
from tests.api.caller import admin, error_of
from tests.concurrency.together import together
from tests.factories import UserFactory
from tests.portal.people import browser_of, person
from tests.world import World, amount


def ask_by(maker: User, ndc: int = 2000) -> Approval:
    payload = {
        "participant": "green",
        "currency": "TZS",
        "ndc_before": amount(1000),
        "ndc": amount(ndc),
        "alarm_percentage": 10,
    }
    return changes.ask(visitor_for(maker), "change_cap", subject="green", payload=payload, reason="test")


def approve_by(checker: User, approval: Approval) -> Approval:
    return changes.approve(visitor_for(User.objects.get(pk=checker.pk)), approval.pk)


def behind_the_guards(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE audit_approval DISABLE TRIGGER USER")
        cursor.execute(statement)
        cursor.execute("ALTER TABLE audit_approval ENABLE TRIGGER USER")


@pytest.fixture
def maker(world: World) -> User:
    return person(Role.RISK, name="asha")


@pytest.fixture
def checker(world: World) -> User:
    return person(Role.RISK, name="juma")


@pytest.fixture(autouse=True)
def _cap_is_untouched(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever is tried here, green's cap stays what it is."""
    name = "committed_world" if "committed_world" in request.fixturenames else "world"
    world: World = request.getfixturevalue(name)
    yield
    assert world.account("green").net_debit_cap == amount(1000)


def test_a30_nobody_approves_what_they_asked_for(world: World, maker: User) -> None:
    approval = ask_by(maker)
    with pytest.raises(NotApproved, match="cannot approve it"):
        approve_by(maker, approval)
    browser_of(maker).post(f"/portal/approvals/{approval.pk}/approve/")
    assert Approval.objects.get(pk=approval.pk).state == "PENDING"


def test_a30_the_database_refuses_it_too(world: World, maker: User) -> None:
    approval = ask_by(maker)
    with pytest.raises(IntegrityError, match="nobody_checks_what_they_asked_for"), transaction.atomic():
        Approval.objects.filter(pk=approval.pk).update(state="APPROVED", checker=maker, decided_at=datetime.now(UTC))


def test_a30_a_second_account_of_the_same_person_is_the_same_person(world: World, maker: User, checker: User) -> None:
    with pytest.raises(users.Refused, match="email"):
        users.create(
            username="asha2", email="ASHA@example.org", roles=frozenset({Role.RISK}), participant=None, actor="test"
        )
    User.objects.filter(pk=checker.pk).update(email="Asha@Example.org")
    with pytest.raises(NotApproved, match="one person"):
        approve_by(checker, ask_by(maker))


def test_a30_what_was_asked_for_can_not_be_changed_afterwards(world: World, maker: User, checker: User) -> None:
    approval = ask_by(maker)
    with pytest.raises(IntegrityError, match="do not change"), transaction.atomic():
        Approval.objects.filter(pk=approval.pk).update(payload={**approval.payload, "ndc": amount(999_999)})
    behind_the_guards(
        f"UPDATE audit_approval SET payload = jsonb_set(payload, '{{ndc}}', '99999990000') WHERE id = {approval.pk}"
    )
    with pytest.raises(NotApproved, match="changed after it was submitted"):
        approve_by(checker, approval)


def test_a30_what_expired_is_not_approved(world: World, maker: User, checker: User) -> None:
    approval = ask_by(maker)
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    behind_the_guards(f"UPDATE audit_approval SET expires_at = '{past}' WHERE id = {approval.pk}")
    with pytest.raises(NotApproved, match="expired"):
        approve_by(checker, approval)
    with pytest.raises(IntegrityError, match="what_expired_is_not_approved"), transaction.atomic():
        Approval.objects.filter(pk=approval.pk).update(state="APPROVED", checker=checker, decided_at=datetime.now(UTC))


def test_a30_a_maker_who_left_or_lost_the_role_meanwhile_has_asked_for_nothing(
    world: World, maker: User, checker: User
) -> None:
    approval = ask_by(maker)
    users.set_roles(maker, roles=frozenset({Role.VIEWER}), actor="test")
    with pytest.raises(NotApproved, match="no longer has permission"):
        approve_by(checker, approval)
    users.set_active(maker, is_active=False, actor="test")
    with pytest.raises(NotApproved, match="no longer a user"):
        approve_by(checker, approval)


def test_a30_a_checker_without_the_role_decides_nothing(world: World, maker: User) -> None:
    approval = ask_by(maker)
    for role in (Role.VIEWER, Role.AUDITOR, Role.OPERATOR, Role.ADMINISTRATOR, Role.PARTICIPANT_TREASURER):
        with pytest.raises(NotApproved, match="do not allow"):
            approve_by(person(role), approval)
        assert browser_of(User.objects.get(username=role.value)).post(
            f"/portal/approvals/{approval.pk}/refuse/"
        ).status_code in (403, 404)
    assert Approval.objects.get(pk=approval.pk).state == "PENDING"


def test_a30_what_was_decided_stays_decided(world: World, maker: User, checker: User) -> None:
    approval = ask_by(maker)
    approvals.withdraw(approval.pk, maker=maker)
    for decide in (
        lambda: approve_by(checker, approval),
        lambda: approvals.refuse(approval.pk, checker=checker, reason=""),
        lambda: approvals.withdraw(approval.pk, maker=maker),
    ):
        with pytest.raises(NotApproved, match="already been decided"):
            decide()
    with pytest.raises(IntegrityError, match="was decided"), transaction.atomic():
        Approval.objects.filter(pk=approval.pk).update(state="PENDING", decided_at=None)


def test_a30_only_the_maker_withdraws_and_nobody_else_is_refused_in_its_name(
    world: World, maker: User, checker: User
) -> None:
    approval = ask_by(maker)
    with pytest.raises(NotApproved, match="Only the requester"):
        approvals.withdraw(approval.pk, maker=checker)
    with pytest.raises(NotApproved, match="Withdraw it instead"):
        approvals.refuse(approval.pk, checker=maker, reason="")


def test_a30_no_url_approves_several_at_once(world: World, maker: User, checker: User) -> None:
    first, second = ask_by(maker), ask_by(maker)
    client = browser_of(checker)
    for path in ("/portal/approvals/", "/portal/approvals/approve/"):
        client.post(path, {"approval": [first.pk, second.pk]})
    assert set(Approval.objects.values_list("state", flat=True)) == {"PENDING"}


def test_a31_fields_that_a_form_does_not_have_are_ignored(world: World, maker: User) -> None:
    sent = {
        "ndc": "5",
        "alarm_percentage": "10",
        "reason": "x",
        "state": "APPROVED",
        "maker": "1",
        "participant": "blue",
        "ndc_before": "5",
        "is_superuser": "1",
    }
    browser_of(maker).post("/portal/participants/green/TZS/cap/", sent)
    approval = Approval.objects.get()
    assert (approval.state, approval.maker, approval.subject) == ("PENDING", maker, "green")
    assert (approval.payload["participant"], approval.payload["ndc_before"]) == ("green", amount(1000))
    browser_of(maker).post("/portal/account/", {"time_zone": "UTC", "language": "", "participant": "1", "roles": "x"})
    assert visitor_for(User.objects.get(pk=maker.pk)).roles == {Role.RISK}


def test_a30_two_checkers_at_once_do_it_once(committed_world: World) -> None:
    maker = person(Role.SETTLEMENT, name="asha")
    checkers = [person(Role.SETTLEMENT, name=name) for name in ("juma", "neema", "baraka", "zuri")]
    for _round in range(5):
        payload = {
            "participant": "green",
            "currency": "TZS",
            "amount": amount(1),
            "reference": "",
            "reason": "test",
            "transfer_id": f"00000000-0000-4000-8000-{_round:012}",
        }
        before = committed_world.account("green", "SETTLEMENT").posted_credits
        approval = changes.ask(visitor_for(maker), "funds_in", subject="green", payload=payload, reason="test")

        def decide(checker: User, approval: Approval = approval) -> str:
            try:
                approve_by(checker, approval)
            except NotApproved as reason:
                return str(reason)
            return "approved"

        said = together([partial(decide, checker) for checker in checkers])
        assert sorted(said) == ["This request has already been decided."] * 3 + ["approved"]
        assert committed_world.account("green", "SETTLEMENT").posted_credits == before + amount(1)
    assert committed_world.breaks() == []


def test_a30_django_admin_has_no_way_around(world: World, maker: User) -> None:
    approval = ask_by(maker)
    root = UserFactory.create(username="root", is_root=True)
    client: Client = browser_of(root)
    for path in ("audit/approval/", "ledger/account/", "participants/participant/"):
        client.post(f"/admin/{path}{approval.pk}/change/", {"state": "APPROVED", "net_debit_cap": "1", "is_active": ""})
    approval.refresh_from_db()
    assert approval.state == "PENDING"


@override_settings(ADMINISTRATION_API_READ_ONLY=True)
def test_a30_the_administration_api_can_be_closed_to_changes(world: World) -> None:
    limit = {"currency": "TZS", "limit": {"type": "NET_DEBIT_CAP", "value": 5}}
    assert error_of(admin("PUT", "/participants/green/limits", limit)) == (403, "3000")
    assert error_of(admin("POST", "/participants", {"name": "new", "currency": "TZS"})) == (403, "3000")
    assert admin("GET", "/participants/green/limits").status_code == 200
