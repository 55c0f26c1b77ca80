"""Bulk transfers in the ledger.

- Random outcomes in random bulks agree with a small model.
- A thousand items take as many statements as one item.
- Each party is notified, in the right name.
"""

import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from hub.group_commit import LostRace
from hub.outbox.models import Message
from ledger import store
from ledger.bulk import state_answers_and_expiry
from ledger.bulk import store as bulks
from ledger.bulk.commands_and_outcomes import (
    Bulk,
    BulkAccepted,
    BulkEnded,
    BulkExpire,
    BulkFulfil,
    BulkIgnored,
    BulkNotObeyed,
    BulkPrepare,
    BulkRefused,
    BulkRepeated,
    BulkUnknown,
    ItemResult,
)
from ledger.bulk.decide import decide
from ledger.bulk.states import NEXT, TERMINAL, BulkMove, BulkState
from ledger.commands_and_outcomes import Prepare, Refusal
from ledger.fx.commands_and_outcomes import FxRefused
from ledger.models import Entry, Transfer
from ledger.states import State
from tests.bulks import bulk_fulfil, bulk_prepare, bulk_reject, run_bulk
from tests.fx_world import agreed, fx_prepare, fx_state_of, open_scheme
from tests.keys import CONDITION, FULFILMENT, OTHER_FULFILMENT
from tests.ledger.test_model import SENT, START, snapshot
from tests.statements import statements_of
from tests.sweeps.poison import pause_is_over
from tests.world import World, amount, fulfil, messages_about, run

# --- the law, without a database ------------------------------------------------------------------------------------


def bulk_of(amounts: list[int]) -> BulkPrepare:
    expires_at = START + timedelta(seconds=60)
    items = [
        Prepare(f"i{number:04}", 1, "green", "blue", "TZS", value, CONDITION, expires_at, b"d", SENT, "b")
        for number, value in enumerate(amounts)
    ]
    return BulkPrepare("b", "q", 1, "green", "blue", expires_at, items, b"digest", SENT)


def answer(results: dict[str, ItemResult], *, source_id: int = 2) -> BulkFulfil:
    return BulkFulfil("b", source_id, "green", BulkState.COMPLETED, results, b"answer", SENT)


RESULTS = st.sampled_from(
    [ItemResult(FULFILMENT), ItemResult(OTHER_FULFILMENT), ItemResult(None, "5104", "no"), ItemResult()]
)
ITEMS = st.lists(st.tuples(st.integers(1, 50), RESULTS), min_size=1, max_size=30)


@given(items=ITEMS, cap=st.integers(0, 300), cover=st.integers(0, 300))
def test_each_item_has_its_own_outcome_and_what_committed_is_the_change_of_position(
    items: list[tuple[int, ItemResult]], cap: int, cover: int
) -> None:
    s = snapshot({"green": (cap, cover), "blue": (0, 0), "red": (0, 0)})
    p = bulk_of([value for value, _ in items])
    room, reserved = min(cap, cover), []
    for item in p.items:  # the model: first come, first served, up to the limit and not a cent further
        reserved.append(item.amount <= room)
        room -= item.amount if reserved[-1] else 0

    outcome = decide(p, None, s)
    assert isinstance(outcome, BulkAccepted if any(reserved) else BulkRefused)
    assert [s.transfers[item.transfer_id].state is State.RESERVED for item in p.items] == reserved
    green, blue = s.accounts[1], s.accounts[2]
    assert green.reserved == sum(item.amount for item, held in zip(p.items, reserved, strict=True) if held)
    assert green.reserved <= min(cap, cover)
    if isinstance(outcome, BulkRefused):
        return

    results = {item.transfer_id: result for item, (_, result) in zip(p.items, items, strict=True)}
    ended = decide(answer(results), outcome.bulk, s)
    assert isinstance(ended, BulkEnded)
    committed = [
        item.amount
        for item, held, (_, result) in zip(p.items, reserved, items, strict=True)
        if held and result.fulfilment == FULFILMENT
    ]
    states = [s.transfers[item.transfer_id].state for item in p.items]
    assert states.count(State.COMMITTED) == len(committed)
    assert states.count(State.RESERVED) == 0
    assert (green.position, green.reserved, blue.position) == (sum(committed), 0, -sum(committed))
    assert ended.is_as_answered == (
        all(reserved) and all(result.fulfilment == FULFILMENT or result.error_code for _, result in items)
    )


