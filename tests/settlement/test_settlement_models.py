"""Settlement models and ledger account types on the administration API."""

from typing import Any

import pytest

from ledger.models import Account
from settlement.models import SettlementModel
from tests.api.caller import admin, description_of, error_of
from tests.settlement.operator_steps import add_model, close, onboard_in, pay, settle, settle_all, settlement_api
from tests.world import World, amount, prepare, run


@pytest.mark.parametrize("delay", ["IMMEDIATE", "DEFERRED"])
@pytest.mark.parametrize("granularity", ["GROSS", "NET"])
@pytest.mark.parametrize("interchange", ["BILATERAL", "MULTILATERAL"])
def test_four_combinations_are_permitted_and_no_other(
    world: World, delay: str, granularity: str, interchange: str
) -> None:
    permitted = {"IMMEDIATE GROSS BILATERAL", "DEFERRED GROSS BILATERAL", "DEFERRED NET BILATERAL"}
    permitted.add("DEFERRED NET MULTILATERAL")
    answer = add_model(
        "CHOSEN",
        settlementDelay=delay,
        settlementGranularity=granularity,
        settlementInterchange=interchange,
        currency="TZS",
    )
    if f"{delay} {granularity} {interchange}" in permitted:
        assert answer.status_code == 201
        shown = admin("GET", "/settlementModels/CHOSEN").json()
        assert (shown["settlementDelay"], shown["settlementGranularity"]) == (delay, granularity)
        assert (shown["settlementInterchange"], shown["currency"], shown["isActive"]) == (interchange, "TZS", True)
    else:
        assert error_of(answer) == (400, "3100")
        assert admin("GET", "/settlementModels").json() == []


def test_a_model_exists_once_and_the_default_names_no_currency(world: World) -> None:
    assert add_model("DEFAULT").status_code == 201
    again = add_model("DEFAULT")
    assert error_of(again) == (400, "3100")
    assert "Settlement Model already exists" in description_of(again)
    assert error_of(add_model("OTHER")) == (400, "3100")
    assert add_model("NAMED", currency="TZS").status_code == 201
    assert error_of(add_model("NAMED2", currency="TZS")) == (400, "3100")
    assert [(m["name"], m["currency"]) for m in admin("GET", "/settlementModels").json()] == [
        ("DEFAULT", None),
        ("NAMED", "TZS"),
    ]


def test_the_models_of_the_toolkits_provisioning_are_taken_and_taken_again(world: World) -> None:
    at_once = {"settlementGranularity": "GROSS", "settlementInterchange": "BILATERAL", "settlementDelay": "IMMEDIATE"}
    fees = {"ledgerAccountType": "INTERCHANGE_FEE", "settlementAccountType": "INTERCHANGE_FEE_SETTLEMENT"}
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("DEFERREDNETXXX", {"currency": "XXX"}),
        ("DEFAULTDEFERREDNET", {}),
        ("CGS", {**at_once, "currency": "INR", "autoPositionReset": False}),
        ("INTERCHANGEFEE", {**fees, "currency": "INR"}),
    ]
    for name, changes in wanted:
        assert add_model(name, **changes).status_code == 201
    for name, changes in wanted:
        assert "Settlement Model already exists" in description_of(add_model(name, **changes))
    shown = [(m["name"], m["settlementDelay"], m["currency"]) for m in admin("GET", "/settlementModels").json()]
    assert shown == [
        ("DEFERREDNETXXX", "DEFERRED", "XXX"),
        ("DEFAULTDEFERREDNET", "DEFERRED", None),
        ("CGS", "IMMEDIATE", "INR"),
        ("INTERCHANGEFEE", "DEFERRED", "INR"),
    ]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": ""}, "3100"),
        ({"name": 5}, "3101"),
        ({"settlementDelay": "LATER"}, "3100"),
        ({"currency": "XYZ"}, "3100"),
        ({"currency": "tzs"}, "3100"),
        ({"ledgerAccountType": "SETTLEMENT"}, "3100"),
        ({"ledgerAccountType": "NOSUCH"}, "3100"),
        ({"settlementAccountType": "POSITION"}, "3100"),
        ({"ledgerAccountType": "INTERCHANGE_FEE"}, "3100"),
        ({"requireLiquidityCheck": "yes"}, "3101"),
        (
            {"settlementDelay": "IMMEDIATE", "settlementGranularity": "GROSS", "settlementInterchange": "BILATERAL"},
            "3100",
        ),
    ],
)
def test_a_model_that_makes_no_sense_is_refused(world: World, changes: dict[str, Any], code: str) -> None:
    assert error_of(add_model("SOME", **changes)) == (400, code)
    assert SettlementModel.objects.count() == 0


