"""A net sender's cover that is on hold is seen, and let go where two people say so."""

import pytest

from hub.audit.models import Approval, Entry
from ledger import accounts_and_funds as ledger
from ledger.models import CoverHold, SettlementWindow
from portal.permissions import Role
from settlement import services
from settlement.states import State
from tests.portal.people import browser
from tests.portal.test_pages import _deferred_net_model, pay, text_of
from tests.world import World, amount


@pytest.mark.django_db(transaction=True)
def test_two_people_say_that_a_dfsp_settles_otherwise(committed_world: World) -> None:
    pay(committed_world, "green", "blue", "100")
    window = SettlementWindow.objects.get(state="OPEN")
    services.close_window(reason="end of day", actor="test")
    made = services.create(model_name=_deferred_net_model(), window_ids=[window.pk], reason="end of day", actor="test")
    services.advance(made.pk, to=State.SETTLED, reason="end of day", actor="test")
    hold = CoverHold.objects.get()
    officer, checker = browser(Role.SETTLEMENT), browser(Role.RISK)
    page = f"/portal/settlement/{made.pk}/"
    assert "On hold until the bank has moved the money" in text_of(officer, page)
    asked = f"/portal/settlement/holds/{hold.pk}/release/"
    assert asked in officer.get(page).content.decode()
    assert asked not in checker.get(page).content.decode()

    assert officer.post(asked, {"reason": "it settles by another bank"}).status_code == 302
    approval = Approval.objects.get()
    assert CoverHold.objects.get().remaining == amount(100)
    assert "100" in text_of(checker, f"/portal/approvals/{approval.pk}/")
    officer.post(f"/portal/approvals/{approval.pk}/approve/")  # not by the same person
    assert committed_world.account("green", "SETTLEMENT").on_hold == amount(100)
    checker.post(f"/portal/approvals/{approval.pk}/approve/")
    assert committed_world.account("green", "SETTLEMENT").on_hold == 0
    assert Entry.objects.get(action="hold_released").after["settlement"] == made.pk
    assert "On hold until the bank has moved the money" not in text_of(officer, page)
    assert officer.get(asked).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_what_the_bank_moved_meanwhile_is_not_released_unread(committed_world: World) -> None:
    pay(committed_world, "green", "blue", "100")
    window = SettlementWindow.objects.get(state="OPEN")
    services.close_window(reason="end of day", actor="test")
    made = services.create(model_name=_deferred_net_model(), window_ids=[window.pk], reason="end of day", actor="test")
    services.advance(made.pk, to=State.SETTLED, reason="end of day", actor="test")
    officer, checker = browser(Role.SETTLEMENT), browser(Role.RISK)
    officer.post(f"/portal/settlement/holds/{CoverHold.objects.get().pk}/release/", {"reason": "otherwise"})
    ledger.prepare_funds_out(
        committed_world.account("green", "SETTLEMENT"),
        transfer_id="7e1f4b8a-4a58-4d0a-9f3e-1f1e5f6d7c80",
        amount=amount(40),
        reason="test",
        external_reference=str(made.pk),
        actor="test",
    )
    checker.post(f"/portal/approvals/{Approval.objects.get().pk}/approve/")
    assert committed_world.account("green", "SETTLEMENT").on_hold == amount(60)
