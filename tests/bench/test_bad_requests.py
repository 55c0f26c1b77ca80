"""What a participant that misbehaves sends is what it is meant to be: as large, as many, and readable or not."""

import asyncio
import re
import time
from itertools import islice
from typing import Any

import pytest

from bench.__main__ import read_arguments
from bench.bad import requests as bodies
from bench.bad import run_trials
from bench.bad.misbehaviours import ALL
from bench.bad.scene_and_client import Scene, World
from bench.http_parser import Reader, header
from fspiop import bodies as wire
from fspiop import strictjson
from fspiop.bodies.authorizations import AuthorizationPut
from fspiop.bodies.bulk_transfers import BulkTransferPost
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.participants import ParticipantsPost
from fspiop.bodies.parties import PartyPut
from fspiop.bodies.transactions import TransactionPut

SCENE = Scene(
    name="nothing",
    bad="bad",
    mate="mate",
    good=["green", "blue"],
    ports={"bad": 1, "mate": 2},
    aliases={"green": ["255700000001"], "blue": ["255700000002"], "bad": ["255700000003"], "mate": ["255700000004"]},
    hub_host="hub",
    hub_port=80,
    database_url="",
    rows=0,
    results="",
)


@pytest.fixture
def world() -> World:
    return World(SCENE)


def read(request: bytes) -> tuple[str, str, bytes, Any]:
    """Method, path, head and body as the hub would read them."""
    (message,) = Reader().feed(request)
    method, path, _ = message.start.decode("latin-1").split(" ")
    return method, path, message.head, message.body


def test_large_bodies_are_the_largest_that_the_api_lets_through() -> None:
    assert bodies.MOST == 5 * 1024 * 1024
    assert len(bodies.long_text()) == bodies.MOST
    assert bodies.MOST - 3 < len(bodies.brackets()) <= bodies.MOST
    assert strictjson.loads(bodies.long_text(20)) == {"a": "x" * 12}
    assert strictjson.loads(bodies.brackets(20)) == {"a": [[]] * 4}


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_goes_whole_or_in_chunks_to_every_resource(world: World, is_chunked: bool) -> None:
    body = bodies.long_text(200_000)
    requests = [read(each) for each in islice(bodies.to_every_resource(world, body, is_chunked=is_chunked), 15)]
    assert {each[3] for each in requests} == {body}
    assert {header(each[2], b"transfer-encoding") for each in requests} == {b"chunked" if is_chunked else None}
    assert {header(each[2], b"content-length") for each in requests} == {None if is_chunked else b"200000"}
    assert len({(method, re.sub(r"[0-9a-f-]{36}", "id", path)) for method, path, _, _ in requests}) == 15
    assert {path.split("/")[1] for _, path, _, _ in requests} >= {"transfers", "quotes", "parties", "participants"}


def test_a_batch_is_one_that_the_hub_reads_and_as_long_as_it_may_be(world: World) -> None:
    first, second = (wire.read(ParticipantsPost, read(bodies.batch(world, number))[3]) for number in (1, 2))
    assert len(first.party_list) == bodies.ALIASES_IN_A_BATCH
    registered = {party.party_identifier for body in (first, second) for party in body.party_list}
    assert len(registered) == 2 * bodies.ALIASES_IN_A_BATCH


def test_a_bulk_is_one_that_the_hub_reads_and_each_has_transfers_of_its_own(world: World) -> None:
    make = bodies.Bulks(world)
    first, second = (wire.read(BulkTransferPost, read(make())[3]) for _ in range(2))
    assert (first.payer_fsp, first.payee_fsp) == ("bad", "mate")
    assert len({each.transfer_id for body in (first, second) for each in body.individual_transfers}) == 2000


def test_unasked_answers_are_well_formed_and_about_the_others_customers(world: World) -> None:
    kinds = {"parties": PartyPut, "authorizations": AuthorizationPut, "transactions": TransactionPut}
    seen = set()
    for request in islice(bodies.unasked(world), 12):
        method, path, head, body = read(request)
        resource = path.split("/")[1]
        wire.read(ErrorPut if path.endswith("/error") else kinds[resource], body)
        assert (method, header(head, b"fspiop-source")) == ("PUT", b"bad")
        if resource == "parties":
            other = {b"green": "255700000002", b"blue": "255700000001"}[header(head, b"fspiop-destination") or b""]
            assert path.split("/")[3] == other
        seen.add((header(head, b"fspiop-destination"), resource, path.endswith("/error")))
    assert len(seen) == 12


def test_odd_requests_have_octets_that_no_header_or_path_may_have(world: World) -> None:
    requests = list(islice(bodies.odd(world), 10))
    assert all(max(request) > 127 for request in requests)
    assert {header(read(each)[2], b"fspiop-destination") for each in requests} == {b"green", b"blue", None}


def test_each_way_of_misbehaving_says_what_it_is() -> None:
    assert all(kind.__doc__ for kind in ALL.values())
    assert len({kind.__doc__ for kind in ALL.values()}) == len(set(ALL.values())) == len(ALL)


def test_all_or_some_are_asked_for_by_name_and_others_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_trials.names(read_arguments(["--bad", "all"]).bad) == list(ALL)
    assert run_trials.names(read_arguments(["--bad", "polls,hangs"]).bad) == ["polls", "hangs"]
    assert read_arguments(["--bad", "polls"]).rate < read_arguments([]).rate == 50
    for wrong in (["--bad", "polls,politeness"], ["--bad", "polls", "--hub", "http://hub"]):
        with pytest.raises(SystemExit):
            read_arguments(wrong)
    assert "politeness is not one of" in capsys.readouterr().err


def test_a_flood_goes_on_after_each_answer_and_a_fixed_rate_waits_for_none(world: World) -> None:
    sent: list[tuple[bytes, Any]] = []
    world.client.send = lambda request, done: sent.append((request, done))  # type: ignore[method-assign]

    async def for_a_while(work: Any) -> None:
        task = asyncio.create_task(work)
        for _ in range(20):
            await asyncio.sleep(0.01)
            for _, done in sent[:2]:
                done(202)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(for_a_while(world.flood(2, lambda: b"flood")))
    assert len(sent) == 4  # two connections, and each was answered once
    assert world.answers == {202: 2}
    sent.clear()
    began = time.monotonic()
    asyncio.run(for_a_while(world.pace(100, lambda: b"pace")))
    assert 10 <= len(sent) <= 2 + 100 * (time.monotonic() - began)
