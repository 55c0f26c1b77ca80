"""Send-only and receive-only DFSPs: no payment against this rule begins, but reserved payments still end.

This holds for single, bulk and converted payments.
"""

import pytest

from hub.participants import services as participants
from hub.participants.models import Participant
from ledger.commands_and_outcomes import WIRE, Aborted, Committed, Refusal, Refused, Reserved
from ledger.fx.commands_and_outcomes import FxRefused, FxReserved
from ledger.models import Transfer
from tests import fx_world
from tests.bulks import bulk_fulfil, bulk_prepare, run_bulk
from tests.world import World, amount, fulfil, prepare, reject, run

ITEMS = 2


def let(name: str, *, send: bool = True, receive: bool = True) -> None:
    participants.set_directions(Participant.objects.get(name=name), may_send=send, may_receive=receive, actor="test")


def send_only(name: str) -> None:
    let(name, receive=False)


def receive_only(name: str) -> None:
    let(name, send=False)


def test_the_wire_says_whose_right_is_missing() -> None:
    codes = {refusal: WIRE[refusal][0].code for refusal in Refusal if "_MAY_NOT_" in refusal.value}
    assert codes == {
        Refusal.PAYER_MAY_NOT_SEND: "4300",
        Refusal.PAYEE_MAY_NOT_RECEIVE: "5300",
        Refusal.INITIATOR_MAY_NOT_SEND: "4300",
        Refusal.FXP_MAY_NOT_CONVERT: "5300",
    }


def test_who_may_only_send_is_paid_nothing_and_still_pays(world: World) -> None:
    send_only("blue")
    outcome = run(prepare(world, "green", "blue", 10))
    assert isinstance(outcome, Refused)
    assert (outcome.transfer.reason, outcome.transfer.error_code) == ("PAYEE_MAY_NOT_RECEIVE", "5300")
    assert world.position("green") == 0
    assert isinstance(run(prepare(world, "blue", "green", 10)), Reserved)
    assert world.position("blue") == amount(10)


def test_who_may_only_receive_pays_nothing_and_is_still_paid(world: World) -> None:
    receive_only("green")
    outcome = run(prepare(world, "green", "blue", 10))
    assert isinstance(outcome, Refused)
    assert (outcome.transfer.reason, outcome.transfer.error_code) == ("PAYER_MAY_NOT_SEND", "4300")
    assert world.position("green") == 0
    assert isinstance(run(prepare(world, "blue", "green", 10)), Reserved)


def test_it_holds_from_one_payment_to_the_next_and_can_be_taken_back(world: World) -> None:
    send_only("blue")
    refused = prepare(world, "green", "blue", 10)
    run(refused)
    let("blue")
    assert isinstance(run(prepare(world, "green", "blue", 10)), Reserved)
    assert Transfer.objects.get(pk=refused.transfer_id).state == "ABORTED"  # an answer stays what it was


def test_what_is_reserved_is_fulfilled_or_rejected_all_the_same(world: World) -> None:
    paid, returned = prepare(world, "green", "blue", 10), prepare(world, "green", "blue", 7)
    run(paid)
    run(returned)
    for name in ("green", "blue"):
        let(name, send=False, receive=False)
    assert isinstance(run(fulfil(world, "blue", paid.transfer_id)), Committed)
    assert isinstance(run(reject(world, "blue", returned.transfer_id)), Aborted)
    assert (world.position("green"), world.position("blue")) == (amount(10), -amount(10))
    assert world.breaks() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("held_back", "refusal"), [("green", Refusal.PAYER_MAY_NOT_SEND), ("blue", Refusal.PAYEE_MAY_NOT_RECEIVE)]
)
def test_a_bulk_is_refused_as_one(committed_world: World, held_back: str, refusal: Refusal) -> None:
    world = committed_world
    let(held_back, send=False, receive=False)
    outcome = run_bulk(bulk_prepare(world, "green", "blue", [10] * ITEMS))
    assert outcome.refusal is refusal  # type: ignore[union-attr]
    assert set(Transfer.objects.values_list("reason", flat=True)) == {refusal.value}
    assert world.position("green") == 0
    assert world.breaks() == []


@pytest.mark.django_db(transaction=True)
def test_a_bulk_that_is_reserved_commits_all_the_same(committed_world: World) -> None:
    world = committed_world
    bulk = bulk_prepare(world, "green", "blue", [10] * ITEMS)
    run_bulk(bulk)
    for name in ("green", "blue"):
        let(name, send=False, receive=False)
    run_bulk(bulk_fulfil(world, "blue", bulk))
    assert world.position("blue") == -amount(10 * ITEMS)


def fx_refusal(outcome: object) -> str | None:
    assert isinstance(outcome, FxRefused)
    return outcome.conversion.reason


def test_a_payer_that_may_not_send_converts_nothing(world: World) -> None:
    fx_world.open_scheme(world)
    receive_only("green")
    assert fx_refusal(fx_world.run(fx_world.fx_prepare(world, "t-1"))) == "INITIATOR_MAY_NOT_SEND"
    assert fx_world.positions(world) == {}
    send_only("green")
    assert isinstance(fx_world.run(fx_world.fx_prepare(world, "t-2")), FxReserved)


@pytest.mark.parametrize("hold_back", [send_only, receive_only])
def test_an_fxp_converts_only_where_it_may_both_be_paid_and_pay(world: World, hold_back: object) -> None:
    fx_world.open_scheme(world)
    hold_back("fxp")  # type: ignore[operator]
    assert fx_refusal(fx_world.run(fx_world.fx_prepare(world, "t-1"))) == "FXP_MAY_NOT_CONVERT"
    assert fx_world.positions(world) == {}


def test_an_fxp_that_may_no_longer_send_pays_for_no_further_transfer(world: World) -> None:
    fx_world.open_scheme(world)
    conversion = fx_world.agreed(world)
    paid = conversion.determining_transfer_id
    receive_only("fxp")
    outcome = run(prepare(world, "green", "blue", 5, currency="KES", transfer_id=paid))
    assert isinstance(outcome, Refused)
    assert outcome.transfer.reason == "FXP_MAY_NOT_CONVERT"
    assert fx_world.fx_state_of(conversion.commit_request_id) == "ABORTED"
    assert fx_world.positions(world) == {}


def test_a_converted_payment_that_is_reserved_commits_all_the_same(world: World) -> None:
    fx_world.open_scheme(world)
    conversion = fx_world.agreed(world)
    paid = conversion.determining_transfer_id
    run(prepare(world, "green", "blue", 5, currency="KES", transfer_id=paid))
    for name in ("green", "blue", "fxp"):
        let(name, send=False, receive=False)
    assert isinstance(run(fulfil(world, "blue", paid)), Committed)
    assert fx_world.fx_state_of(conversion.commit_request_id) == "COMMITTED"
    assert world.breaks() == []


def test_a_payee_converts_what_was_reserved_for_it_before(world: World) -> None:
    fx_world.open_scheme(world)
    reserved = prepare(world, "green", "blue", 100)
    run(reserved)
    send_only("blue")
    conversion = fx_world.fx_prepare(world, reserved.transfer_id, initiator="blue")
    assert isinstance(fx_world.run(conversion), FxReserved)
