"""Lookups and quotes by real commits, from several processes' engines at once; and sabotaged hubs, each caught."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection, transaction

from fspiop.errors import FspiopError
from hub import agreement_engine, outbox
from hub.agreement_engine import Command, Engine
from hub.agreement_outcomes import Outcome
from hub.outbox.models import Message
from ledger.engine import Engine as LedgerEngine
from quotes import store
from quotes.commands_and_facts import State
from quotes.models import Quote
from tests.agreements import ask_bulk_terms, ask_party, ask_terms, give_terms
from tests.concurrency.together import together
from tests.world import World, prepare

Submit = Callable[[Command], Outcome]


def at_once(commands: Sequence[Command], engines: int = 3) -> list[str]:
    """What came of each, where the engines of several processes have them at the same moment."""
    processes = [Engine() for _ in range(engines)]
    calls = [partial(processes[number % engines].submit, command) for number, command in enumerate(commands)]
    return [type(outcome).__name__ for outcome in together(calls)]


def requests(quote_id: str) -> list[bytes]:
    found = Message.objects.filter(subject=quote_id, method="POST")
    return [bytes(body) for body in found.values_list("body", flat=True)]


def test_equal_requests_at_once_are_stored_once(committed_world: World) -> None:
    for _ in range(5):
        command = ask_terms(committed_world.ids)
        assert Counter(at_once([command] * 9)) == {"Forwarded": 1, "Repeated": 8}
        assert set(requests(command.agreement_id)) == {command.message.body}
    assert Quote.objects.count() == 5


def test_of_changed_requests_at_once_one_is_stored_and_all_others_are_refused(committed_world: World) -> None:
    for _ in range(5):
        quote_id = str(uuid.uuid4())
        commands = [ask_terms(committed_world.ids, quote_id=quote_id, content=str(n)) for n in range(9)]
        assert Counter(at_once(commands)) == {"Forwarded": 1, "Refused": 8}
        assert requests(quote_id) == [bytes(Quote.objects.get(pk=quote_id).request)]


def test_groups_with_the_same_quotes_in_other_orders_do_not_hinder_each_other(committed_world: World) -> None:
    commands = [ask_terms(committed_world.ids) for _ in range(40)]
    orders: list[Sequence[Command]] = [commands, commands[::-1], commands[20:] + commands[:20]]
    results = together([partial(agreement_engine.run, order) for order in orders])
    kinds = Counter(type(outcome).__name__ for result in results for outcome in result)  # type: ignore[union-attr]
    assert kinds == {"Forwarded": 40, "Repeated": 80}


def test_no_lookup_waits_for_a_large_bulk_quote_of_somebody_else(committed_world: World) -> None:
    """Both in one engine: five megabytes would be a group of their own, and everything after them would wait."""
    small = ask_party(committed_world.ids, "red", to="blue")
    large = ask_bulk_terms(committed_world.ids, octets=settings.MAX_BODY_BYTES + 1)
    results: list[Outcome] = []
    thread = threading.Thread(target=in_a_thread, args=(large, results))
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("LOCK TABLE quotes_bulkquote IN ACCESS EXCLUSIVE MODE")
        thread.start()  # its transaction waits for the lock
        time.sleep(0.3)
        (outcome,) = together([partial(agreement_engine.submit, small)])
        assert type(outcome).__name__ == "Forwarded"
        assert results == []
    thread.join(10)
    assert [type(each).__name__ for each in results] == ["Forwarded"]


@pytest.mark.parametrize("name", ["agreements", "ledger"])
def test_an_engine_that_was_idle_while_postgresql_restarted_serves_the_next_message(
    committed_world: World, name: str
) -> None:
    """Its connection is dead; nobody was in the middle of anything, so nobody need hear that an outcome is unknown."""

    def served() -> str:
        if name == "ledger":
            return type(ledger.submit(prepare(committed_world, "green", "blue", 1))).__name__
        return type(agreements.submit(ask_terms(committed_world.ids))).__name__

    agreements, ledger = Engine(), LedgerEngine()
    first = served()
    with connection.cursor() as cursor:  # as a restart does, but without one
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    time.sleep(0.7)
    assert served() == first


def in_a_thread(command: Command, results: list[Outcome]) -> None:
    try:
        results.append(agreement_engine.submit(command))
    finally:
        connection.close()


def answered(world: World, answers: int = 6) -> list[bytes]:
    """Different answers to one request at once; what the payer is told."""
    request = ask_terms(world.ids)
    agreement_engine.run([request])
    gives = [give_terms(world.ids, request.agreement_id, content=str(n)) for n in range(answers - 1)]
    gives.append(give_terms(world.ids, request.agreement_id, "green", content="no", state=State.REJECTED))
    at_once(gives)
    told = Message.objects.filter(subject=request.agreement_id, kind="quote-answer")
    return [bytes(body) for body in told.values_list("body", flat=True)]


def contradictions(world: World, rounds: int) -> int:
    """How often a payer was told the terms of more than one answer."""
    return sum(len([body for body in answered(world) if b"no" not in body]) > 1 for _ in range(rounds))


def test_of_different_answers_at_once_the_payer_is_told_one(committed_world: World) -> None:
    assert contradictions(committed_world, 5) == 0


def test_a_hub_that_does_not_look_at_the_state_when_it_stores_an_answer_is_caught(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = store._update(Quote)
    assert "AND a.state = n.seen" in stored
    monkeypatch.setattr(store, "_update", lambda kind: stored.replace("AND a.state = n.seen", ""))
    look, all_have_looked = store.standing, threading.Barrier(3)

    def look_together(*arguments: Any) -> Any:
        seen = look(*arguments)
        if threading.current_thread().name == "agreements-engine":  # not the test itself, which stores the request
            with suppress(threading.BrokenBarrierError):
                all_have_looked.wait(5)
        return seen

    monkeypatch.setattr(store, "standing", look_together)
    assert contradictions(committed_world, 1) == 1


# --- durable before it is acknowledged --------------------------------------------------------------------------------


def untold() -> set[str]:
    """Quotes that wait for an answer, and whose payee was never told of them."""
    told = set(Message.objects.filter(kind="quote-request").values_list("subject", flat=True))
    return set(Quote.objects.values_list("pk", flat=True)) - told


def missing(own: Engine, world: World, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Requests by many threads while the database dies again and again: what was acknowledged and is not there."""
    append, count, running = outbox.append, [0], threading.Lock()

    def dying(messages: Any) -> None:
        append(messages)
        count[0] += 1
        if count[0] % 4 == 0:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    run = agreement_engine.run

    def run_alone(batch: Sequence[Command], **how: Any) -> list[Outcome]:
        with running:
            return run(batch, **how)

    monkeypatch.setattr(outbox, "append", dying)
    monkeypatch.setattr(agreement_engine, "run", run_alone)
    acknowledged: set[str] = set()

    def submit_some() -> None:
        for _ in range(8):
            command = ask_terms(world.ids)
            try:
                own.submit(command)
            except FspiopError:
                continue  # 503: it may be sent again
            acknowledged.add(command.agreement_id)

    threads = [threading.Thread(target=submit_some) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    time.sleep(0.5)
    running.acquire()  # a hub that acknowledged early may still be at work; the tables are emptied after this test
    assert len(acknowledged) > 10
    return acknowledged - set(Quote.objects.values_list("pk", flat=True))


def test_no_quote_that_was_acknowledged_is_missing_or_untold_though_the_database_dies(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missing(Engine(), committed_world, monkeypatch) == set()
    assert untold() == set()


def test_a_hub_that_acknowledges_a_quote_before_its_commit_is_caught(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hasty(Engine):
        def _settle(self, group: Any) -> None:
            for waiting in group:
                waiting.outcome.set_result(None)
            try:
                agreement_engine.run([waiting.command for waiting in group])
            except OperationalError:
                connection.close()

    assert missing(Hasty(), committed_world, monkeypatch) != set()


def test_a_hub_that_appends_a_quotes_message_after_its_commit_is_caught(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the two: the quote is there, and its payee will never be told."""
    agreement_engine.run([ask_terms(committed_world.ids)])
    assert untold() == set()
    monkeypatch.setattr(outbox, "append", lambda messages: None)
    agreement_engine.run([ask_terms(committed_world.ids)])
    assert len(untold()) == 1
