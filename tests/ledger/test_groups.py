"""Groups of commands for one transaction: limited in number and bytes, fair to each sender, and in a safe order."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fspiop.errors import FspiopError
from hub import group_commit
from hub.sql_execution import execute
from ledger import engine
from ledger.commands_and_outcomes import Expire, Fulfil, PaymentMessage, Prepare
from ledger.fx.commands_and_outcomes import FxExpire, FxFulfil, FxPrepare
from ledger.groups import Waiting, take
from tests.world import World
from tests.world import prepare as prepare_in

NOW = datetime.now(UTC)
KiB = 1024


def prepare(sender: int, octets: int = KiB, transfer_id: str | None = None) -> Prepare:
    message = PaymentMessage(b" " * octets, {}, "1.1")
    return Prepare(transfer_id or str(uuid.uuid4()), sender, "a", "b", "TZS", 1, "c", NOW, b"", message)


def fulfil(sender: int, transfer_id: str) -> Fulfil:
    return Fulfil(transfer_id, sender, None, "f", None, False, b"", PaymentMessage(b" ", {}, "1.1"))


def fx_prepare(sender: int, commit_request_id: str, determining: str) -> FxPrepare:
    message = PaymentMessage(b" ", {}, "2.0")
    return FxPrepare(commit_request_id, determining, sender, "a", "b", "TZS", 1, "KES", 1, "c", NOW, b"", message)


def fx_fulfil(sender: int, commit_request_id: str) -> FxFulfil:
    return FxFulfil(commit_request_id, sender, None, "f", True, b"", PaymentMessage(b" ", {}, "2.0"))


def waiting(*commands: Any) -> list[Waiting]:
    return [Waiting(command, Future()) for command in commands]


def groups_of(line: list[Waiting], *, most: int = 200, most_octets: int = 1024 * KiB) -> list[list[Any]]:
    """All groups, until nothing waits."""
    found = []
    while line:
        group = take(line, most=most, most_octets=most_octets)
        assert group
        found.append([item.command for item in group])
    return found


def senders_of(group: list[Any]) -> Counter[int]:
    return Counter(command.source_id for command in group)


def test_a_dfsp_that_sends_much_keeps_nobody_out_of_the_next_group() -> None:
    line = waiting(*[prepare(1) for _ in range(150)], *[prepare(2) for _ in range(60)], prepare(3))
    first = groups_of(line, most=100)[0]
    assert senders_of(first) == {1: 50, 2: 49, 3: 1}


def test_a_dfsp_that_sends_large_messages_keeps_nobody_out_of_the_next_group() -> None:
    line = waiting(*[prepare(1, 64 * KiB) for _ in range(112)], *[prepare(2) for _ in range(40)])
    first, second, *others = groups_of(line)
    assert senders_of(first)[2] == 40
    assert sum(len(command.message.body) for command in first) <= 1024 * KiB
    assert senders_of(first)[1] == 15  # the rest of the mebibyte
    assert [senders_of(group) for group in (second, *others)] == [{1: 16}] * 6 + [{1: 1}]


def test_one_who_is_alone_has_all_of_it() -> None:
    assert [len(group) for group in groups_of(waiting(*[prepare(1) for _ in range(450)]))] == [200, 200, 50]


def test_a_message_larger_than_a_group_may_be_is_taken_alone() -> None:
    line = waiting(prepare(1, 3000 * KiB), prepare(2))
    assert [senders_of(group) for group in groups_of(line)] == [{1: 1}, {2: 1}]


def test_the_hubs_own_expiries_are_one_sender() -> None:
    line = waiting(*[Expire(str(number)) for number in range(300)], prepare(1))
    first = groups_of(line)[0]
    assert len(first) == 200
    assert any(isinstance(command, Prepare) for command in first)


commands = st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0, 1, 10, 64])), min_size=1, max_size=60)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(commands, st.integers(1, 30), st.sampled_from([16, 64, 200]))
def test_whoever_waits_each_group_is_bounded_fair_and_in_the_order_in_which_each_sender_sent(
    sent: list[tuple[int, int]], most: int, most_kib: int
) -> None:
    line = waiting(*[prepare(sender, size * KiB) for sender, size in sent])
    arrived = {item.command.transfer_id: number for number, item in enumerate(line)}
    seen: dict[int, int] = {}
    while line:
        oldest = line[0]
        group = take(line, most=most, most_octets=most_kib * KiB)
        assert oldest in group
        assert len(group) <= most
        assert len(group) == 1 or sum(len(item.command.message.body) for item in group) <= most_kib * KiB
        had: Counter[int] = Counter()
        last: dict[int, int] = {}
        for item in group:
            sender, cost = item.command.source_id, KiB + len(item.command.message.body)
            had[sender] += cost
            last[sender] = cost
            number = arrived[item.command.transfer_id]
            assert seen.get(sender, -1) < number  # none of a sender's overtakes another of its own
            seen[sender] = number
        # Nobody was given another while one whose next would have fit had had less.
        room = most_kib * KiB - sum(len(item.command.message.body) for item in group)
        next_of = {item.command.source_id: item for item in reversed(line)}
        for sender, item in next_of.items():
            if len(item.command.message.body) <= room:
                assert all(had[other] - last[other] <= had[sender] for other in last)


def test_what_ends_a_transfer_waits_for_no_prepare_of_the_same_id() -> None:
    """A payer that sends its prepare again and again does not keep its payee's answer waiting."""
    line = waiting(*[prepare(1, transfer_id="t") for _ in range(50)], fulfil(2, "t"))
    first = groups_of(line)[0]
    assert isinstance(first[0], Fulfil)
    assert len(first) == 51


