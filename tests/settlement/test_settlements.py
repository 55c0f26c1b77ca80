"""A window from open to settled, through the API, and the effects on positions."""

from collections.abc import Callable
from typing import Any

import pytest

from ledger import queries
from settlement.models import SettlementEvent
from tests.api.caller import error_of
from tests.settlement.operator_steps import (
    STEPS,
    add_model,
    close,
    hub_account,
    nets,
    open_window,
    pay,
    settle,
    settlement_api,
    step,
)
from tests.world import World, amount


@pytest.fixture
def model(world: World) -> World:
    assert add_model().status_code == 201
    return world


def positions(world: World) -> dict[str, int]:
    return {name: world.position(name) for name in ("green", "blue", "red")}


def test_a_settled_window_leaves_every_position_as_before_its_transfers(model: World) -> None:
    pay(model, "green", "blue", 100)
    pay(model, "blue", "red", 30)
    window = close()
    settlement = settle(window)
    assert settlement["state"] == "PENDING_SETTLEMENT"
    assert [(w["id"], w["state"]) for w in settlement["settlementWindows"]] == [(window, "PENDING_SETTLEMENT")]
    assert nets(settlement, model) == {"green": 100, "blue": -70, "red": -30}
    pay(model, "green", "red", 5)  # of the next window: stays
    seen = []
    for state in STEPS:
        answer = step(settlement, state)
        assert answer["state"] == state
        assert {a["state"] for p in answer["participants"] for a in p["accounts"]} == {state}
        seen.append((positions(model), queries.value_of(hub_account())))
    before = {"green": amount(105), "blue": -amount(70), "red": -amount(35)}
    received = {"green": amount(105), "blue": 0, "red": -amount(5)}
    after = {"green": amount(5), "blue": 0, "red": -amount(5)}
    assert seen == [(before, 0), (received, -amount(100)), (after, 0), (after, 0)]
    assert settlement_api("GET", f"/settlementWindows/{window}").json()["state"] == "SETTLED"
    assert {model.account(name, "SETTLEMENT").posted_credits for name in ("green", "blue", "red")} == {amount(5000)}
    assert SettlementEvent.objects.filter(account=None).count() == 5
    assert SettlementEvent.objects.exclude(account=None).count() == 3 * 5
    assert model.breaks() == []


def test_the_settlement_moves_when_its_last_account_has_moved(model: World) -> None:
    pay(model, "green", "blue", 100)
    settlement = settle(close())
    green, blue = model.ids["green"], model.ids["blue"]
    for state in STEPS[:3]:
        before = settlement_api("GET", f"/settlements/{settlement['id']}").json()["state"]
        assert step(settlement, state, only=green)["state"] == before
        assert step(settlement, state, only=blue)["state"] == state
    assert step(settlement, "SETTLED", only=green)["state"] == "SETTLING"
    last = step(settlement, "SETTLED", only=blue)
    assert last["state"] == "SETTLED"
    assert [w["state"] for w in last["settlementWindows"]] == ["SETTLED"]
    assert positions(model)["green"] == 0
    assert model.breaks() == []


@pytest.mark.parametrize("written", [str, float, "{}.0".format])
def test_numbers_are_taken_as_text_and_with_a_fraction_of_zero(model: World, written: Callable[[int], Any]) -> None:
    pay(model, "green", "blue", 100)
    window = close()
    body = {"settlementModel": "DEFERREDNET", "reason": "test", "settlementWindows": [{"id": written(window)}]}
    settlement = settlement_api("POST", "/settlements", body).json()
    for state in STEPS:
        wish = {"state": state, "reason": "test"}
        participants = [
            {
                "id": written(each["id"]),
                "accounts": [{"id": written(account["id"]), **wish} for account in each["accounts"]],
            }
            for each in settlement["participants"]
        ]
        answer = settlement_api("PUT", f"/settlements/{settlement['id']}", {"participants": participants})
        assert answer.json()["state"] == state
    first = settlement["participants"][0]
    query = f"participantId={written(first['id'])}&accountId={written(first['accounts'][0]['id'])}"
    found = settlement_api("GET", f"/settlements?{query}&settlementWindowId={written(window)}").json()
    assert [each["id"] for each in found] == [settlement["id"]]
    assert settlement_api("GET", f"/settlementWindows?participantId={written(first['id'])}").json()[0]["id"] == window


def test_closing_a_window_answers_with_the_window_that_opened(world: World) -> None:
    pay(world, "green", "blue", 100)
    number = open_window()
    answer = settlement_api("POST", f"/settlementWindows/{number}", {"state": "CLOSED", "reason": "test"}).json()
    assert (answer["settlementWindowId"], answer["id"]) == (open_window(), open_window())
    assert (answer["state"], answer["content"]) == ("OPEN", [])
    assert settlement_api("GET", f"/settlementWindows/{number}").json()["state"] == "CLOSED"


def test_a_window_that_is_empty_or_not_open_does_not_close(world: World) -> None:
    number = open_window()
    body = {"state": "CLOSED", "reason": "test"}
    answer = settlement_api("POST", f"/settlementWindows/{number}", body)
    assert error_of(answer) == (400, "3100")
    assert f"Generic validation error - Window {number} is empty" in answer.content.decode()
    pay(world, "green", "blue", 1)
    close()
    assert error_of(settlement_api("POST", f"/settlementWindows/{number}", body)) == (400, "3100")
    assert error_of(settlement_api("POST", "/settlementWindows/", body)) == (400, "3100")
    assert (
        error_of(settlement_api("POST", f"/settlementWindows/{open_window()}", {"state": "CLOSE", "reason": "x"}))[0]
        == 400
    )
