"""An amount that a net sender owes the settlement bank is not part of the cover.

It is on hold from the reset of the position until the bank has moved it.
"""

import uuid

import pytest
from django.db import DatabaseError, connection, transaction

from fspiop.errors import FspiopError
from ledger import accounts_and_funds, queries, settlement_holds
from ledger.models import CoverHold, Transfer
from settlement.models import Settlement
from tests.settlement.operator_steps import (
    STEPS,
    add_model,
    close,
    pay,
    set_cap,
    settle,
    settle_all,
    settlement_api,
    step,
)
from tests.world import World, amount, prepare, run


@pytest.fixture
def owing(world: World) -> World:
    """green has paid 400 of its cover of 500 to blue, and its cap is no limit."""
    assert add_model().status_code == 201
    set_cap(world, "green", 100_000)
    withdraw(world, 4500)
    pay(world, "green", "blue", 400)
    return world


def withdraw(world: World, text: int, reference: str = "", *, ends: bool | None = True, told_late: str = "") -> str:
    """A withdrawal of green's, reserved and paid out, given back (False) or left reserved (None)."""
    transfer_id = str(uuid.uuid4())
    account = world.account("green", "SETTLEMENT")
    accounts_and_funds.prepare_funds_out(
        account,
        transfer_id=transfer_id,
        amount=amount(text),
        reason="test",
        external_reference=reference,
        actor="test",
    )
    if ends is not None:
        end(world, transfer_id, commits=ends, reference=told_late)
    return transfer_id


def end(world: World, transfer_id: str, *, commits: bool, reference: str = "") -> None:
    account = world.account("green", "SETTLEMENT")
    accounts_and_funds.end_funds_out(
        account, transfer_id=transfer_id, commits=commits, reason="test", actor="test", external_reference=reference
    )


def on_hold(world: World, name: str = "green") -> int:
    return int(world.account(name, "SETTLEMENT").on_hold)


def state_after_paying(world: World, text: int) -> str:
    """What becomes of a prepare of green's."""
    p = prepare(world, "green", "blue", text)
    run(p)
    transfer = Transfer.objects.get(pk=p.transfer_id)
    return transfer.reason or transfer.state


def settled(world: World) -> str:
    """The id of a settlement of all that was paid."""
    settlement = settle(close())
    settle_all(settlement)
    assert world.position("green") == 0
    return str(settlement["id"])


def test_cover_is_not_spent_twice_between_settling_and_the_banks_report(owing: World) -> None:
    number = settled(owing)
    assert on_hold(owing) == amount(400)
    assert queries.value_of(owing.account("green", "SETTLEMENT")) == -amount(500)  # as the API shows it
    assert state_after_paying(owing, 101) == "LIQUIDITY"
    assert state_after_paying(owing, 100) == "RESERVED"
    with pytest.raises(FspiopError, match="at most 0 is free"):
        withdraw(owing, 1)
    assert owing.breaks() == []

    withdraw(owing, 400, number)
    assert on_hold(owing) == 0
    assert -queries.value_of(owing.account("green", "SETTLEMENT")) == amount(100)
    assert state_after_paying(owing, 1) == "LIQUIDITY"  # what is left is reserved
    assert owing.breaks() == []


def test_only_what_a_net_sender_owes_is_held_and_only_once_its_position_is_reset(owing: World) -> None:
    settlement = settle(close())
    for state in STEPS[:2]:
        step(settlement, state)
        assert not CoverHold.objects.exists()
    step(settlement, STEPS[2], only=owing.ids["green"])
    assert (on_hold(owing), on_hold(owing, "blue"), CoverHold.objects.count()) == (amount(400), 0, 1)
    step(settlement, STEPS[2], only=owing.ids["green"])  # said again
    assert on_hold(owing) == amount(400)
    body = {"state": "ABORTED", "reason": "test"}
    assert settlement_api("PUT", f"/settlements/{settlement['id']}", body).status_code == 400  # it is never taken back
    assert owing.breaks() == []


def test_before_its_position_is_reset_an_aborted_settlement_holds_nothing(owing: World) -> None:
    settlement = settle(close())
    for state in STEPS[:2]:
        step(settlement, state)
    body = {"state": "ABORTED", "reason": "test"}
    assert settlement_api("PUT", f"/settlements/{settlement['id']}", body).status_code == 200
    assert on_hold(owing) == 0
    assert owing.breaks() == []


def test_without_automatic_reset_nothing_is_held_as_the_position_stands(world: World) -> None:
    add_model(autoPositionReset=False)
    pay(world, "green", "blue", 400)
    settle_all(settle(close()))
    assert (world.position("green"), on_hold(world)) == (amount(400), 0)
    assert world.breaks() == []


