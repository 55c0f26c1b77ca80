"""Lookups and quotes in groups: a group does what its messages do one by one, at the cost of one of them."""

import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from directory.lookup_commands import AnswerParty
from directory.models import PartyLookup
from fspiop.errors import FspiopError
from hub import agreement_engine
from hub.agreement_engine import Command, Waiting, take
from hub.agreement_outcomes import Forwarded, Outcome
from hub.outbox import backlog_limit
from hub.outbox.models import Message
from quotes import services
from quotes import store as quotes_store
from quotes.commands_and_facts import AskTerms, State
from quotes.models import Quote
from tests.agreements import answer_party, ask_bulk_terms, ask_party, ask_terms, give_terms
from tests.directory.requests import counted_statements, register
from tests.examples import examples
from tests.world import World

FIRST = "255655001000"


def number(n: int) -> str:
    return str(int(FIRST) + n)


def kinds(outcomes: Sequence[Outcome]) -> list[str]:
    return [type(outcome).__name__ for outcome in outcomes]


@pytest.mark.parametrize("size", [1, 7, 60])
def test_the_number_of_statements_does_not_depend_on_the_size_of_the_group(
    world: World, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog_limit, "_REFRESH_S", 1000)  # they are read once a second
    for n in range(size):
        register(f"MSISDN/{number(n)}", "blue")
    agreement_engine.run([ask_party(world.ids, number=number(0), to="red")])

    def run(commands: Sequence[Command]) -> int:
        with counted_statements() as sent:
            assert set(kinds(agreement_engine.run(commands))) == {"Forwarded"}
        return len(sent)

    lookups = [ask_party(world.ids, number=number(n)) for n in range(size)]
    answers = [answer_party(world.ids, number=number(n)) for n in range(size)]
    requests = [ask_terms(world.ids) for _ in range(size)]
    terms = [give_terms(world.ids, request.agreement_id) for request in requests]
    assert run(lookups) == 5
    assert run([*answers, *requests]) == 5
    assert run(terms) == 3
    others = [ask_terms(world.ids) for _ in range(size)]
    agreement_engine.run(others)
    mixed: list[Command] = [ask_party(world.ids, "red", number=number(n)) for n in range(size)]
    mixed += [answer_party(world.ids, number=number(n)) for n in range(size)]
    mixed += [ask_terms(world.ids) for _ in range(size)]
    mixed += [give_terms(world.ids, request.agreement_id) for request in others]
    assert run(mixed) == 9


def test_an_equal_request_again_costs_a_statement_more_for_all_together(world: World) -> None:
    requests = [ask_terms(world.ids) for _ in range(20)]
    agreement_engine.run(requests)
    with counted_statements() as sent:
        assert set(kinds(agreement_engine.run(requests))) == {"Repeated"}
    assert len(sent) == 4  # the parties; whether the ids are in use; the requests as they were stored; the messages
    assert Message.objects.count() == 20


# --- a group is the same as one by one --------------------------------------------------------------------------------

quote_ids = [str(uuid.uuid4()) for _ in range(3)]
steps = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from(quote_ids), st.sampled_from(["green", "red"]), st.sampled_from("ab")),
    st.tuples(st.just("give"), st.sampled_from(quote_ids), st.sampled_from(["blue", "green", "red"]), st.booleans()),
    st.tuples(st.just("lookup"), st.sampled_from(["green", "red"]), st.sampled_from([None, "blue", "nobody"])),
    st.tuples(st.just("answer"), st.sampled_from(["blue", "red"]), st.sampled_from(["green", "red", None])),
)


def commands_of(world: World, group: list[Any]) -> list[Command]:
    found: dict[str, Command] = {}
    for step in group:
        command: Command
        match step:
            case ("ask", quote_id, payer, content):
                command = ask_terms(world.ids, payer, quote_id=quote_id, content=content)
            case ("give", quote_id, sender, is_error):
                state = State.REJECTED if is_error else State.ACCEPTED
                command = give_terms(world.ids, quote_id, sender, content=f"{sender} {state}", state=state)
            case ("lookup", asker, to):
                command = ask_party(world.ids, asker, number=FIRST, to=to)
            case ("answer", answerer, to):
                command = answer_party(world.ids, answerer, number=FIRST, to=to)
        found.setdefault(command.key, command)
    # A group ends lookups before it begins others.
    return sorted(found.values(), key=lambda command: not isinstance(command, AnswerParty))


def seen() -> tuple[Any, ...]:
    """All that lookups and quotes leave behind, without times and numbers of rows."""
    messages = Message.objects.order_by("destination_id", "subject", "id")
    return (
        list(Quote.objects.order_by("pk").values_list("pk", "state", "payer_id", "request", "response", "condition")),
        list(PartyLookup.objects.order_by("subject", "owner_id").values_list("subject", "owner_id", "answers")),
        list(messages.values_list("destination_id", "method", "path", "kind", "body", "source_id", "reply_to_id")),
    )