def test_what_begins_waits_where_it_may_need_what_the_same_group_brings_into_being() -> None:
    for commands, expected in (
        ([prepare(1, transfer_id="t"), fx_prepare(1, "c", "t")], [Prepare, FxPrepare]),
        ([fx_prepare(1, "c", "t"), prepare(1, transfer_id="t")], [FxPrepare, Prepare]),
        ([fx_prepare(1, "c", "t"), prepare(1, transfer_id="c")], [FxPrepare, Prepare]),
    ):
        assert [[type(command) for command in group] for group in groups_of(waiting(*commands))] == [
            [kind] for kind in expected
        ]


def test_what_ends_a_conversion_comes_first_too() -> None:
    line = waiting(fx_prepare(1, "c", "t"), fx_fulfil(3, "c"), FxExpire("c"), fulfil(2, "t"))
    assert [[type(command) for command in group] for group in groups_of(line)] == [
        [FxFulfil, FxExpire, Fulfil, FxPrepare]
    ]


def test_while_one_dfsp_floods_the_next_group_holds_all_that_another_sent(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the engine itself: the first group stands still, and behind it green floods while red sends two."""
    entered, go_on, ran, run = threading.Event(), threading.Event(), [], engine.run

    def run_and_tell(batch: Any, **how: Any) -> Any:
        ran.append([command.source_id for command in batch])
        entered.set()
        go_on.wait(30)
        return run(batch, **how)

    monkeypatch.setattr(engine, "run", run_and_tell)
    own, green, red = engine.Engine(), committed_world.ids["green"], committed_world.ids["red"]

    def large() -> Prepare:
        found = prepare_in(committed_world, "green", "blue", 1)
        found.message.body = b" " * 64 * KiB
        return found

    def send(command: Prepare) -> threading.Thread:
        thread = threading.Thread(target=own.submit, args=(command,))
        thread.start()
        return thread

    with override_settings(REQUEST_DEADLINE_S=60):
        threads = [send(large())]
        assert entered.wait(20)
        threads += [send(large()) for _ in range(40)]
        threads += [send(prepare_in(committed_world, "red", "blue", 1)) for _ in range(2)]
        end = time.monotonic() + 20
        while len(own._waiting) < 42 and time.monotonic() < end:
            time.sleep(0.01)
        go_on.set()
        for thread in threads:
            thread.join(60)
    assert sorted(Counter(ran[1]).items()) == sorted({green: 15, red: 2}.items())
    assert sum(map(len, ran)) == 43


@pytest.mark.parametrize("timeout", ["lock_timeout", "statement_timeout"])
def test_a_row_that_is_locked_delays_only_the_messages_about_it(committed_world: World, timeout: str) -> None:
    """Another transaction holds green's account: seven messages of red's and blue's, and one of green's.

    A group that fails by the short timeouts only has the usual ones once more, and then not again for half a minute.
    """
    commands = [prepare_in(committed_world, *(("red", "blue") if n % 2 else ("blue", "red")), 1) for n in range(8)]
    commands[3] = prepare_in(committed_world, "green", "blue", 1)
    own = engine.Engine()

    def settled() -> tuple[list[str], float]:
        line = [Waiting(replace(each, transfer_id=str(uuid.uuid4())), Future()) for each in commands]
        began = time.monotonic()
        own._settle(line)
        took = time.monotonic() - began
        return [_said(item.outcome) for item in line], took

    with held_account(committed_world, "green"):
        execute("SET lock_timeout = 0")
        execute(f"SET {timeout} = 400")
        for most_s in (2.5, 4.5, 1.5):  # at the third time, the engine waits less for the first lock
            outcomes, took = settled()
            assert outcomes == ["Reserved"] * 3 + ["2003"] + ["Reserved"] * 4
            assert took < most_s
    own._wary_until = 0.0  # half a minute later
    assert settled()[0] == ["Reserved"] * 8
    assert [execute(f"SHOW {name}").fetchone()[0] for name in ("lock_timeout", "statement_timeout")] == ["2s", "5s"]


class Slow(engine.Engine):
    """An engine on a slow machine: its only statement takes 0.3 s."""

    def _run(self, batch: list[Any]) -> list[Any]:
        execute("SELECT pg_sleep(0.3)")
        return ["Done"] * len(batch)


@pytest.fixture
def slow(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    """The engine after a failure with the usual timeouts."""
    monkeypatch.setattr(group_commit, "_WARY_TIMEOUTS_MS", {"statement_timeout": 100})
    own = Slow()
    own._wary_until = time.monotonic() + 30
    yield own
    execute("RESET statement_timeout")


def slow_outcome(own: Slow) -> str:
    line = waiting(prepare(1))
    own._settle(line)
    return _said(line[0].outcome) if line[0].outcome.exception() else line[0].outcome.result()


def test_a_group_that_only_the_short_timeout_ended_has_the_usual_timeout_before_it_is_refused(slow: Slow) -> None:
    assert slow_outcome(slow) == "Done"
    assert slow._wary_until is None, "the timeouts are short although the usual ones suffice"
    assert execute("SHOW statement_timeout").fetchone()[0] == "5s"


def test_a_failure_by_the_short_timeout_does_not_keep_the_timeouts_short(slow: Slow) -> None:
    slow._patient_from = float("inf")  # the usual timeouts were tried a moment ago
    until = slow._wary_until
    assert slow_outcome(slow) == "2003"
    assert slow._wary_until == until


def test_a_group_of_locked_rows_is_not_divided_for_ever(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "_PARTING_S", 0.3)
    line = [Waiting(prepare_in(committed_world, "green", "blue", 1), Future()) for _ in range(64)]
    with held_account(committed_world, "green"):
        execute("SET lock_timeout = 100")
        began = time.monotonic()
        engine.Engine()._settle(line)
        assert time.monotonic() - began < 2  # one by one, it would be 64 times the timeout
    execute("RESET lock_timeout")
    assert [_said(item.outcome) for item in line] == ["2003"] * 64


def _said(outcome: "Future[Any]") -> str:
    error = outcome.exception()
    return error.code if isinstance(error, FspiopError) else type(outcome.result()).__name__


@contextmanager
def held_account(world: World, name: str) -> Iterator[None]:
    """Another session has locked the participant's accounts."""
    locked, over = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            execute("SELECT 1 FROM ledger_account WHERE participant_id = %s FOR UPDATE", [world.ids[name]])
            locked.set()
            over.wait(30)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert locked.wait(5)
    try:
        yield
    finally:
        over.set()
        thread.join()
