"""What a participant that stays gets back, and what is shown and asked before a participant is disabled."""

import pytest
from django.conf import LazySettings
from django.test import Client

from hub.audit.models import Approval
from hub.participants import services as participants
from hub.participants.models import Participant
from portal.permissions import Role
from tests.api.caller import admin
from tests.portal.people import browser
from tests.portal.test_participants import GREEN, approve, latest, text_of
from tests.settlement.operator_steps import add_model, close, pay, settle, step
from tests.world import World, prepare, run

LEAVING = f"{GREEN}off-boarding/"


@pytest.fixture
def two(world: World) -> tuple[Client, Client]:
    return browser(Role.OPERATOR), browser(Role.RISK)


def directions() -> tuple[bool, bool]:
    found = Participant.objects.get(name="green")
    return found.may_send, found.may_receive


@pytest.mark.parametrize("before", [(True, False), (False, True), (False, False), (True, True)])
def test_who_stays_has_the_restriction_of_before(
    world: World, two: tuple[Client, Client], before: tuple[bool, bool]
) -> None:
    operator, checker = two
    green = Participant.objects.get(name="green")
    participants.set_directions(green, may_send=before[0], may_receive=before[1], actor="test")
    operator.post(f"{LEAVING}begin_leaving/", {"reason": "r"})
    approve(checker)
    assert directions() == (False, False)
    operator.post(f"{LEAVING}stay/", {"reason": "r"})
    approve(checker)
    assert directions() == before


def test_disabling_shows_what_is_reserved_and_owed_to_both_people(world: World, two: tuple[Client, Client]) -> None:
    operator, checker = two
    add_model()
    pay(world, "green", "blue", 30)
    settlement = settle(close())
    for state in ("PS_TRANSFERS_RECORDED", "PS_TRANSFERS_RESERVED", "PS_TRANSFERS_COMMITTED"):
        step(settlement, state)
    pay(world, "green", "blue", 40)
    run(prepare(world, "green", "red", 7))
    page = text_of(operator, f"{GREEN}activity/")
    shown = ("Reserved", "7.00", "Owed for payments", "40.00", "Owed to the settlement bank", "30.00")
    for part in shown:
        assert part in page, part
    assert operator.post(f"{GREEN}activity/", {"reason": ""}).status_code == 400
    assert operator.post(f"{GREEN}activity/", {"reason": "its licence ended"}).status_code == 302
    page = text_of(checker, f"/portal/approvals/{latest().pk}/")
    for part in (*shown, "its licence ended"):
        assert part in page, part
    approve(checker)
    assert not Participant.objects.get(name="green").is_active


def test_a_scheme_may_refuse_to_disable_who_owes(
    world: World, two: tuple[Client, Client], settings: LazySettings
) -> None:
    operator, _checker = two
    settings.DISABLE_WHILE_OWING = False
    for name in ("blue", "red"):  # is owed; and has nothing
        assert admin("PUT", f"/participants/{name}", {"isActive": True}).status_code == 200
    run(prepare(world, "green", "red", 7))
    answer = operator.post(f"{GREEN}activity/", {"reason": "r"})
    assert answer.status_code == 400
    assert "green still has reserved or owed amounts" in answer.content.decode()
    assert not Approval.objects.exists()
    answer = admin("PUT", "/participants/green", {"isActive": False})
    assert answer.status_code == 400
    assert Participant.objects.get(name="green").is_active
    assert admin("PUT", "/participants/red", {"isActive": False}).status_code == 200
