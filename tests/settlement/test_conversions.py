"""Conversions are settled like transfers: each leg in its own currency, deferred or gross."""

import uuid

import pytest

from settlement import gross_settlement
from tests.fx_world import fx_fulfil, fx_prepare, open_scheme, positions, run
from tests.settlement.operator_steps import add_model, close, settle, settle_all
from tests.world import World, fulfil, prepare

AT_ONCE = {"settlementGranularity": "GROSS", "settlementInterchange": "BILATERAL", "settlementDelay": "IMMEDIATE"}


@pytest.fixture
def scheme(world: World) -> World:
    assert add_model().status_code == 201
    return open_scheme(world)


def pay_converted(world: World) -> None:
    """green pays 100 TZS, fxp converts, blue gets 5 KES."""
    c = fx_prepare(world, str(uuid.uuid4()))
    run(c)
    run(fx_fulfil(world, c.commit_request_id))
    run(prepare(world, "green", "blue", 5, currency="KES", transfer_id=c.determining_transfer_id))
    run(fulfil(world, "blue", c.determining_transfer_id))
    assert positions(world) == {"green TZS": 100, "fxp TZS": -100, "fxp KES": 5, "blue KES": -5}


def test_both_legs_of_a_conversion_are_settled_and_each_currency_comes_to_zero(scheme: World) -> None:
    pay_converted(scheme)
    settlement = settle(close())
    shown = {
        (p["id"], a["netSettlementAmount"]["currency"]): a["netSettlementAmount"]["amount"]
        for p in settlement["participants"]
        for a in p["accounts"]
    }
    green, fxp, blue = (scheme.ids[name] for name in ("green", "fxp", "blue"))
    assert shown == {(green, "TZS"): 100, (fxp, "TZS"): -100, (fxp, "KES"): 5, (blue, "KES"): -5}
    settle_all(settlement)
    assert positions(scheme) == {}
    assert scheme.breaks() == []


def test_one_leg_may_be_settled_at_once_and_the_other_later(scheme: World) -> None:
    assert add_model("CGS", **AT_ONCE, currency="TZS").status_code == 201
    pay_converted(scheme)
    assert gross_settlement.settle_new_commits() == 1
    assert positions(scheme) == {"fxp KES": 5, "blue KES": -5}
    assert scheme.breaks() == []
    settle_all(settle(close()))
    assert positions(scheme) == {}
    assert scheme.breaks() == []
