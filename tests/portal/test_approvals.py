"""Two people: what one asks for, another lets happen. The books move at the approval and not before."""

import pytest
from django.contrib.auth.models import User

from fspiop.money import parse_amount
from hub.audit.models import Approval
from hub.audit.models import Entry as AuditEntry
from hub.participants.models import Participant
from ledger.models import FundsMovement
from portal.permissions import Role
from tests.portal.people import browser, browser_of, person
from tests.world import World, amount

CAP = "/portal/participants/green/TZS/cap/"


def latest() -> Approval:
    return Approval.objects.latest("id")


def ask_for_cap(client: object, text: str = "2500") -> Approval:
    answer = client.post(CAP, {"ndc": text, "alarm_percentage": "15", "reason": "grows"})  # type: ignore[attr-defined]
    assert answer.status_code == 302, answer.content.decode()
    return latest()


def test_a_cap_changes_when_a_second_person_approves_it_and_not_before(world: World) -> None:
    maker, checker = browser(Role.RISK, name="asha"), browser(Role.RISK, name="juma")
    approval = ask_for_cap(maker)
    assert world.account("green").net_debit_cap == amount(1000)
    assert "You can approve or reject this request" in checker.get("/portal/approvals/").content.decode()
    assert checker.post(f"/portal/approvals/{approval.pk}/approve/").status_code == 302
    assert world.account("green").net_debit_cap == parse_amount("2500")
    assert world.account("green").alarm_percentage == 15
    done = Approval.objects.get(pk=approval.pk)
    assert (done.state, done.maker.username, done.checker.username) == ("APPROVED", "asha", "juma")
    change = AuditEntry.objects.get(action="ndc_changed")
    assert change.actor == "asha, approved by juma"
    assert (change.before["ndc"], change.after["ndc"]) == (amount(1000), amount(2500))
    assert list(
        AuditEntry.objects.filter(action__startswith="approval").order_by("id").values_list("action", "actor")
    ) == [("approval_asked", "asha"), ("approval_approved", "juma")]


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("TZS/cap/", {"ndc": "0.001", "alarm_percentage": "15"}),
        ("TZS/funds-in/", {"amount": "0.555"}),
        ("TZS/funds-out/", {"amount": "1.5550"}),
        ("currencies/new/", {"currency": "UGX", "ndc": "1.5"}),
    ],
)
def test_an_amount_finer_than_its_minor_unit_is_refused_to_who_asks(
    world: World, page: str, said: dict[str, str]
) -> None:
    for client in (browser(Role.RISK), browser(Role.SETTLEMENT), browser(Role.OPERATOR)):
        answer = client.post(f"/portal/participants/green/{page}", said | {"reason": "x"})
        if answer.status_code != 403:
            assert (answer.status_code, "more decimal places than" in answer.content.decode()) == (400, True)
            break
    else:
        raise AssertionError("nobody may ask for it")
    assert not Approval.objects.exists()


def test_a_form_that_is_wrong_is_shown_again_and_asks_for_nothing(world: World) -> None:
    client = browser(Role.RISK)
    for text in ("", "1e3", "-5", "1.000", "1,00,0", "12.34567", " ", "99999999999999999"):
        answer = client.post(CAP, {"ndc": text, "alarm_percentage": "15", "reason": "x"})
        assert answer.status_code == 400, text
    assert client.post(CAP, {"ndc": "5", "alarm_percentage": "15", "reason": ""}).status_code == 400
    assert client.post(CAP, {"ndc": "5", "alarm_percentage": "101", "reason": "x"}).status_code == 400
    assert not Approval.objects.exists()


def test_a_request_for_what_changed_meanwhile_can_not_be_approved(world: World) -> None:
    maker, checker = browser(Role.RISK, name="asha"), browser(Role.RISK, name="juma")
    first, second = ask_for_cap(maker, "2000"), ask_for_cap(maker, "3000")
    checker.post(f"/portal/approvals/{first.pk}/approve/")
    answer = checker.post(f"/portal/approvals/{second.pk}/approve/", follow=True)
    assert "has changed since" in answer.content.decode()
    assert Approval.objects.get(pk=second.pk).state == "WITHDRAWN"
    assert world.account("green").net_debit_cap == amount(2000)


