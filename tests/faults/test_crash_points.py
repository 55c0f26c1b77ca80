"""The process dies at every point where dying could matter, before and after each commit and each send, in random
orders of payments; after each death a new process goes on with what the database holds. Nothing is lost or doubled."""

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from hub import outbox
from hub.outbox import claims, retries
from hub.outbox import store as outbox_store
from hub.outbox.client import Answer
from hub.outbox.models import Message
from ledger import engine, invariants, store
from ledger.commands_and_outcomes import Expire, Prepare
from ledger.models import Entry, Transfer
from tests.examples import examples
from tests.world import World, fulfil, prepare, reject

POINTS = (
    "before the ledger's transaction reads",
    "after it read and locked",
    "after it saved",
    "after it appended, before its commit",
    "after its commit, before the bell",
    "before a claim",
    "after a claim's commit, before the send",
    "after the send, before it is settled",
    "after settling",
)


class Death(BaseException):
    """Not an Exception: nothing may catch it and go on."""


class Mortal:
    """Dies once when the point that was chosen is reached, and notes which points it died at."""

    died_at: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        self.chosen: str | None = None

    def reach(self, point: str) -> None:
        if point == self.chosen:
            self.chosen = None
            Mortal.died_at[point] += 1
            raise Death(point)


mortal = Mortal()


@pytest.fixture
def _points(monkeypatch: pytest.MonkeyPatch) -> None:
    def around(before: str | None, real: Callable[..., Any], after: str | None) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if before:
                mortal.reach(before)
            result = real(*args, **kwargs)
            if after:
                mortal.reach(after)
            return result

        return call

    monkeypatch.setattr(store, "load", around(POINTS[0], store.load, POINTS[1]))
    monkeypatch.setattr(store, "save", around(None, store.save, POINTS[2]))
    monkeypatch.setattr(outbox, "append", around(None, outbox.append, POINTS[3]))
    monkeypatch.setattr(outbox, "poke", lambda destination_ids: mortal.reach(POINTS[4]))


class Payments(RuleBasedStateMachine):
    """DFSPs that resend until they are answered, a ledger and a courier that die, a network that delivers."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[Prepare] = []
        self.unanswered: list[Any] = []
        self.heard: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.acknowledged: set[str] = set()

    @initialize()
    def begin(self) -> None:
        with connection.cursor() as cursor:  # an empty scheme, whose history nobody may delete row by row
            cursor.execute("SET client_min_messages = warning")
            cursor.execute(
                "TRUNCATE outbox_message, outbox_delivery, ledger_transferevent, ledger_entry, ledger_transfer,"
                " ledger_fundsmovement CASCADE"
            )
            cursor.execute("ALTER TABLE audit_entry DISABLE TRIGGER USER")
            cursor.execute("DELETE FROM audit_entry WHERE action LIKE 'funds%'")
            cursor.execute("ALTER TABLE audit_entry ENABLE TRIGGER USER")
            cursor.execute("ALTER TABLE ledger_account DISABLE TRIGGER USER")
            cursor.execute("UPDATE ledger_account SET posted_debits = 0, posted_credits = 0, pending_debits = 0")
            cursor.execute("ALTER TABLE ledger_account ENABLE TRIGGER USER")
        type(self).world.fill(cover=5000)

    # --- what DFSPs do -----------------------------------------------------------------------------------------------

    @rule(
        pair=st.sampled_from([("green", "blue"), ("blue", "green"), ("red", "blue")]),
        much=st.integers(1, 400),
        die=st.sampled_from((None, *POINTS[:5])),
    )
    def pay(self, pair: tuple[str, str], much: int, die: str | None) -> None:
        command = prepare(self.world, *pair, much, transfer_id=str(uuid.uuid4()))
        self.begun.append(command)
        self._submit(command, die)

    @rule(
        which=st.randoms(use_true_random=False),
        kind=st.sampled_from(["fulfil", "reject", "prepare"]),
        die=st.sampled_from((None, *POINTS[:5])),
    )
    def answer_or_resend(self, which: Any, kind: str, die: str | None) -> None:
        if self.begun:
            p = which.choice(self.begun)
            make = {"fulfil": fulfil, "reject": reject}.get(kind)
            self._submit(make(self.world, p.payee, p.transfer_id) if make else p, die)

    @rule()
    def send_again_what_was_not_answered(self) -> None:
        for command in self.unanswered:
            engine.run([command])
            self.acknowledged.add(command.transfer_id)
        self.unanswered.clear()

    # --- what the hub does -------------------------------------------------------------------------------------------

    def _submit(self, command: Any, die: str | None) -> None:
        mortal.chosen = die
        try:
            engine.run([command])
        except Death:
            connection.close()
            self.unanswered.append(command)
        else:
            self.acknowledged.add(command.transfer_id)
        mortal.chosen = None

    @rule(die=st.sampled_from((None, *POINTS[5:])))
    def deliver(self, die: str | None) -> None:
        mortal.chosen = die
        try:
            self._deliver()
        except Death:
            connection.close()
            with connection.cursor() as cursor:  # the lease of the dead ends
                cursor.execute("UPDATE outbox_message SET leased_until = NULL")
        mortal.chosen = None

    def _deliver(self) -> int:
        mortal.reach(POINTS[5])
        claimed = claims.claim(dict.fromkeys(self.world.ids.values(), claims.Room(10, 10**9)), lease_s=60).messages
        mortal.reach(POINTS[6])
        for message in claimed:
            self._arrive(message)
        mortal.reach(POINTS[7])
        outbox_store.delivered([(message.id, 200) for message in claimed])
        retries.settle([retries.judge(message, Answer(503)) for message in ()])
        mortal.reach(POINTS[8])
        return len(claimed)

    def _arrive(self, message: Any) -> None:
        if message.kind.startswith("end-"):
            self.heard[message.subject, message.destination_id].add(
                "ABORTED" if message.path.endswith("/error") or b"ABORTED" in message.body else "COMMITTED"
            )

    # --- what must hold ----------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(type(self), "world"):
            return
        self.send_again_what_was_not_answered()
        for p in self.begun:
            engine.run([Expire(p.transfer_id)])  # ignored: none is due
        while self._deliver():
            pass
        assert not Message.objects.exists()
        assert [found.invariant.name for found in invariants.find_breaks()] == []
        states = dict(Transfer.objects.values_list("transfer_id", "state"))
        assert set(states) == {p.transfer_id for p in self.begun}
        assert self.acknowledged == set(states)
        assert Entry.objects.filter(kind="TRANSFER").count() == list(states.values()).count("COMMITTED")
        for (transfer_id, _), ends in self.heard.items():
            assert ends == {states[transfer_id]}
        for p in self.begun:
            assert states[p.transfer_id] == "RESERVED" or self.heard[p.transfer_id, p.source_id]


@pytest.fixture
def _small_world(committed_world: World) -> Iterator[None]:
    Payments.world = committed_world
    yield
    del Payments.world


@pytest.mark.usefixtures("_points", "_small_world")
def test_dying_at_any_point_loses_and_doubles_nothing() -> None:
    Mortal.died_at.clear()
    run_state_machine_as_test(
        Payments,
        settings=settings(
            max_examples=examples(12),
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert set(Mortal.died_at) == set(POINTS), "a point was never reached"
