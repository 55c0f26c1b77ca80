"""Invariants that no constraint can express. Each has a sabotage that its test must detect."""

import itertools
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import OperationalError, connection
from django.utils import timezone

from fspiop.errors import FspiopError
from hub import outbox
from hub.outbox.models import Message
from ledger import engine, store, tasks
from ledger.commands_and_outcomes import (
    WIRE,
    Aborted,
    Committed,
    NotObeyed,
    Refusal,
    Refused,
    Repeated,
    Reserved,
    Unknown,
)
from ledger.groups import Waiting
from ledger.models import Transfer, TransferEvent
from tests.keys import OTHER_FULFILMENT
from tests.world import World, amount, fulfil, messages_about, prepare, reject, run, state_of


def test_every_refusal_has_a_wire_code() -> None:
    assert set(WIRE) == set(Refusal)


# --- the life of a transfer: every state x every message (I5, I8, I13) ----------------------------------------------


def reserved(world: World) -> str:
    p = prepare(world, "green", "blue", 100)
    assert isinstance(run(p), Reserved)
    return p.transfer_id


def committed(world: World) -> str:
    transfer_id = reserved(world)
    run(fulfil(world, "blue", transfer_id))
    return transfer_id


def rejected(world: World) -> str:
    transfer_id = reserved(world)
    run(reject(world, "blue", transfer_id))
    return transfer_id


def expired(world: World) -> str:
    p = prepare(world, "green", "blue", 100, expires_in=0.15)
    run(p)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.2)")
    assert tasks.expire_transfers() == 1
    return p.transfer_id


def refused(world: World) -> str:
    p = prepare(world, "green", "blue", 1001)
    assert isinstance(run(p), Refused)
    return p.transfer_id


STATES: dict[str, tuple[Callable[[World], str], str, int]] = {
    "reserved": (reserved, "RESERVED", 100),
    "committed": (committed, "COMMITTED", 100),
    "rejected": (rejected, "ABORTED", 0),
    "expired": (expired, "ABORTED", 0),
    "refused": (refused, "ABORTED", 0),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("sender", ["green", "red", "grey"])
@pytest.mark.parametrize("message", [fulfil, reject])
def test_nobody_but_the_payee_ends_a_transfer_in_any_state(
    world: World, state: str, sender: str, message: Callable[..., Any]
) -> None:
    make, word, position = STATES[state]
    transfer_id = make(world)
    before = messages_about(transfer_id)
    assert isinstance(run(message(world, sender, transfer_id)), Unknown)
    assert (state_of(transfer_id), world.position("green")) == (word, amount(position))
    assert messages_about(transfer_id) == before


@pytest.mark.parametrize("state", ["committed", "rejected", "expired"])
def test_an_end_is_never_left(world: World, state: str) -> None:
    make, word, position = STATES[state]
    transfer_id = make(world)
    others = [
        fulfil(world, "blue", transfer_id, fulfilment=OTHER_FULFILMENT),
        fulfil(world, "blue", transfer_id, wants_patch=True),
        reject(world, "blue", transfer_id, code="5200"),
    ]
    for other in others:
        assert isinstance(run(other), NotObeyed)
    assert (state_of(transfer_id), world.position("green")) == (word, amount(position))
    assert TransferEvent.objects.filter(transfer_id=transfer_id).count() == 2
    assert world.breaks() == []


@pytest.mark.parametrize("state", STATES)
def test_a_resent_prepare_is_told_the_state_and_not_forwarded_again(world: World, state: str) -> None:
    command = prepare(
        world, "green", "blue", 1001 if state == "refused" else 100, expires_in=0.2 if state == "expired" else 60
    )
    run(command)
    transfer_id = command.transfer_id
    if state == "committed":
        run(fulfil(world, "blue", transfer_id))
    elif state == "rejected":
        run(reject(world, "blue", transfer_id))
    elif state == "expired":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.25)")
        tasks.expire_transfers()
    assert isinstance(run(command), Repeated)
    destination, method, _ = messages_about(transfer_id)[-1]
    assert (destination, method) == ("green", "PUT")
    assert [kind for _, _, kind in messages_about(transfer_id)].count("prepare") == (0 if state == "refused" else 1)