def accepted() -> tuple[Bulk, Any]:
    s = snapshot({"green": (100, 100), "blue": (0, 0), "red": (0, 0)})
    outcome = decide(bulk_of([10, 20]), None, s)
    assert isinstance(outcome, BulkAccepted)
    return outcome.bulk, s


def test_a_late_answer_commits_nothing_and_ends_the_bulk() -> None:
    bulk, s = accepted()
    s.now = bulk.expires_at
    ended = decide(answer({"i0000": ItemResult(FULFILMENT), "i0001": ItemResult(FULFILMENT)}), bulk, s)
    assert isinstance(ended, BulkEnded)
    assert (bulk.state, bulk.reason, bulk.error_code) == (BulkState.REJECTED, "EXPIRED", "3303")
    assert (s.accounts[1].position, s.accounts[1].reserved) == (0, 0)
    again = decide(answer({}), bulk, s)
    assert isinstance(again, BulkNotObeyed)
    assert again.refusal is Refusal.EXPIRED


def test_a_bulk_expires_at_its_moment_and_not_before() -> None:
    bulk, s = accepted()
    s.now = bulk.expires_at - timedelta(microseconds=1)
    assert isinstance(decide(BulkExpire("b"), bulk, s), BulkIgnored)
    s.now = bulk.expires_at
    assert isinstance(decide(BulkExpire("b"), bulk, s), BulkEnded)
    assert isinstance(decide(BulkExpire("b"), bulk, s), BulkIgnored)


@pytest.mark.parametrize("source_id", [1, 3])
def test_nobody_but_the_payee_answers_a_bulk(source_id: int) -> None:
    bulk, s = accepted()
    results = {"i0000": ItemResult(FULFILMENT), "i0001": ItemResult(FULFILMENT)}
    assert isinstance(decide(answer(results, source_id=source_id), bulk, s), BulkUnknown)
    assert isinstance(decide(answer(results), None, s), BulkUnknown)
    assert (bulk.state, s.accounts[1].reserved) == (BulkState.ACCEPTED, 30)


def test_the_states_of_a_bulk_lead_to_an_end_that_is_never_left() -> None:
    assert {move for _, move in NEXT} == set(BulkMove)
    assert not [state for state, _ in NEXT if state in TERMINAL]
    assert {NEXT[key] for key in NEXT if key[0] is BulkState.ACCEPTED} == TERMINAL


# --- in the database ------------------------------------------------------------------------------------------------


