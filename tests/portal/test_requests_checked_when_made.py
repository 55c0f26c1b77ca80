"""A request is checked when it is made, checked again when it is approved, and ends by itself when it cannot hold."""

import pytest
from django.test import Client

from hub.audit.models import Approval, Entry
from hub.audit.trail import broken_links
from portal import changes
from portal.permissions import Role
from settlement import services
from settlement.models import Settlement
from settlement.services import bank_statements
from settlement.states import STEPS, State
from tests.portal.people import browser
from tests.portal.test_participants import approve, latest, text_of
from tests.settlement.operator_steps import add_model, close, pay, set_cap
from tests.world import World, amount

GREEN = "/portal/participants/green/"


def settled_up_to(world: World, state: State | None = None) -> Settlement:
    """A settlement of green's payment of 100 to blue, in this state."""
    add_model()
    pay(world, "green", "blue", 100)
    made = services.create(model_name="DEFERREDNET", window_ids=[close()], reason="test", actor="test")
    if state is not None:
        services.advance(made.pk, to=state, reason="test", actor="test")
    return Settlement.objects.get(pk=made.pk)


def statement_of(settlement: Settlement, *, wrong: bool = False) -> bytes:
    """The bank's CSV about this settlement; wrong: with an amount that is not the settlement's."""
    rows = ["settlement,reference,participant,currency,amount,direction,bankReference"]
    for account in settlement.accounts.select_related("account__participant").order_by("id"):
        size = abs(int(account.net)) // 10_000 + (1 if wrong else 0)
        name, direction = account.account.participant.name, "DEBIT" if account.net > 0 else "CREDIT"
        rows.append(f"{settlement.pk},{account.transfer_id},{name},TZS,{size},{direction},B{account.pk}")
    return "\n".join(rows).encode()


def take_in(settlement: Settlement, **kwargs: bool) -> None:
    bank_statements.take_in(settlement.pk, name="s.csv", octets=statement_of(settlement, **kwargs), actor="test")


def preselected(client: Client, settlement: Settlement) -> tuple[str, list[str]]:
    """The step that the form chooses at first, and all steps that it offers."""
    form = client.get(f"/portal/settlement/{settlement.pk}/advance/").context["form"]
    return form["to"].initial, [value for value, _name in form.fields["to"].choices]


def test_the_next_state_is_preselected_from_every_state(world: World) -> None:
    client = browser(Role.SETTLEMENT)
    settlement = settled_up_to(world)
    for number, step in enumerate(STEPS):
        assert preselected(client, settlement) == (step.value, [each.value for each in STEPS[number:]])
        if step == State.SETTLED:
            break
        services.advance(settlement.pk, to=step, reason="test", actor="test")
    first = settlement.accounts.select_related("account").first()
    assert first is not None
    wish = services.settlements.Wish(first.account.participant_id, first.account_id, State.SETTLED, "test")
    services.move(settlement.pk, [wish], actor="test")
    settlement.refresh_from_db()
    assert settlement.state == "SETTLING"
    assert preselected(client, settlement) == ("SETTLED", ["SETTLED"])


def test_nobody_requests_a_withdrawal_above_what_is_free(world: World) -> None:
    officer = browser(Role.SETTLEMENT)
    said = {"amount": "9999", "reference": "", "reason": "r"}
    answer = officer.post(f"{GREEN}TZS/funds-out/", said)
    assert answer.status_code == 400
    assert "At most 5,000.00 TZS can be paid out" in answer.content.decode()
    assert not Approval.objects.exists()


def test_nobody_requests_a_settlement_by_a_statement_that_does_not_match(world: World) -> None:
    officer = browser(Role.SETTLEMENT)
    settlement = settled_up_to(world, State.PS_TRANSFERS_COMMITTED)
    take_in(settlement, wrong=True)
    answer = officer.post(f"/portal/settlement/{settlement.pk}/advance/", {"to": "SETTLED", "reason": "r"})
    assert answer.status_code == 400
    assert "The bank&#x27;s last statement does not match this settlement." in answer.content.decode()
    assert not Approval.objects.exists()