def test_participants_get_the_accounts_that_a_model_settles_whoever_comes_first(world: World) -> None:
    onboard_in(world, "KES")
    fee = {"ledgerAccountType": "INTERCHANGE_FEE", "settlementAccountType": "INTERCHANGE_FEE_SETTLEMENT"}
    assert add_model("FEES", currency="KES", **fee).status_code == 201
    world.onboard("white", ndc=10, cover=0, currency="KES")
    for name in ("green", "white"):
        accounts = admin("GET", f"/participants/{name}/accounts?currency=KES").json()
        assert sorted(account["ledgerAccountType"] for account in accounts) == [
            "INTERCHANGE_FEE",
            "INTERCHANGE_FEE_SETTLEMENT",
            "POSITION",
            "SETTLEMENT",
        ]
    assert not Account.objects.filter(currency="TZS", type__startswith="INTERCHANGE").exists()


def test_a_model_is_disabled_and_enabled(world: World) -> None:
    add_model()
    pay(world, "green", "blue", 1)
    window = close()
    assert admin("PUT", "/settlementModels/DEFERREDNET", {"isActive": False}).json()["isActive"] is False
    body = {"settlementModel": "DEFERREDNET", "reason": "r", "settlementWindows": [{"id": window}]}
    assert error_of(settlement_api("POST", "/settlements", body)) == (400, "3100")
    assert add_model("OTHER").status_code == 201
    assert error_of(admin("PUT", "/settlementModels/DEFERREDNET", {"isActive": True})) == (400, "3100")
    assert error_of(admin("PUT", "/settlementModels/NOSUCH", {"isActive": True})) == (400, "3200")
    assert error_of(admin("GET", "/settlementModels/NOSUCH")) == (400, "3200")


def test_the_hubs_account_types_are_shown_and_others_can_be_added_and_settled(world: World) -> None:
    shown = {found["name"]: found["isSettleable"] for found in admin("GET", "/ledgerAccountTypes").json()}
    assert shown["POSITION"] is True
    assert shown["SETTLEMENT"] is False
    new = {"name": "BONUS", "description": "loyalty", "isActive": True, "isSettleable": True}
    assert admin("POST", "/ledgerAccountTypes", new).status_code == 201
    assert error_of(admin("POST", "/ledgerAccountTypes", new)) == (400, "3100")
    assert error_of(admin("POST", "/ledgerAccountTypes", {"name": "A B"}))[0] == 400
    assert add_model("BONUS", ledgerAccountType="BONUS").status_code == 201
    assert Account.objects.filter(type="BONUS", currency="TZS").count() == 4


def test_one_window_is_settled_by_the_named_model_and_by_the_default(world: World) -> None:
    onboard_in(world, "KES")
    add_model("NAMED", currency="KES")
    add_model("DEFAULT")
    pay(world, "green", "blue", 10)
    pay(world, "blue", "green", 7, currency="KES")
    window = close()
    named = settle(window, model="NAMED")
    assert {a["netSettlementAmount"]["currency"] for p in named["participants"] for a in p["accounts"]} == {"KES"}
    settle_all(named)
    shown = settlement_api("GET", f"/settlementWindows/{window}").json()
    assert shown["state"] == "PENDING_SETTLEMENT"
    assert {(c["currencyId"], c["state"]) for c in shown["content"]} == {("KES", "SETTLED"), ("TZS", "CLOSED")}
    default = settle(window, model="DEFAULT")
    assert {a["netSettlementAmount"]["currency"] for p in default["participants"] for a in p["accounts"]} == {"TZS"}
    done = settle_all(default)
    assert [w["state"] for w in done["settlementWindows"]] == ["SETTLED"]
    body = {"settlementModel": "DEFAULT", "reason": "r", "settlementWindows": [{"id": window}]}
    assert error_of(settlement_api("POST", "/settlements", body)) == (400, "3100")
    assert world.position("green") == 0
    assert world.breaks() == []


def test_a_reservation_is_no_part_of_a_window(world: World) -> None:
    add_model()
    pay(world, "green", "blue", 10)
    run(prepare(world, "green", "blue", 5))
    settlement = settle(close())
    settle_all(settlement)
    assert world.position("green") == amount(5)
    assert world.breaks() == []