@settings(deadline=None, max_examples=examples(40), suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(steps, min_size=1, max_size=6), min_size=1, max_size=4))
def test_a_group_leaves_what_its_messages_leave_one_by_one(world: World, groups: list[list[Any]]) -> None:
    before = connection.savepoint()
    try:
        register(f"MSISDN/{FIRST}", "blue")
        batches = [commands_of(world, group) for group in groups]
        found = []
        for is_together in (True, False):
            begun = connection.savepoint()
            outcomes: list[Outcome] = []
            for batch in batches:
                if is_together:
                    outcomes += agreement_engine.run(batch)
                else:
                    outcomes += [outcome for command in batch for outcome in agreement_engine.run([command])]
            found.append((kinds(outcomes), seen()))
            connection.savepoint_rollback(begun)
        assert found[0] == found[1]
    finally:
        connection.savepoint_rollback(before)


# --- who is in a group ------------------------------------------------------------------------------------------------


def waiting(*commands: Command) -> list[Waiting]:
    return [Waiting(command, Future()) for command in commands]


def groups_of(line: list[Waiting], *, most: int = 200, most_octets: int = 1024 * 1024) -> list[list[Command]]:
    found = []
    while line:
        group = take(line, most=most, most_octets=most_octets)
        assert group
        found.append([item.command for item in group])
    return found


IDS = {"green": 1, "blue": 2, "red": 3}


def test_of_two_messages_about_one_quote_the_second_waits_for_the_next_group() -> None:
    first, other = ask_terms(IDS), ask_terms(IDS)
    again, answer = replace(first), give_terms(IDS, first.agreement_id)
    lookup, its_answer = ask_party(IDS), answer_party(IDS)
    assert groups_of(waiting(first, lookup, again, other, its_answer, answer)) == [
        [first, lookup, other, its_answer],
        [again],
        [answer],
    ]


def test_answers_that_nobody_asked_for_delay_neither_the_lookup_nor_its_answer() -> None:
    unasked = [answer_party(IDS, "red", to="green") for _ in range(100)]
    lookup, its_answer = ask_party(IDS, "green", to="blue"), answer_party(IDS, "blue", to="green")
    first, *later = groups_of(waiting(*unasked, lookup, its_answer))
    assert [command for command in first if command.sender_id != IDS["red"]] == [lookup, its_answer]
    assert len(later) == 99


def test_a_dfsp_that_sends_much_or_large_messages_keeps_nobody_out_of_the_next_group() -> None:
    line = waiting(*[ask_terms(IDS, octets=64 * 1024) for _ in range(40)], *[ask_terms(IDS, "red") for _ in range(20)])
    group = groups_of(line)[0]
    assert sum(command.sender_id == IDS["red"] for command in group) == 20
    assert sum(len(command.message.body) for command in group) <= 1024 * 1024
    line = waiting(*[ask_terms(IDS) for _ in range(400)], *[ask_terms(IDS, "red") for _ in range(20)])
    assert sum(command.sender_id == IDS["red"] for command in groups_of(line)[0]) == 20


@pytest.mark.parametrize(("kind", "octets"), [(ask_bulk_terms, 5_000_000), (ask_terms, 60_000)])
def test_a_short_message_that_repeats_a_large_one_is_in_nobodys_group(
    committed_world: World, kind: Callable[..., AskTerms], octets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, readers = quotes_store.stored, list[str]()

    def noted(*arguments: Any) -> Any:
        readers.append(threading.current_thread().name)
        return read(*arguments)

    monkeypatch.setattr(quotes_store, "stored", noted)
    large = kind(committed_world.ids, octets=octets)
    short = replace(large, message=replace(large.message, body=b"{}"))  # the same content without its spaces
    assert kinds([services.ask(large), services.ask(short)]) == ["Forwarded", "Repeated"]
    assert readers == [threading.current_thread().name]  # not the engine's
    if kind is ask_terms:
        services.ask(large)
        assert readers[1:] == ["agreements-engine"]  # as large as what it repeats


# --- one bad message --------------------------------------------------------------------------------------------------


def unstorable(command: AskTerms) -> AskTerms:
    return replace(command, columns={"transaction_id": "x" * 100})  # longer than its column


def test_one_message_that_can_not_be_stored_does_not_fail_its_company_and_costs_few_transactions(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, ran = agreement_engine.run, []

    def counted(batch: Sequence[Command], **how: Any) -> list[Outcome]:
        ran.append(len(batch))
        return run(batch, **how)

    monkeypatch.setattr(agreement_engine, "run", counted)
    commands = [ask_terms(committed_world.ids) for _ in range(64)]
    commands[37] = unstorable(commands[37])
    line = waiting(*commands)
    agreement_engine.Engine()._settle(line)
    failed = [item.outcome.exception() for item in line]
    error = failed.pop(37)
    assert isinstance(error, FspiopError)
    assert (error.code, error.http_status) == ("3101", 400)
    assert failed == [None] * 63
    assert Quote.objects.count() == 63
    assert len(ran) == 13  # all of them, and two halves of 64, 32, 16, 8, 4 and 2


def test_the_parties_are_those_of_the_moment_of_the_decision(world: World) -> None:
    (outcome,) = agreement_engine.run([ask_terms(world.ids)])
    assert isinstance(outcome, Forwarded)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE participants_participant SET is_active = false WHERE name = 'blue'")
    assert kinds(agreement_engine.run([ask_terms(world.ids), ask_party(world.ids, to="blue")])) == ["Refused"] * 2