@pytest.mark.parametrize("state", ["committed", "rejected"])
def test_a_changed_fulfil_or_reject_is_refused_with_3106(world: World, state: str) -> None:
    transfer_id = STATES[state][0](world)
    changed = fulfil(world, "blue", transfer_id, fulfilment=OTHER_FULFILMENT)
    for command in (changed, reject(world, "blue", transfer_id, text="otherwise")):
        outcome = run(command)
        assert isinstance(outcome, NotObeyed)
        assert WIRE[outcome.refusal][0].code == "3106"


def test_a_fulfilment_that_does_not_fit_aborts_and_releases(world: World) -> None:
    transfer_id = reserved(world)
    outcome = run(fulfil(world, "blue", transfer_id, fulfilment=OTHER_FULFILMENT, wants_patch=True))
    assert isinstance(outcome, Aborted)
    assert world.position("green") == 0
    assert messages_about(transfer_id)[1:] == [("green", "PUT", "end-to-payer"), ("blue", "PATCH", "end-to-payee")]


def test_a_late_payee_that_answered_reserved_is_told_aborted_by_patch(world: World) -> None:
    transfer_id = expired(world)
    run(fulfil(world, "blue", transfer_id, wants_patch=True))
    assert messages_about(transfer_id)[-1] == ("blue", "PATCH", "end-to-payee")
    assert b'"transferState":"ABORTED"' in bytes(
        Message.objects.filter(subject=transfer_id).latest("created_at", "id").body
    )
    assert world.position("green") == 0


def test_a_cap_below_the_position_is_legal_and_only_blocks(world: World) -> None:
    from hub.participants.models import Participant
    from ledger import accounts_and_funds

    reserved(world)
    green = Participant.objects.get(name="green")
    accounts_and_funds.change_ndc(green, currency="TZS", ndc=amount(50), alarm_percentage=None, actor="test")
    assert isinstance(run(prepare(world, "green", "blue", 1)), Refused)
    assert world.position("green") == amount(100)
    assert world.breaks() == []


# --- acknowledged is durable (I9) -----------------------------------------------------------------------------------


