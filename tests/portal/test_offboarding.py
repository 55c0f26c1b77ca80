"""Off-boarding in the portal: step by step, none skipped, each change asked for by one and done by another."""

import uuid

import pytest
from django.test import Client

from hub.audit.models import Approval
from hub.audit.models import Entry as AuditEntry
from hub.participants.models import Credential, Participant
from ledger import accounts_and_funds
from ledger.models import Account
from portal import users
from portal.permissions import Role
from tests import proofs
from tests.portal.people import PASSWORD, browser, browser_of, person
from tests.portal.test_participants import GREEN, approve, text_of
from tests.settlement.test_closing_participants import pay_out
from tests.world import World, amount, fulfil, prepare, reject, run

PAGE = f"{GREEN}off-boarding/"
CHANGES = ("begin_leaving", "revoke_all", "close_participant", "stay")


def green() -> Participant:
    return Participant.objects.get(name="green")


@pytest.fixture
def two(world: World) -> tuple[Client, Client]:
    return browser(Role.OPERATOR), browser(Role.RISK)


def offered(operator: Client) -> set[str]:
    """What may be asked for now."""
    return {change for change in CHANGES if operator.get(f"{PAGE}{change}/").status_code == 200}


def test_a_participant_leaves_step_by_step(world: World, two: tuple[Client, Client]) -> None:
    operator, checker = two
    proofs.register_key("green")
    reserved = prepare(world, "green", "blue", 10)
    run(reserved)
    assert offered(operator) == {"begin_leaving"}
    operator.post(f"{PAGE}begin_leaving/", {"reason": "its licence ends"})
    assert green().leaving_since is None
    approve(checker)
    assert ">off-boarding<" in text_of(operator, GREEN)
    page = text_of(operator, PAGE)
    assert "1 still reserved" in page
    assert offered(operator) == {"stay"}

    run(reject(world, "blue", reserved.transfer_id))
    page = text_of(operator, PAGE)
    assert "still reserved" not in page
    assert "5,000.00 TZS" in page
    assert f"{GREEN}TZS/funds-out/" in page
    assert offered(operator) == {"stay"}

    pay_out(world)
    assert "1 not revoked" in text_of(operator, PAGE)
    assert offered(operator) == {"stay", "revoke_all"}
    operator.post(f"{PAGE}revoke_all/", {"reason": "nothing is left"})
    approve(checker)
    assert Credential.objects.get().revoked_at is not None

    assert offered(operator) == {"stay", "close_participant"}
    operator.post(f"{PAGE}close_participant/", {"reason": "done"})
    assert green().closed_at is None
    approve(checker)
    assert green().closed_at is not None
    assert offered(operator) == set()
    page = text_of(operator, GREEN)
    assert "closed" in page
    assert "Resume" not in page
    assert "Funds in</a>" not in page


def test_a_reserved_withdrawal_of_a_leaving_participant_leads_to_its_outcome(
    world: World, two: tuple[Client, Client]
) -> None:
    operator, checker = two
    operator.post(f"{PAGE}begin_leaving/", {"reason": "its licence ends"})
    approve(checker)
    number = str(uuid.uuid4())
    accounts_and_funds.prepare_funds_out(
        Account.objects.get(participant=green(), type="SETTLEMENT"),
        transfer_id=number,
        amount=amount(5000),
        reason="leaves",
        external_reference="",
        actor="test",
    )
    page = text_of(operator, PAGE)
    assert "still reserved" not in page
    assert "Reserved funds out: when the bank has paid, record the outcome" in page
    assert f"{GREEN}funds-out/{number}/end/" in page


def test_who_works_at_a_closed_participant_is_out_at_once_and_for_good(
    world: World, two: tuple[Client, Client]
) -> None:
    operator, checker = two
    own, others = person(Role.PARTICIPANT_TREASURER), person(Role.PARTICIPANT_VIEWER, participant="blue")
    inside, elsewhere = browser_of(own), browser_of(others)
    pay_out(world)
    operator.post(f"{PAGE}begin_leaving/", {"reason": "r"})
    approve(checker)
    assert inside.get(GREEN).status_code == 200
    operator.post(f"{PAGE}close_participant/", {"reason": "r"})
    assert inside.get(GREEN).status_code == 200
    approve(checker)
    answer = inside.get(GREEN)
    assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/portal/sign-in/")
    assert elsewhere.get("/portal/participants/blue/").status_code == 200
    entry = AuditEntry.objects.get(action="user_disabled")
    assert (entry.subject, entry.after) == (own.username, {"isActive": False})
    assert "approved by" in entry.actor
    # Neither a password nor an administrator lets it in again, nor a row that was changed by hand.
    assert Client().login(username=own.username, password=PASSWORD) is False
    with pytest.raises(users.Refused):
        users.set_active(own, is_active=True, actor="test")
    with pytest.raises(users.Refused):
        users.create(username="late", email="late@x.example", roles=frozenset(Role), participant=green(), actor="test")
    type(own).objects.filter(pk=own.pk).update(is_active=True)
    assert browser_of(own).get(GREEN).status_code == 302
    assert Client().login(username=own.username, password=PASSWORD) is False


def test_what_is_settled_to_zero_in_an_open_window_still_waits(world: World, two: tuple[Client, Client]) -> None:
    operator, checker = two
    for payer, payee in (("green", "blue"), ("blue", "green")):
        command = prepare(world, payer, payee, 10)
        run(command)
        run(fulfil(world, payee, command.transfer_id))
    operator.post(f"{PAGE}begin_leaving/", {"reason": "r"})
    approve(checker)
    assert "is not settled" in text_of(operator, PAGE)
    pay_out(world)
    assert offered(operator) == {"stay"}


def test_a_step_that_became_untimely_is_refused_at_its_approval(world: World, two: tuple[Client, Client]) -> None:
    operator, checker = two
    pay_out(world)
    operator.post(f"{PAGE}begin_leaving/", {"reason": "r"})
    approve(checker)
    operator.post(f"{PAGE}close_participant/", {"reason": "r"})
    world.funds_in("green", 5)
    assert "not empty" in approve(checker)
    assert green().closed_at is None
    assert Approval.objects.latest("id").state == "PENDING"


def test_who_stays_after_all_sends_and_receives_again(world: World, two: tuple[Client, Client]) -> None:
    operator, checker = two
    operator.post(f"{PAGE}begin_leaving/", {"reason": "r"})
    approve(checker)
    operator.post(f"{PAGE}stay/", {"reason": "bought by another"})
    approve(checker)
    assert (green().leaving_since, green().may_send, green().may_receive) == (None, True, True)
    assert offered(operator) == {"begin_leaving"}
    assert operator.get(f"{PAGE}no-such-change/").status_code == 404
    assert operator.get(f"{PAGE}onboard/").status_code == 404
