"""Immediate gross settlement: each commit is settled soon afterwards, between its payer and its payee."""

import pytest

from ledger import queries
from ledger.models import Entry
from settlement import gross_settlement, services, window_totals_and_commits
from settlement.models import SettlementModel, WindowContent
from tests.api.caller import admin, error_of
from tests.settlement.operator_steps import (
    add_model,
    close,
    onboard_in,
    open_window,
    pay,
    settle,
    settle_all,
    settlement_api,
)
from tests.world import World, amount

GROSS = {
    "settlementGranularity": "GROSS",
    "settlementInterchange": "BILATERAL",
    "settlementDelay": "IMMEDIATE",
    "autoPositionReset": False,
    "currency": "KES",
}


@pytest.fixture
def shillings(world: World) -> World:
    """A world where KES is settled at once and TZS is not."""
    onboard_in(world, "KES")
    assert add_model("CGS", **GROSS).status_code == 201
    assert add_model().status_code == 201
    return world


def held(world: World, name: str) -> int:
    return -queries.value_of(world.account(name, "SETTLEMENT", "KES"))


def position(world: World, name: str) -> int:
    return queries.value_of(world.account(name, "POSITION", "KES"))


def test_a_commits_amount_moves_from_both_positions_to_what_both_hold(shillings: World) -> None:
    pay(shillings, "green", "blue", 100, "KES")
    pay(shillings, "blue", "green", 30, "KES")
    pay(shillings, "green", "blue", 7, "TZS")
    assert gross_settlement.settle_new_commits() == 2
    assert gross_settlement.settle_new_commits() == 0
    assert (held(shillings, "green"), held(shillings, "blue")) == (amount(4930), amount(5070))
    assert position(shillings, "green") == position(shillings, "blue") == 0
    assert shillings.position("green") == amount(7)
    assert Entry.objects.filter(kind__startswith="GROSS_").count() == 4
    assert shillings.breaks() == []


def test_a_receiver_may_pay_on_at_once_all_that_it_received(shillings: World) -> None:
    shillings.onboard("white", ndc=1000, cover=0, currency="KES")
    pay(shillings, "green", "white", 100, "KES")
    pay(shillings, "white", "blue", 100, "KES")
    gross_settlement.settle_new_commits()
    assert (held(shillings, "white"), position(shillings, "white")) == (0, 0)
    assert shillings.breaks() == []


def test_a_long_queue_is_settled_in_its_order_and_looked_through_once(
    shillings: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gross_settlement, "_MOST", 2)
    monkeypatch.setattr(
        window_totals_and_commits,
        "_SURELY_SEEN",
        window_totals_and_commits._SURELY_SEEN.replace("1 minute", "0 seconds"),
    )
    for _ in range(5):
        pay(shillings, "green", "blue", 10, "KES")
    assert gross_settlement.settle_new_commits() == 5
    assert gross_settlement.settle_new_commits() == 0
    last = Entry.objects.filter(kind="TRANSFER").latest("id").pk
    assert SettlementModel.objects.get(name="CGS").settled_to >= last
    pay(shillings, "blue", "green", 3, "KES")
    assert gross_settlement.settle_new_commits() == 1
    assert held(shillings, "blue") == amount(5047)
    assert shillings.breaks() == []


def test_closing_a_window_settles_what_still_waits_and_leaves_only_the_rest(shillings: World) -> None:
    pay(shillings, "green", "blue", 100, "KES")
    pay(shillings, "green", "blue", 7, "TZS")
    window = close()
    assert position(shillings, "green") == 0
    shown = settlement_api("GET", f"/settlementWindows/{window}").json()
    assert {(c["currencyId"], c["state"]) for c in shown["content"]} == {("KES", "SETTLED"), ("TZS", "CLOSED")}
    assert shown["state"] == "CLOSED"
    settlement = settle(window)
    assert {a["netSettlementAmount"]["currency"] for p in settlement["participants"] for a in p["accounts"]} == {"TZS"}
    assert shillings.breaks() == []
    assert [w["state"] for w in settle_all(settlement)["settlementWindows"]] == ["SETTLED"]
    assert shillings.breaks() == []


def test_a_window_with_nothing_else_is_settled_when_it_closes(shillings: World) -> None:
    pay(shillings, "green", "blue", 100, "KES")
    window = close()
    assert settlement_api("GET", f"/settlementWindows/{window}").json()["state"] == "SETTLED"
    body = {"settlementModel": "CGS", "reason": "r", "settlementWindows": [{"id": window}]}
    assert error_of(settlement_api("POST", "/settlements", body)) == (400, "3100")
    assert shillings.breaks() == []


def test_the_way_of_settling_changes_only_between_windows(shillings: World) -> None:
    pay(shillings, "green", "blue", 100, "KES")
    assert error_of(admin("PUT", "/settlementModels/CGS", {"isActive": False})) == (400, "3100")
    close()
    assert admin("PUT", "/settlementModels/CGS", {"isActive": False}).status_code == 200
    pay(shillings, "green", "blue", 1, "KES")
    assert gross_settlement.settle_new_commits() == 0
    assert error_of(admin("PUT", "/settlementModels/CGS", {"isActive": True})) == (400, "3100")
    close()
    assert error_of(admin("PUT", "/settlementModels/CGS", {"isActive": True})) == (400, "3100")  # not settled yet
    assert WindowContent.objects.filter(currency="KES", state="CLOSED").count() == 1
    assert shillings.breaks() == []


def test_a_scheme_without_such_a_model_pays_one_statement_a_tick(
    world: World, django_assert_num_queries: object
) -> None:
    pay(world, "green", "blue", 1)
    with django_assert_num_queries(1):  # type: ignore[operator]
        assert gross_settlement.settle_new_commits() == 0


def test_a_window_whose_closer_died_is_added_up_by_the_next_tick(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    add_model()
    pay(world, "green", "blue", 1)
    window = open_window()
    monkeypatch.setattr("settlement.services.windows.total_up", lambda number: None)
    services.close_window(reason="r", actor="test")
    monkeypatch.undo()
    assert WindowContent.objects.count() == 0
    assert world.breaks() == []
    assert services.total_up_what_is_left() == 1
    assert [c.window_id for c in WindowContent.objects.all()] == [window]
    settle(window)
