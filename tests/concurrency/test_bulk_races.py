"""Races about bulk transfers, with real commits on real connections."""

import random
import time
import uuid
from collections import Counter
from functools import partial
from typing import Any

import pytest

from hub.outbox.models import Message
from ledger import invariants, tasks
from ledger.bulk.commands_and_outcomes import BulkAccepted, BulkExpire
from ledger.bulk.models import BulkTransfer
from ledger.models import Entry, Transfer, TransferEvent
from tests.bulks import bulk_fulfil, bulk_prepare, bulk_reject, run_bulk
from tests.concurrency.together import together
from tests.world import World, amount, fulfil, prepare, run

pytestmark = pytest.mark.usefixtures("committed_world")


def broken() -> list[str]:
    return [found.invariant.name for found in invariants.find_breaks()]


def kinds(results: list[Any]) -> Counter[str]:
    return Counter(type(result).__name__ for result in results)


def test_equal_bulks_at_once_have_one_effect(committed_world: World) -> None:
    p = bulk_prepare(committed_world, "green", "blue", [10] * 20)
    results = together([partial(run_bulk, p) for _ in range(12)])
    assert kinds(results) == {"BulkAccepted": 1, "BulkIgnored": 11}
    assert committed_world.position("green") == amount(200)
    assert Message.objects.filter(subject=p.bulk_id, kind="bulk-prepare").count() == 1
    assert broken() == []


def test_equal_answers_at_once_post_each_item_once(committed_world: World) -> None:
    p = bulk_prepare(committed_world, "green", "blue", [10] * 20)
    run_bulk(p)
    results = together([partial(run_bulk, bulk_fulfil(committed_world, "blue", p)) for _ in range(12)])
    assert kinds(results) == {"BulkEnded": 1, "BulkRepeated": 11}
    assert Entry.objects.filter(kind="TRANSFER").count() == 20
    assert Message.objects.filter(subject=p.bulk_id, kind="bulk-end-to-payer").count() == 1
    assert broken() == []


def test_one_bulk_id_of_two_payers_at_once_is_one_bulk(committed_world: World) -> None:
    for _ in range(10):
        bulk_id = str(uuid.uuid4())
        commands = [bulk_prepare(committed_world, payer, "blue", [1, 1], bulk_id=bulk_id) for payer in ("green", "red")]
        results = together([partial(run_bulk, command) for command in commands])
        assert kinds(results) == {"BulkAccepted": 1, "BulkNotObeyed": 1}
    assert committed_world.position("green") + committed_world.position("red") == amount(20)
    assert broken() == []


def test_an_item_in_two_bulks_and_a_single_transfer_at_once_is_reserved_once(committed_world: World) -> None:
    for _ in range(10):
        shared = str(uuid.uuid4())
        bulks = [
            bulk_prepare(committed_world, payer, "blue", [1, 1], item_ids=[str(uuid.uuid4()), shared])
            for payer in ("green", "red")
        ]
        single = prepare(committed_world, "green", "red", 1, transfer_id=shared)
        together([*(partial(run_bulk, bulk) for bulk in bulks), partial(run, single)])  # type: ignore[list-item]
    assert Transfer.objects.filter(state="RESERVED").count() == 30
    assert sum(len(bulk.ids_used_before) for bulk in BulkTransfer.objects.all()) in range(10, 21)
    assert broken() == []


def test_an_answer_and_the_sweep_at_the_moment_of_expiry_end_a_bulk_in_one_way(committed_world: World) -> None:
    rng = random.Random(7)
    commands = [
        bulk_prepare(committed_world, "green", "blue", [1, 1, 1], expires_in=4 + number * 0.02) for number in range(20)
    ]
    for command in commands:
        assert isinstance(run_bulk(command), BulkAccepted)

    def at_expiry(command: Any, act: Any) -> object:
        time.sleep(max(0.0, command.expires_at.timestamp() - time.time() + rng.uniform(-0.04, 0.04)))
        return act()

    def answers(mine: list[Any]) -> list[object]:
        return [at_expiry(c, partial(run_bulk, bulk_fulfil(committed_world, "blue", c))) for c in mine]

    def sweeps(mine: list[Any]) -> list[object]:
        return [at_expiry(c, partial(run_bulk, BulkExpire(c.bulk_id))) for c in mine]

    results = together([partial(answers, commands), partial(sweeps, commands), partial(sweeps, commands)])
    assert not [result for result in results if isinstance(result, BaseException)]
    time.sleep(0.3)
    tasks.expire_transfers()
    states = Counter(BulkTransfer.objects.values_list("state", flat=True))
    assert states["COMPLETED"] + states["REJECTED"] == 20
    for bulk in BulkTransfer.objects.all():
        ends = set(bulk.items.values_list("state", flat=True))
        assert ends == ({"COMMITTED"} if bulk.state == "COMPLETED" else {"ABORTED"})
    assert Entry.objects.filter(kind="TRANSFER").count() == 3 * states["COMPLETED"]
    assert TransferEvent.objects.exclude(state="RESERVED").count() == 60
    assert broken() == []


def test_an_answer_and_an_error_at_once_end_a_bulk_in_one_way(committed_world: World) -> None:
    for _ in range(10):
        p = bulk_prepare(committed_world, "green", "blue", [1, 1])
        run_bulk(p)
        ends = [bulk_fulfil(committed_world, "blue", p), bulk_reject(committed_world, "blue", p)]
        assert kinds(together([partial(run_bulk, end) for end in ends])) == {"BulkEnded": 1, "BulkNotObeyed": 1}
    assert broken() == []


def test_bulks_and_single_transfers_at_once_pass_no_limit_and_lose_no_money(committed_world: World) -> None:
    committed_world.onboard("payer", ndc=50, cover=5000)

    def pay_bulk() -> object:
        p = bulk_prepare(committed_world, "payer", "blue", [1] * 10)
        run_bulk(p)
        return run_bulk(bulk_fulfil(committed_world, "blue", p))

    def pay_single() -> object:
        p = prepare(committed_world, "payer", "blue", 1)
        run(p)
        return run(fulfil(committed_world, "blue", p.transfer_id))

    together([pay_bulk] * 8 + [pay_single] * 20)
    assert committed_world.position("payer") == amount(50)
    assert Transfer.objects.filter(state="COMMITTED").count() == 50
    assert broken() == []


def test_opposite_bulks_at_once_do_not_deadlock(committed_world: World) -> None:
    pairs = [("green", "blue"), ("blue", "green"), ("red", "blue"), ("blue", "red")]

    def pay(payer: str, payee: str) -> object:
        p = bulk_prepare(committed_world, payer, payee, [1] * 20)
        run_bulk(p)
        return run_bulk(bulk_fulfil(committed_world, payee, p))

    results = together([partial(pay, *pairs[number % 4]) for number in range(12)])
    assert kinds(results) == {"BulkEnded": 12}
    assert Entry.objects.filter(kind="TRANSFER").count() == 240
    assert broken() == []