def test_a_thousand_items_take_as_many_statements_as_one(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_num_queries: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    taken: dict[int, list[int]] = {}
    for size in (1, 1000):
        p = bulk_prepare(world, "green", "blue", ["0.5"] * size)
        taken[size] = []
        for command in (p, bulk_fulfil(world, "blue", p)):
            with statements_of(monkeypatch) as statements, django_assert_num_queries(2):  # the test's savepoint
                began = time.perf_counter()
                run_bulk(command)
                took = time.perf_counter() - began
            taken[size].append(len(statements))
            with capsys.disabled():
                print(f"\n{type(command).__name__} of {size}: {len(statements)} statements, {took * 1000:.0f} ms")
    assert taken[1000] == taken[1] == [11, 13]
    assert Transfer.objects.filter(state="COMMITTED").count() == 1001
    assert (world.position("green"), world.position("blue")) == (amount("500.5"), -amount("500.5"))
    assert world.breaks() == []


def test_the_lines_of_a_bulk_add_up_to_the_change_of_position_in_one_window(world: World) -> None:
    p = bulk_prepare(world, "green", "blue", [1, 2, 4, 8, 2000])
    run_bulk(p)
    good, bad = ItemResult(FULFILMENT), ItemResult(None, "5104", "no")
    first, second, third, fourth, _ = (item.transfer_id for item in p.items)
    run_bulk(bulk_fulfil(world, "blue", p, {first: good, second: bad, third: good, fourth: ItemResult()}))
    entries = Entry.objects.filter(kind="TRANSFER")
    assert {entry.transfer_id for entry in entries} == {first, third}
    assert len({entry.window_id for entry in entries}) == 1
    assert sum(entry.amount for entry in entries) == world.position("green") == -world.position("blue") == amount(5)
    assert world.breaks() == []


def test_a_resend_is_answered_from_what_is_stored_and_an_old_answer_with_the_result(world: World) -> None:
    p = bulk_prepare(world, "green", "blue", [1, 2])
    assert isinstance(run_bulk(p), BulkAccepted)
    assert isinstance(run_bulk(p), BulkIgnored)
    f = bulk_fulfil(world, "blue", p)
    assert isinstance(run_bulk(f), BulkEnded)
    assert isinstance(run_bulk(f), BulkRepeated)
    assert isinstance(run_bulk(p), BulkRepeated)
    assert isinstance(run_bulk(bulk_reject(world, "blue", p)), BulkNotObeyed)
    assert world.position("green") == amount(3)
    assert world.breaks() == []


@pytest.mark.parametrize("in_hub_name", [False, True])
def test_dfsps_speak_for_themselves_unless_the_hub_is_told_to(world: World, settings: Any, in_hub_name: bool) -> None:
    settings.BULK_IN_HUB_NAME = in_hub_name
    fulfilled, refused = bulk_prepare(world, "green", "blue", [1]), bulk_prepare(world, "green", "blue", [1])
    for command in (fulfilled, bulk_fulfil(world, "blue", fulfilled), refused, bulk_reject(world, "blue", refused)):
        run_bulk(command)
    to_payer = Message.objects.filter(kind="bulk-end-to-payer").order_by("id")
    asked = Message.objects.filter(kind="bulk-prepare")
    assert [message.signed_by_hub for message in (*asked, *to_payer)] == [in_hub_name] * 4
    assert [message.path for message in to_payer] == [
        f"/bulkTransfers/{fulfilled.bulk_id}",
        f"/bulkTransfers/{refused.bulk_id}/error",
    ]
    assert all("accept" in message.headers for message in asked)
    assert world.breaks() == []


def test_a_payee_that_answers_an_item_alone_with_reserved_is_not_told_an_end(world: World) -> None:
    p = bulk_prepare(world, "green", "blue", [1])
    run_bulk(p)
    item_id = p.items[0].transfer_id
    run(fulfil(world, "blue", item_id, wants_patch=True))
    assert messages_about(item_id) == [("blue", "PUT", "transfer-refusal")]
    assert world.breaks() == []


@pytest.mark.slow
def test_the_sweep_leaves_items_to_their_bulk_and_ends_every_bulk_that_is_due(world: World) -> None:
    due = [bulk_prepare(world, "green", "blue", [1], expires_in=5) for _ in range(25)]
    for p in due:
        assert isinstance(run_bulk(p), BulkAccepted)
    run_bulk(bulk_prepare(world, "green", "blue", [5]))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep_until(%s)", [due[-1].expires_at])
    assert store.past_expiry(10) == []
    assert state_answers_and_expiry.expire() == 25
    assert world.position("green") == amount(5)
    assert world.breaks() == []


def test_a_bulk_that_can_not_be_ended_holds_up_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (bulk_prepare(world, "green", "blue", [1], expires_in=2) for _ in range(2))
    for p in (first, second):
        assert isinstance(run_bulk(p), BulkAccepted)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep_until(%s)", [second.expires_at])
    original = bulks.lock

    def lock(bulk_id: str) -> Bulk | None:
        if bulk_id == first.bulk_id:
            raise LostRace("again and again")
        return original(bulk_id)

    with monkeypatch.context() as patched:
        patched.setattr(bulks, "lock", lock)
        assert state_answers_and_expiry.expire() == 1
    assert Transfer.objects.get(state="RESERVED").bulk_id == first.bulk_id
    assert state_answers_and_expiry.expire() == 0  # not at once
    pause_is_over()
    assert state_answers_and_expiry.expire() == 1
    assert world.breaks() == []


def test_a_conversion_goes_with_a_single_transfer_and_never_with_an_item(world: World) -> None:
    scheme = open_scheme(world)
    waiting = agreed(scheme)
    p = bulk_prepare(scheme, "green", "blue", [7, 100], item_ids=[waiting.determining_transfer_id, str(uuid.uuid4())])
    assert isinstance(run_bulk(p), BulkAccepted)
    assert isinstance(run(fx_prepare(scheme, p.items[1].transfer_id, initiator="blue")), FxRefused)
    assert isinstance(run_bulk(bulk_fulfil(scheme, "blue", p)), BulkEnded)
    assert set(Entry.objects.filter(window__isnull=False).values_list("kind", flat=True)) == {"TRANSFER"}
    assert fx_state_of(waiting.commit_request_id) == "AGREED"  # it waits in vain, and expires
    assert world.breaks() == []
