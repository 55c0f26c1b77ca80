"""A DFSP that sends too many messages ends its own certification, and delays no other."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from hub.participants.models import Participant
from hub.recordings.models import RecordedRequest
from portal.certification import certifying_process, message_limits, run_for_one_dfsp
from portal.certification.case_type import Case
from portal.certification.counterpart import Endpoint, Received
from portal.certification.message_limits import MessageLimit
from portal.certification.models import Certification
from portal.certification.recorded_requests import Door
from portal.certification.running_case import Scene
from tests.certification.test_other_dfsps import begun, no_endpoint
from tests.world import World

PATH = "/quotes/7c2f5a9e-6a57-4f35-8a0e-1c7f0b1d9f01"
MOST = 30


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_limits, "MOST_PER_RUN", MOST)


def requests(source: str, count: int, path: str = PATH, body: bytes = b"{}") -> list[RecordedRequest]:
    return [
        RecordedRequest(
            source=source, destination="certifier", method="PUT", path=path, headers={}, body=body, status=200
        )
        for _ in range(count)
    ]


def store(*sent: list[RecordedRequest]) -> None:
    RecordedRequest.objects.bulk_create(each for some in sent for each in some)


@pytest.mark.django_db(transaction=True)
def test_the_answer_of_an_honest_dfsp_is_found_in_a_flood_of_which_little_is_kept(world: World, few: None) -> None:
    async def story() -> None:
        async with Door() as door:
            limits = {name: MessageLimit() for name in ("green", "blue")}
            kept = {name: door.open(name, limit) for name, limit in limits.items()}
            waiting = asyncio.create_task(door.wait("blue", [PATH], lambda _: True, seconds=5))
            await asyncio.to_thread(store, requests("green", 400), requests("blue", 1), requests("green", 400))
            assert [told.source for told in await waiting] == ["blue"]
            await asyncio.to_thread(store, requests("green", 50))
            await asyncio.sleep(0.5)
            assert len(kept["green"].all) <= 100  # the flood after the limit is not even read
            assert len(kept["blue"].all) == 1
            assert {name: limit.is_exceeded.is_set() for name, limit in limits.items()} == {
                "green": True,
                "blue": False,
            }

    asyncio.run(story())


@pytest.mark.django_db(transaction=True)
def test_few_large_messages_are_a_flood_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_limits, "MOST_OCTETS_PER_RUN", 1000)

    async def story() -> None:
        async with Door() as door:
            limit = MessageLimit()
            door.open("green", limit)
            await asyncio.to_thread(store, requests("green", 2, body=b"x" * 600))
            await asyncio.wait_for(limit.is_exceeded.wait(), 5)

    asyncio.run(story())


@pytest.mark.django_db(transaction=True)
def test_too_many_messages_fail_only_the_run_of_their_sender(
    world: World, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    flooding, honest = begun("green"), begun("blue")
    text: Any = "-"

    async def answered(scene: Scene) -> None:
        await scene.answers(PATH, seconds=20)

    monkeypatch.setattr(run_for_one_dfsp, "CASES", (Case("payee-quote", "payee", text, text, answered),))
    sender: Any = SimpleNamespace(name="certifier")

    async def certify(made: Certification, door: Door) -> None:
        await certifying_process._run_one(made, no_endpoint(), sender, door, lambda *_: None)

    async def story() -> None:
        async with Door() as door:
            flood = requests("green", MOST, path="/quotes/another")
            runs = asyncio.gather(certify(flooding, door), certify(honest, door))
            await asyncio.sleep(0.3)
            await asyncio.to_thread(store, flood, requests("blue", 1))
            await runs

    began = time.monotonic()
    asyncio.run(story())
    assert time.monotonic() - began < 10
    found = {}
    for made in (flooding, honest):
        made.refresh_from_db()
        case = made.cases.get()
        found[made.participant.name] = (made.state, case.verdict, [fault["code"] for fault in case.faults])
    assert found == {
        "green": ("FAILED", "NOT_JUDGED", ["too_many_messages"]),
        "blue": ("PASSED", "PASSED", []),
    }
    assert Participant.objects.filter(tested_by=None).count() == Participant.objects.count()


def test_the_messages_of_one_dfsp_do_not_delay_those_of_another(few: None) -> None:
    """Each message of green takes half a second; the ones above the limit are refused."""

    async def slowly(_: Received) -> None:
        await asyncio.sleep(0.5)

    async def story() -> None:
        async with Endpoint() as endpoint, aiohttp.ClientSession() as session:
            handled_by_blue = asyncio.Event()

            async def at_once(_: Received) -> None:
                handled_by_blue.set()

            endpoint.on("green", slowly, MessageLimit())
            endpoint.on("blue", at_once, MessageLimit())

            async def send(source: str) -> int:
                async with session.get(f"{endpoint.url}/parties/MSISDN/1", headers={"fspiop-source": source}) as answer:
                    return answer.status

            statuses = await asyncio.gather(*(send("green") for _ in range(MOST + 20)))
            assert (statuses.count(202), statuses.count(403)) == (MOST - 1, 21)
            assert await send("blue") == 202
            await asyncio.wait_for(handled_by_blue.wait(), 0.4)
            assert await send("Hub") == 202
            endpoint.off("green")
            assert await send("green") == 202  # ignored, like all messages of a DFSP that is not certified now

    asyncio.run(story())
