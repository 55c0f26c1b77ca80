"""Races with real commits on real connections. Where a guard is taken out, the same race must be caught."""

import contextlib
import random
import threading
import time
import uuid
from collections import Counter
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from fspiop.errors import FspiopError
from hub.outbox.models import Message
from hub.participants import services as participants
from hub.participants.models import Participant
from ledger import accounts_and_funds, engine, invariants, store, tasks
from ledger.commands_and_outcomes import (
    Aborted,
    Committed,
    Expire,
    Ignored,
    NotObeyed,
    Refusal,
    Refused,
    Repeated,
    Unknown,
)
from ledger.models import Entry, SettlementWindow, Transfer, TransferEvent
from settlement.services import close_window
from tests.concurrency.together import together
from tests.world import World, amount, fulfil, prepare, reject, run

pytestmark = pytest.mark.usefixtures("committed_world")


def broken() -> list[str]:
    return [found.invariant.name for found in invariants.find_breaks()]


def kinds(results: list[Any]) -> Counter[str]:
    return Counter(type(result).__name__ for result in results)


def test_fifty_equal_prepares_at_once_have_one_effect(committed_world: World) -> None:
    transfer_id = str(uuid.uuid4())
    commands = [prepare(committed_world, "green", "blue", 100, transfer_id=transfer_id) for _ in range(50)]
    results = together([partial(run, command) for command in commands])
    assert kinds(results) == {"Reserved": 1, "Repeated": 49}
    assert committed_world.position("green") == amount(100)
    assert Message.objects.filter(subject=transfer_id, kind="prepare").count() == 1
    assert broken() == []


def test_fifty_equal_fulfils_at_once_post_one_entry(committed_world: World) -> None:
    p = prepare(committed_world, "green", "blue", 100)
    run(p)
    results = together([partial(run, fulfil(committed_world, "blue", p.transfer_id)) for _ in range(50)])
    assert kinds(results) == {"Committed": 1, "Repeated": 49}
    assert Entry.objects.filter(transfer_id=p.transfer_id).count() == 1
    assert Message.objects.filter(subject=p.transfer_id, kind="end-to-payer").count() == 1
    assert broken() == []


def test_parallel_prepares_pass_a_limit_for_exactly_as_many_as_it_admits(committed_world: World) -> None:
    for round_number in range(5):
        name = f"payer{round_number}"
        committed_world.onboard(name, ndc=70, cover=5000)
        commands = [prepare(committed_world, name, "blue", 10) for _ in range(40)]
        results = together([partial(run, command) for command in commands])
        assert kinds(results) == {"Reserved": 7, "Refused": 33}
        reasons = {result.transfer.reason for result in results if isinstance(result, Refused)}
        assert reasons == {Refusal.NDC.value}
        assert committed_world.position(name) == amount(70)
    assert broken() == []


