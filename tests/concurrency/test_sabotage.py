"""Hubs that were sabotaged, each caught. A checker that never failed proves nothing.

The two that take a lock away, the account's row lock and the window lock, are in test_races.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import OperationalError, connection

from fspiop.errors import FspiopError
from hub import outbox
from ledger import engine, invariants, store
from ledger.commands_and_outcomes import Command, Outcome
from ledger.models import Transfer
from tests.world import World, amount, prepare, run


def broken() -> list[str]:
    return [found.invariant.name for found in invariants.find_breaks()]


class _DyingDatabase:
    """Ends the session of whoever appends to the outbox, just before its commit, every so often."""

    def __init__(self, every: int) -> None:
        self._append, self._every, self._count = outbox.append, every, 0

    def append(self, messages: Any) -> None:
        self._append(messages)
        self._count += 1
        if self._count % self._every == 0:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def _acknowledged_but_missing(world: World, own: engine.Engine, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Prepares by many threads while the database dies again and again: what was acknowledged and is not there."""
    monkeypatch.setattr(outbox, "append", _DyingDatabase(every=4).append)
    acknowledged: list[str] = []
    running, run_group = threading.Lock(), engine.run

    def run_alone(batch: Sequence[Command], **how: Any) -> list[Outcome]:
        with running:
            return run_group(batch, **how)

    monkeypatch.setattr(engine, "run", run_alone)

    def submit_some() -> None:
        for _ in range(8):
            command = prepare(world, "green", "blue", 1)
            try:
                own.submit(command)
            except FspiopError:
                continue  # 503: it may be sent again
            acknowledged.append(command.transfer_id)

    threads = [threading.Thread(target=submit_some) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    time.sleep(0.5)
    assert not own._waiting
    running.acquire()  # a hub that acknowledged early may still be at work; the tables are emptied after this test
    assert len(acknowledged) > 10
    return set(acknowledged) - set(Transfer.objects.values_list("transfer_id", flat=True))


def test_nothing_that_was_acknowledged_is_missing_though_the_database_dies(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _acknowledged_but_missing(committed_world, engine.Engine(), monkeypatch) == set()
    assert broken() == []


def test_a_hub_that_acknowledges_before_its_commit_is_caught(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hasty(engine.Engine):
        def _settle(self, group: Any) -> None:
            for waiting in group:
                waiting.outcome.set_result(None)
            try:
                engine.run([waiting.command for waiting in group])
            except OperationalError:
                connection.close()

    assert _acknowledged_but_missing(committed_world, Hasty(), monkeypatch) != set()


def test_a_hub_that_appends_to_the_outbox_after_its_commit_is_caught(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the two: the state is there, and nobody will ever be told."""
    kept: list[Any] = []
    append = outbox.append

    def run_and_append_later(batch: Sequence[Command]) -> list[Outcome]:
        monkeypatch.setattr(outbox, "append", kept.extend)
        try:
            outcomes = engine.run(batch)
        finally:
            monkeypatch.setattr(outbox, "append", append)
        if len(kept) > 1:  # the first survives, the second dies here
            kept.clear()
        outbox.append(kept)
        kept.clear()
        return outcomes

    run_and_append_later([prepare(committed_world, "green", "blue", 1)])
    assert broken() == []
    run_and_append_later([prepare(committed_world, "green", "blue", 1), prepare(committed_world, "green", "blue", 1)])
    assert broken() == ["everyone_is_told"]


def test_a_hub_without_unique_ids_does_one_thing_twice_and_is_caught(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes look before either has written: with the key the second is told so, without it both reserve."""
    command = prepare(world, "green", "blue", 100)
    run(command)
    look = store.transfers_by_id

    def look_too_early(transfer_ids: list[str]) -> dict[str, Any]:
        monkeypatch.setattr(store, "transfers_by_id", look)  # the next look comes after the other's commit
        return {}

    monkeypatch.setattr(store, "transfers_by_id", look_too_early)
    assert type(run(command)).__name__ == "Repeated"
    assert world.position("green") == amount(100)
    assert world.breaks() == []

    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE ledger_transfer DROP CONSTRAINT ledger_transfer_pkey CASCADE")
        cursor.execute("DROP INDEX a_transfer_is_reserved_once")
    monkeypatch.setattr(
        store, "_INSERT_TRANSFERS", store._INSERT_TRANSFERS.replace("ON CONFLICT (transfer_id) DO NOTHING", "")
    )
    monkeypatch.setattr(store, "transfers_by_id", look_too_early)
    assert type(run(command)).__name__ == "Reserved"
    assert world.position("green") == amount(200)
    assert "history_leads_to_the_state" in world.breaks()