def test_a_commit_that_is_not_known_to_have_happened_is_not_acknowledged(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    p = prepare(committed_world, "green", "blue", 1)
    original = engine._run_once

    def lose_the_connection(batch: Any) -> Any:
        original(batch)
        raise OperationalError("the connection died at COMMIT")

    monkeypatch.setattr(engine, "_run_once", lose_the_connection)
    with pytest.raises(FspiopError) as unknown:
        engine.Engine().submit(p)
    assert (unknown.value.code, unknown.value.http_status) == ("2003", 503)
    monkeypatch.undo()
    # The same again finds out: it had happened, once.
    assert isinstance(engine.Engine().submit(p), Repeated)
    assert Transfer.objects.count() == 1


def test_a_group_that_stood_still_too_long_is_answered_as_unknown(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = store.save

    def stall(outcomes: Any, snapshot: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = 100")
        time.sleep(0.5)
        original(outcomes, snapshot)

    monkeypatch.setattr(store, "save", stall)
    with pytest.raises(FspiopError) as unknown:
        engine.Engine().submit(prepare(committed_world, "green", "blue", 1))
    assert (unknown.value.code, unknown.value.http_status) == ("2003", 503)
    assert not Transfer.objects.exists()


def test_one_command_that_can_not_be_carried_out_does_not_fail_its_company(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [prepare(committed_world, "green", "blue", 1) for _ in range(5)]
    bad = replace(prepare(committed_world, "green", "blue", 1), condition="x" * 100)  # longer than its column
    one = engine.Engine()
    waiting = [Waiting(command, Future()) for command in [*good[:2], bad, *good[2:]]]
    one._settle(waiting)
    outcomes = [item.outcome for item in waiting]
    assert isinstance(outcomes[2].exception(), FspiopError)
    assert [type(outcome.result()) for outcome in outcomes if outcome is not outcomes[2]] == [Reserved] * 5


# --- who is told (I10, I18) -----------------------------------------------------------------------------------------


def test_a_hub_that_forgets_to_tell_is_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "append", lambda messages: None)
    reserved(world)
    assert world.breaks() == ["everyone_is_told"]


def test_a_hub_that_tells_what_did_not_happen_is_found(world: World) -> None:
    transfer_id = reserved(world)
    Message.objects.filter(subject=transfer_id).update(kind="end-to-payer")
    assert "nobody_is_told_what_did_not_happen" in world.breaks()


# --- nothing stays reserved (I12) -----------------------------------------------------------------------------------


def test_a_hub_without_a_sweeper_is_found(world: World) -> None:
    p = prepare(world, "green", "blue", 1)
    run(p)
    assert world.breaks() == []
    with connection.cursor() as cursor:  # as if its time had been over for long, and nobody swept
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE ledger_transfer DISABLE TRIGGER USER")
        cursor.execute("UPDATE ledger_transfer SET expires_at = now() - interval '1 minute'")
        cursor.execute("ALTER TABLE ledger_transfer ENABLE TRIGGER USER")
    assert world.breaks() == ["nothing_stays_reserved"]
    assert tasks.expire_transfers() == 1
    assert world.breaks() == []


# --- one clock (I17) ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_worker_whose_clock_is_wrong_decides_the_same(world: World, minutes: int) -> None:
    in_time = prepare(world, "green", "blue", 1, expires_in=5)
    late = prepare(world, "green", "blue", 1, expires_in=-5)
    wrong = timezone.now() + timedelta(minutes=minutes)
    with time_machine.travel(wrong, tick=True):
        assert isinstance(run(in_time), Reserved)
        assert isinstance(run(late), Refused)
        assert tasks.expire_transfers() == 0
        assert isinstance(run(fulfil(world, "blue", in_time.transfer_id)), Committed)
    completed_at = Transfer.objects.get(pk=in_time.transfer_id).completed_at
    assert completed_at is not None
    assert abs(completed_at - timezone.now()) < timedelta(seconds=60)


# --- a group is the same as one by one (I3) -------------------------------------------------------------------------


def test_a_limit_is_not_passed_inside_a_group(world: World) -> None:
    world.onboard("payer", ndc=100, cover=100)
    outcomes = engine.run([prepare(world, "payer", "blue", 80) for _ in range(3)])
    assert [type(outcome) for outcome in outcomes] == [Reserved, Refused, Refused]
    assert world.position("payer") == amount(80)


def test_equal_prepares_in_one_group_have_one_effect(world: World) -> None:
    transfer_id = str(uuid.uuid4())
    equal = [prepare(world, "green", "blue", 10, transfer_id=transfer_id) for _ in range(3)]
    outcomes = engine.run(equal)
    assert [type(outcome) for outcome in outcomes] == [Reserved, Repeated, Repeated]
    assert world.position("green") == amount(10)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_number_of_statements_does_not_depend_on_the_size_of_the_group(world: World, size: int) -> None:
    statements: list[str] = []
    original = engine.store.execute

    def counting(statement: str, parameters: Any = ()) -> Any:
        statements.append(statement)
        return original(statement, parameters)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine.store, "execute", counting)
        commands = [prepare(world, "green", "blue", 1) for _ in range(size)]
        engine.run(commands)
        assert len(statements) == 8
        statements.clear()
        engine.run([fulfil(world, "blue", command.transfer_id) for command in commands])
        assert len(statements) == 9


def test_money_code_knows_no_float() -> None:
    """The gate of `float(` and true division in what computes amounts."""
    import ast
    from pathlib import Path

    rooms = ["hold_and_post", "position_limit", "accounts_and_funds", "settlement_holds"]
    rooms += ["decide", "store", "notices"]
    rooms += [f"{room}/{name}" for room in ("bulk", "fx") for name in ("decide", "store", "notices")]
    for name in (*(f"ledger/{room}.py" for room in rooms), "fspiop/money.py"):
        tree = ast.parse(Path(name).read_text())
        for node in itertools.chain(ast.walk(tree)):
            assert not isinstance(node, ast.Div), f"{name} divides"
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"{name} has a float"
            assert not (isinstance(node, ast.Name) and node.id == "float"), f"{name} makes a float"