def test_money_goes_in_and_out_by_two_people_each_time(world: World) -> None:
    officer, checker = browser(Role.SETTLEMENT), browser(Role.RISK)
    officer.post("/portal/participants/green/TZS/funds-in/", {"amount": "100.50", "reference": "B1", "reason": "paid"})
    assert world.account("green", "SETTLEMENT").posted_credits == amount(5000)
    checker.post(f"/portal/approvals/{latest().pk}/approve/")
    assert world.account("green", "SETTLEMENT").posted_credits == amount("5100.5")
    officer.post("/portal/participants/green/TZS/funds-out/", {"amount": "100.50", "reason": "wants it"})
    checker.post(f"/portal/approvals/{latest().pk}/approve/")
    movement = FundsMovement.objects.get(kind="FUNDS_OUT")
    assert movement.state == "RESERVED"
    end = f"/portal/participants/green/funds-out/{movement.pk}/end/"
    assert officer.get(end).status_code == 200
    officer.post(end, {"outcome": "paid", "reference": "B2", "reason": "bank says so"})
    checker.post(f"/portal/approvals/{latest().pk}/approve/")
    movement.refresh_from_db()
    assert movement.state == "COMMITTED"
    assert world.account("green", "SETTLEMENT").posted_debits == amount("100.5")
    assert world.breaks() == []


def test_a_participant_is_paused_and_called_elsewhere(world: World) -> None:
    operator, checker = browser(Role.OPERATOR), browser(Role.RISK)
    moved = {"type": "FSPIOP_CALLBACK_URL", "value": "https://moved.example", "reason": "moved"}
    assert operator.post("/portal/participants/green/endpoint/", moved).status_code == 302
    checker.post(f"/portal/approvals/{latest().pk}/approve/")
    assert Participant.objects.get(name="green").endpoints.get().value == "https://moved.example"
    operator.post("/portal/participants/green/activity/", {"reason": "silent"})
    assert Participant.objects.get(name="green").is_active
    checker.post(f"/portal/approvals/{latest().pk}/approve/")
    assert not Participant.objects.get(name="green").is_active


def test_a_user_and_its_roles_are_given_by_two_administrators(world: World) -> None:
    asha, juma = browser(Role.ADMINISTRATOR, name="asha"), browser(Role.ADMINISTRATOR, name="juma")
    new = {"username": "neema", "email": "neema@example.org", "roles": ["operator"], "participant": "", "reason": "new"}
    assert asha.post("/portal/users/new/", new).status_code == 302
    juma.post(f"/portal/approvals/{latest().pk}/approve/")
    neema = User.objects.get(username="neema")
    assert (neema.is_staff, neema.is_superuser, neema.has_usable_password()) == (False, False, False)
    assert asha.post("/portal/users/new/", {**new, "username": "neema2"}).status_code == 400
    assert asha.post("/portal/users/new/", {**new, "roles": ["participant-viewer"]}).status_code == 400
    asha.post("/portal/users/neema/roles/", {"roles": ["operator", "risk"], "reason": "helps out"})
    juma.post(f"/portal/approvals/{latest().pk}/approve/")
    assert set(neema.groups.values_list("name", flat=True)) == {"operator", "risk"}
    asha.post("/portal/users/neema/activity/", {"reason": "left"})
    juma.post(f"/portal/approvals/{latest().pk}/approve/")
    neema.refresh_from_db()
    assert not neema.is_active


def test_a_treasurer_asks_for_a_withdrawal_of_its_own_and_the_hub_decides(world: World) -> None:
    treasurer, officer = browser(Role.PARTICIPANT_TREASURER), browser(Role.SETTLEMENT)
    answer = treasurer.post("/portal/participants/green/TZS/funds-out/", {"amount": "10", "reason": "treasury"})
    assert answer.status_code == 302
    approval = latest()
    assert treasurer.get(f"/portal/approvals/{approval.pk}/").status_code == 200
    assert treasurer.post(f"/portal/approvals/{approval.pk}/approve/").status_code == 403
    officer.post(f"/portal/approvals/{approval.pk}/approve/")
    assert FundsMovement.objects.get(kind="FUNDS_OUT").amount == amount(10)


@pytest.mark.parametrize("path", ["", "approvals/", "participants/green/", "account/"])
def test_a_participants_people_land_on_pages_that_work(world: World, path: str) -> None:
    client = browser_of(person(Role.PARTICIPANT_VIEWER))
    answer = client.get(f"/portal/{path}", follow=True)
    assert answer.status_code == 200
    assert "blue" not in answer.content.decode()