def test_a_withdrawal_of_a_part_leaves_the_rest_on_hold(owing: World) -> None:
    number = settled(owing)
    withdraw(owing, 150, number)
    assert on_hold(owing) == amount(250)
    with pytest.raises(FspiopError, match="at most 350 is free"):
        withdraw(owing, 351, number)
    withdraw(owing, 350, number)  # with what is free
    assert on_hold(owing) == 0
    assert owing.breaks() == []


def test_another_reference_or_another_settlements_number_ends_no_hold(owing: World) -> None:
    number = settled(owing)
    for reference in ("bank 17", str(int(number) + 1), f" {number}", f"0{number}", "٣"):
        withdraw(owing, 10, reference)
    assert on_hold(owing) == amount(400)
    assert owing.breaks() == []


def test_a_withdrawal_that_is_given_back_is_on_hold_again(owing: World) -> None:
    number = settled(owing)
    reserved = withdraw(owing, 400, number, ends=None)
    assert (on_hold(owing), state_after_paying(owing, 101)) == (0, "LIQUIDITY")
    end(owing, reserved, commits=False)
    assert on_hold(owing) == amount(400)
    assert owing.breaks() == []


def test_the_settlements_number_may_be_told_with_the_second_step(owing: World) -> None:
    number = settled(owing)
    owing.funds_in("green", 400)
    reserved = withdraw(owing, 400, "bank 17", ends=None)
    assert on_hold(owing) == amount(400)
    end(owing, reserved, commits=True, reference=number)
    assert on_hold(owing) == 0
    assert owing.breaks() == []


def test_what_the_bank_moved_before_the_last_steps_is_not_held(owing: World) -> None:
    owing.funds_in("green", 400)
    settlement = settle(close())
    withdraw(owing, 300, str(settlement["id"]))
    settle_all(settlement)
    assert on_hold(owing) == amount(100)
    assert owing.breaks() == []


def test_a_withdrawal_that_had_the_settlements_number_before_there_was_one_was_for_something_else(owing: World) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", [Settlement._meta.db_table])
        (latest,) = cursor.fetchone()
    for number in range(latest + 1, latest + 20):
        withdraw(owing, 1, str(number))
    number = settled(owing)
    assert latest < int(number) < latest + 20
    assert on_hold(owing) == amount(400)
    assert settlement_holds.is_named_by("green", "TZS", number)
    assert not settlement_holds.is_named_by("green", "TZS", f"{number}0")
    assert not settlement_holds.is_named_by("blue", "TZS", number)


def test_a_hold_of_more_than_is_held_stops_the_sender_and_breaks_nothing(owing: World) -> None:
    window = close()
    pay(owing, "blue", "green", 400)
    withdraw(owing, 500)  # all of it: the position is nothing
    settle_all(settle(window))
    assert (owing.position("green"), on_hold(owing)) == (-amount(400), amount(400))
    assert state_after_paying(owing, 1) == "LIQUIDITY"
    assert owing.breaks() == []


def test_a_participant_with_something_on_hold_is_not_closed(owing: World) -> None:
    window = close()
    pay(owing, "blue", "green", 400)
    withdraw(owing, 500)
    settlement = settle(window, close())
    settle_all(settlement)
    assert on_hold(owing) == 0  # its net is nothing
    accounts_and_funds.close_accounts(owing.account("green").participant, actor="test")


def test_two_people_may_say_that_a_dfsp_settles_otherwise(owing: World) -> None:
    number = settled(owing)
    account = owing.account("green", "SETTLEMENT")
    accounts_and_funds.release_hold(account, settlement_number=int(number), reason="by cheque", actor="two people")
    assert on_hold(owing) == 0
    with pytest.raises(FspiopError, match="nothing of this settlement is on hold"):
        accounts_and_funds.release_hold(account, settlement_number=int(number), reason="again", actor="two people")
    assert owing.breaks() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_coverhold SET remaining = remaining - 1",
        "UPDATE ledger_account SET on_hold = 0 WHERE on_hold > 0",
        "UPDATE ledger_coverhold SET amount = amount + 1, remaining = remaining + 1",
        "UPDATE ledger_coverhold SET remaining = 0, released_at = now(); UPDATE ledger_account SET on_hold = 0",
        "DELETE FROM ledger_coverhold; UPDATE ledger_account SET on_hold = 0",
    ],
)
def test_what_is_on_hold_is_checked(owing: World, statement: str) -> None:
    settled(owing)
    withdraw(owing, 1, str(CoverHold.objects.get().settlement_number))
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(statement)
        found = owing.breaks()
        transaction.set_rollback(True)
    assert set(found) & {"what_is_on_hold_is_what_is_still_owed", "holds_are_of_net_senders"}


@pytest.mark.parametrize(
    "statement", ["UPDATE ledger_coverhold SET amount = amount + 1", "DELETE FROM ledger_coverhold"]
)
def test_the_terms_of_a_hold_do_not_change(owing: World, statement: str) -> None:
    settled(owing)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