def test_a_step_that_a_limit_forbids_is_refused_in_words_that_name_the_participant(world: World) -> None:
    officer = browser(Role.SETTLEMENT)
    add_model(requireLiquidityCheck=True)
    pay(world, "green", "blue", 900)
    window = close()
    pay(world, "blue", "red", 900)
    made = services.create(model_name="DEFERREDNET", window_ids=[window], reason="test", actor="test")
    set_cap(world, "blue", 10)
    said = {"to": "PS_TRANSFERS_RESERVED", "reason": "r"}
    answer = officer.post(f"/portal/settlement/{made.pk}/advance/", said)
    assert answer.status_code == 400
    assert "blue has already spent the amount that it receives" in answer.content.decode()
    assert not Approval.objects.exists()


def test_what_no_longer_holds_is_refused_again_in_fitting_words_and_may_hold_later(world: World) -> None:
    officer, checker = browser(Role.SETTLEMENT), browser(Role.RISK)
    said = {"amount": "5000", "reference": "", "reason": "r"}
    assert officer.post(f"{GREEN}TZS/funds-out/", said).status_code == 302
    pay(world, "green", "blue", 100)
    page = text_of(checker, f"/portal/approvals/{latest().pk}/")
    for shown in ("Cover now", "5,000.00", "Cover in use", "100.00", "Free for a withdrawal", "4,900.00"):
        assert shown in page, shown
    assert "At most 4,900.00 TZS can be paid out" in approve(checker)
    assert latest().state == "PENDING"
    pay(world, "blue", "green", 100)
    assert "has taken effect" in approve(checker)


def test_a_request_that_can_never_hold_is_withdrawn_when_it_is_approved(world: World) -> None:
    officer, checker = browser(Role.SETTLEMENT), browser(Role.RISK)
    settlement = settled_up_to(world)
    path = f"/portal/settlement/{settlement.pk}/advance/"
    assert officer.post(path, {"to": "PS_TRANSFERS_RECORDED", "reason": "r"}).status_code == 302
    services.abort(settlement.pk, reason="test", actor="test")
    told = approve(checker)
    assert "The hub has withdrawn this request" in told
    assert latest().state == "WITHDRAWN"
    assert "The data changed after the request was submitted." in text_of(checker, f"/portal/approvals/{latest().pk}/")
    assert Entry.objects.filter(action="approval_withdrawn").count() == 1
    assert list(broken_links()) == []


def test_the_tick_withdraws_what_can_never_hold_and_leaves_the_rest(world: World) -> None:
    officer, risk = browser(Role.SETTLEMENT), browser(Role.RISK)
    settlement = settled_up_to(world)
    path = f"/portal/settlement/{settlement.pk}/advance/"
    officer.post(path, {"to": "PS_TRANSFERS_RECORDED", "reason": "r"})
    risk.post(f"{GREEN}TZS/cap/", {"ndc": "2500", "alarm_percentage": "15", "reason": "r"})
    officer.post(f"{GREEN}TZS/funds-in/", {"amount": "5", "reference": "B", "reason": "r"})
    assert changes.withdraw_outdated() == 0
    services.abort(settlement.pk, reason="test", actor="test")
    set_cap(world, "green", 30)
    assert changes.withdraw_outdated() == 2
    states = dict(Approval.objects.values_list("kind", "state"))
    assert states == {"advance_settlement": "WITHDRAWN", "change_cap": "WITHDRAWN", "funds_in": "PENDING"}
    assert changes.withdraw_outdated() == 0


def test_who_approves_a_cap_sees_the_position_and_the_cover(world: World) -> None:
    risk, checker = browser(Role.RISK), browser(Role.RISK, name="second")
    pay(world, "green", "blue", 100)
    risk.post(f"{GREEN}TZS/cap/", {"ndc": "250", "alarm_percentage": "15", "reason": "r"})
    page = text_of(checker, f"/portal/approvals/{latest().pk}/")
    figures = ("Position with reserved amounts", "100.00", "Cover now", "5,000.00", "Free after the change", "150.00")
    for shown in figures:
        assert shown in page, shown
    approve(checker)
    assert world.account("green").net_debit_cap == amount(250)
    # A decided request shows what was decided, and no figures of today.
    assert "Free after the change" not in text_of(checker, f"/portal/approvals/{latest().pk}/")


pytestmark = pytest.mark.django_db
