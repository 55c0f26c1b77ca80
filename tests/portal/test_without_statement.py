"""Settling without a bank's statement is said in plain words, with a reason, by the first person and to the second."""

import pytest
from django.test import Client

from hub.audit.models import Approval, Entry
from ledger.models import SettlementWindow
from portal.permissions import Role
from settlement import services
from settlement.models import Settlement, Statement
from settlement.states import State
from tests.portal.people import browser
from tests.portal.test_pages import _deferred_net_model, pay, text_of
from tests.world import World

WHY = "its line is down; it said so by telephone"
TICK = {"without_statement": "on", "because": WHY}


@pytest.fixture
def settlement(committed_world: World) -> Settlement:
    pay(committed_world, "green", "blue", "100")
    window = SettlementWindow.objects.get(state="OPEN")
    services.close_window(reason="end of day", actor="test")
    return services.create(model_name=_deferred_net_model(), window_ids=[window.pk], reason="end of day", actor="test")


@pytest.fixture
def officer(settlement: Settlement) -> Client:
    return browser(Role.SETTLEMENT)


pytestmark = pytest.mark.django_db(transaction=True)


def test_it_is_not_asked_for_without_the_tick_and_a_reason(officer: Client, settlement: Settlement) -> None:
    path = f"/portal/settlement/{settlement.pk}/advance/"
    assert "none uploaded" in text_of(officer, path)
    for said in ({}, {"without_statement": "on"}, {"without_statement": "on", "because": "  "}, {"because": WHY}):
        answer = officer.post(path, {"to": "SETTLED", "reason": "end of day", **said})
        assert answer.status_code == 400, said
    assert not Approval.objects.exists()
    # A step before the last needs none.
    assert officer.post(path, {"to": "PS_TRANSFERS_RECORDED", "reason": "r"}).status_code == 302
    assert Approval.objects.get().payload["without_statement"] == ""


def test_who_approves_and_the_audit_trail_read_why(officer: Client, settlement: Settlement) -> None:
    path = f"/portal/settlement/{settlement.pk}/advance/"
    assert officer.post(path, {"to": "SETTLED", "reason": "end of day", **TICK}).status_code == 302
    approval = Approval.objects.get()
    assert approval.payload["without_statement"] == WHY
    checker = browser(Role.RISK)
    assert WHY in text_of(checker, f"/portal/approvals/{approval.pk}/")
    assert Entry.objects.get(action="approval_asked").after["payload"]["without_statement"] == WHY
    checker.post(f"/portal/approvals/{approval.pk}/approve/")
    assert Settlement.objects.get().state == "SETTLED"


def test_a_request_that_does_not_say_why_settles_nothing(officer: Client, settlement: Settlement) -> None:
    officer.post(f"/portal/settlement/{settlement.pk}/advance/", {"to": "PS_TRANSFERS_RECORDED", "reason": "r"})
    kept = Approval.objects.get()
    # As one that was asked for before there was anything to say.
    from hub.audit import approvals

    payload = {name: value for name, value in kept.payload.items() if name != "without_statement"}
    asked = approvals.ask(
        kind=kept.kind, subject="settlement old", payload=payload | {"to": "SETTLED"}, reason="r", maker=kept.maker
    )
    answer = browser(Role.RISK).post(f"/portal/approvals/{asked.pk}/approve/", follow=True)
    assert "no reason for its absence" in answer.content.decode()
    assert Settlement.objects.get().state == "PENDING_SETTLEMENT"


@pytest.mark.parametrize("has_wrong_statement", [False, True])
def test_a_settlement_in_which_nothing_is_owed_is_settled_without_a_statement(
    committed_world: World, has_wrong_statement: bool
) -> None:
    officer, checker = browser(Role.SETTLEMENT), browser(Role.RISK)
    pay(committed_world, "green", "blue", "100")
    pay(committed_world, "blue", "green", "100")
    window = SettlementWindow.objects.get(state="OPEN")
    services.close_window(reason="end of day", actor="test")
    made = services.create(model_name=_deferred_net_model(), window_ids=[window.pk], reason="end of day", actor="test")
    assert set(made.accounts.values_list("net", flat=True)) == {0}
    services.advance(made.pk, to=State.PS_TRANSFERS_COMMITTED, reason="test", actor="test")
    if has_wrong_statement:  # one that an earlier version took in
        Statement.objects.create(settlement=made, name="s", body=b"x", sha256="0", is_exact=False, actor="test")
    path = f"/portal/settlement/{made.pk}/"
    page = text_of(officer, path)
    assert "All net amounts are zero, so the bank has nothing to pay." in page
    assert f'<a class="btn btn-primary" href="{path}advance/">Continue settlement</a>' in page
    assert "Settle without a bank statement" not in text_of(officer, f"{path}advance/")
    assert officer.post(f"{path}advance/", {"to": "SETTLED", "reason": "end of day"}).status_code == 302
    approval = Approval.objects.get()
    assert "none needed: all net amounts are zero" in text_of(checker, f"/portal/approvals/{approval.pk}/")
    checker.post(f"/portal/approvals/{approval.pk}/approve/")
    assert Settlement.objects.get().state == "SETTLED"
    assert committed_world.breaks() == []