def test_without_the_row_lock_and_the_condition_the_limit_race_is_lost(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sabotage: neither the lock on the account nor the condition in its UPDATE. The test above would fail."""
    monkeypatch.setattr(store, "_LOCK_ACCOUNTS", store._LOCK_ACCOUNTS.replace("FOR NO KEY UPDATE OF a", ""))
    monkeypatch.setattr(store, "_MOVE_ACCOUNTS", store._MOVE_ACCOUNTS.replace("NOT c.has_new_reservations", "true"))
    committed_world.onboard("payer", ndc=70, cover=5000)
    reserved = 0
    for _ in range(5):
        commands = [prepare(committed_world, "payer", "blue", 10) for _ in range(20)]
        reserved += kinds(together([partial(run, command) for command in commands]))["Reserved"]
        if reserved > 7:
            break
    assert reserved > 7


def test_opposite_payments_at_once_neither_deadlock_nor_lose_money(committed_world: World) -> None:
    pairs = [("green", "blue"), ("blue", "green"), ("red", "blue"), ("blue", "red"), ("green", "red"), ("red", "green")]

    def pay(payer: str, payee: str) -> object:
        p = prepare(committed_world, payer, payee, 3)
        run(p)
        return run(fulfil(committed_world, payee, p.transfer_id))

    results = together([partial(pay, *pairs[number % 6]) for number in range(60)])
    assert kinds(results) == {"Committed": 60}
    assert broken() == []


def test_a_fulfil_and_a_sweep_at_the_moment_of_expiry_end_each_transfer_once(committed_world: World) -> None:
    rng = random.Random(11)
    commands = [prepare(committed_world, "green", "blue", 1, expires_in=1.0 + rng.random() * 0.5) for _ in range(200)]
    for command in commands:
        run(command)
    stop = threading.Event()

    def sweep() -> None:
        while not stop.is_set():
            tasks.expire_transfers()

    def fulfil_late(command: Any) -> object:
        wait = command.expires_at.timestamp() - time.time() + rng.uniform(-0.05, 0.05)
        time.sleep(max(0.0, wait))
        return run(fulfil(committed_world, "blue", command.transfer_id))

    def fulfil_some(mine: list[Any]) -> list[object]:
        return [fulfil_late(command) for command in sorted(mine, key=lambda command: command.expires_at)]

    def fulfil_all(mine: list[Any]) -> list[object]:
        try:
            return fulfil_some(mine)
        finally:
            done.append(1)
            if len(done) == 8:
                stop.set()

    done: list[int] = []
    together([partial(fulfil_all, commands[number::8]) for number in range(8)] + [sweep, sweep])  # type: ignore[list-item]
    tasks.expire_transfers()
    time.sleep(0.3)
    tasks.expire_transfers()
    states = Counter(Transfer.objects.values_list("state", flat=True))
    assert states["RESERVED"] == 0
    assert states["COMMITTED"] + states["ABORTED"] == 200
    assert Entry.objects.filter(kind="TRANSFER").count() == states["COMMITTED"]
    assert TransferEvent.objects.exclude(state="RESERVED").count() == 200
    assert broken() == []


def test_a_late_fulfil_never_commits_even_where_nobody_sweeps(committed_world: World) -> None:
    commands = [prepare(committed_world, "green", "blue", 1, expires_in=1) for _ in range(20)]
    assert kinds(engine.run(commands)) == {"Reserved": 20}
    time.sleep(1.05)
    results = together([partial(run, fulfil(committed_world, "blue", c.transfer_id)) for c in commands])
    assert kinds(results) == {"Aborted": 20}
    assert committed_world.position("green") == 0
    assert broken() == []


def test_a_fulfil_and_a_reject_at_once_end_a_transfer_in_one_way(committed_world: World) -> None:
    for _ in range(20):
        p = prepare(committed_world, "green", "blue", 1)
        run(p)
        first, second = together(
            [
                partial(run, fulfil(committed_world, "blue", p.transfer_id)),
                partial(run, reject(committed_world, "blue", p.transfer_id)),
            ]
        )
        ends = [result for result in (first, second) if isinstance(result, Committed | Aborted)]
        others = [result for result in (first, second) if isinstance(result, NotObeyed)]
        assert (len(ends), len(others)) == (1, 1)
    assert broken() == []


def _pay_while_windows_close(world: World, payments: int, workers: int) -> int:
    stop = threading.Event()
    done: list[int] = []

    def pay(count: int) -> None:
        for _ in range(count):
            p = prepare(world, "green", "blue", 1)
            run(p)
            run(fulfil(world, "blue", p.transfer_id))
        done.append(1)
        if len(done) == workers:
            stop.set()

    def close() -> None:
        while not stop.is_set():
            with contextlib.suppress(FspiopError):  # an empty window is not closed
                close_window(reason="test", actor="test")
            time.sleep(0.01)

    results = together([partial(pay, payments // workers)] * workers + [close, close])
    assert not [result for result in results if isinstance(result, BaseException)]
    return SettlementWindow.objects.filter(state="CLOSED").count()


def test_no_commit_joins_a_window_that_has_closed(committed_world: World) -> None:
    closed = _pay_while_windows_close(committed_world, payments=240, workers=6)
    assert closed > 5
    assert Entry.objects.filter(kind="TRANSFER", window__isnull=False).count() == 240
    assert SettlementWindow.objects.filter(state="OPEN").count() == 1
    assert broken() == []


def test_without_the_window_lock_a_commit_joins_a_closed_window_and_is_found(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sabotage: the window is read without the lock, as a naive hub would. check_ledger must see it."""

    def read_without_lock() -> int:
        row = store.execute("SELECT id FROM ledger_settlementwindow WHERE state = 'OPEN'").fetchone()
        assert row is not None
        time.sleep(0.02)
        window_id: int = row[0]
        return window_id

    monkeypatch.setattr(store, "_open_window", read_without_lock)
    _pay_while_windows_close(committed_world, payments=120, workers=6)
    assert "every_commit_is_in_one_window" in broken()


def test_a_withdrawal_and_prepares_never_spend_the_same_cover(committed_world: World) -> None:
    for round_number in range(4):
        name = f"payer{round_number}"
        participant = committed_world.onboard(name, ndc=100, cover=100)

        def withdraw(who: str = name, whose: Participant = participant) -> object:
            return accounts_and_funds.prepare_funds_out(
                committed_world.account(who, "SETTLEMENT"),
                transfer_id=str(uuid.uuid4()),
                amount=amount(60),
                reason=f"of {whose.name}",
                external_reference="",
                actor="test",
            )

        together([withdraw, withdraw, *(partial(run, prepare(committed_world, name, "blue", 10)) for _ in range(10))])
        settlement = committed_world.account(name, "SETTLEMENT")
        cover = settlement.posted_credits - settlement.posted_debits - settlement.pending_debits
        assert committed_world.position(name) <= cover
    assert broken() == []


def test_no_prepare_passes_a_cap_that_was_lowered_before_it(committed_world: World) -> None:
    participant = committed_world.onboard("payer", ndc=1000, cover=5000)
    lower = partial(
        accounts_and_funds.change_ndc, participant, currency="TZS", ndc=amount(50), alarm_percentage=None, actor="t"
    )
    together([lower, *(partial(run, prepare(committed_world, "payer", "blue", 10)) for _ in range(30))])
    assert isinstance(run(prepare(committed_world, "payer", "blue", 60)), Refused)
    before = committed_world.position("payer")
    assert isinstance(run(prepare(committed_world, "payer", "blue", 1000)), Refused)
    assert committed_world.position("payer") == before
    assert broken() == []


def test_a_disabled_participant_reserves_nothing_more(committed_world: World) -> None:
    participant = Participant.objects.get(name="green")
    disable = partial(participants.set_active, participant, is_active=False, actor="test")
    together([disable, *(partial(run, prepare(committed_world, "green", "blue", 1)) for _ in range(20))])
    held = committed_world.position("green")
    assert isinstance(run(prepare(committed_world, "green", "blue", 1)), Refused)
    assert committed_world.position("green") == held
    assert broken() == []


def test_two_sweeps_at_once_release_a_reservation_once(committed_world: World) -> None:
    commands = [prepare(committed_world, "green", "blue", 1, expires_in=1.5) for _ in range(50)]
    outcomes = engine.run(commands)
    assert kinds(outcomes) == {"Reserved": 50}
    time.sleep(1.6)
    expired = together([tasks.expire_transfers, tasks.expire_transfers, tasks.expire_transfers])
    assert sum(count for count in expired if isinstance(count, int)) == 50
    assert committed_world.position("green") == 0
    assert isinstance(run(Expire(commands[0].transfer_id)), Ignored)
    assert broken() == []


def test_an_equal_prepare_after_the_end_is_told_the_end(committed_world: World) -> None:
    p = prepare(committed_world, "green", "blue", 1)
    run(p)
    run(fulfil(committed_world, "blue", p.transfer_id))
    assert isinstance(run(p), Repeated)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ledger_entry WHERE kind = 'TRANSFER'")
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize("message", [fulfil, reject])
def test_a_strangers_message_waits_for_no_lock_of_a_transfer_that_is_none_of_its_business(
    committed_world: World, message: Any
) -> None:
    p = prepare(committed_world, "green", "blue", 1)
    run(p)

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT FROM ledger_transfer WHERE transfer_id = %s FOR UPDATE", [p.transfer_id])
            held.set()
            assert answered.wait(20)

    held, answered = threading.Event(), threading.Event()
    holder = threading.Thread(target=partial(together, [hold]))
    holder.start()
    assert held.wait(20)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 100")
        for name in ("grey", "red", "green"):
            assert isinstance(run(message(committed_world, name, p.transfer_id)), Unknown)
        # Whose business it is waits for the lock.
        with pytest.raises(OperationalError):
            engine._run_once([message(committed_world, "blue", p.transfer_id)])
    finally:
        answered.set()
        holder.join()
