"""A database that is away makes no DFSP fail its certification."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from hub.participants.models import Participant
from hub.recordings.models import RecordedRequest, Recording
from portal.certification import certifying_process, run_for_one_dfsp, starting_and_ending_runs
from portal.certification.case_type import Case
from portal.certification.faults import NotJudged
from portal.certification.message_limits import MessageLimit
from portal.certification.models import Certification
from portal.certification.options import Options
from portal.certification.recorded_requests import Door, Patience
from portal.certification.running_case import Scene
from tests.certification.test_other_dfsps import begun, no_endpoint
from tests.world import World

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/quotes/7c2f5a9e-6a57-4f35-8a0e-1c7f0b1d9f01"


@pytest.fixture
def green(world: World) -> Participant:
    return Participant.objects.get(name="green")


def send(path: str = PATH, source: str = "green") -> None:
    RecordedRequest.objects.create(
        source=source, destination="certifier", method="PUT", path=path, headers={}, body=b"{}", status=200
    )
    connection.close()


@contextmanager
def away() -> Iterator[None]:
    """Ends all connections to the database. Until the end of the block, the database accepts no connections."""
    settings = connection.settings_dict
    name = settings["NAME"]
    told = {key.lower(): settings[key] for key in ("HOST", "PORT", "USER", "PASSWORD") if settings[key]}
    with psycopg.connect(**told, dbname="postgres", autocommit=True) as channel:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        channel.execute(allow.format(sql.Identifier(name), sql.Literal(False)))
        try:
            channel.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            yield
        finally:
            channel.execute(allow.format(sql.Identifier(name), sql.Literal(True)))


def with_door(story: Callable[[Door], Awaitable[None]]) -> None:
    async def told() -> None:
        async with Door() as door:
            door.open("green", MessageLimit())
            await story(door)

    connection.close()
    asyncio.run(told())


async def answers(door: Door, seconds: float) -> list[str]:
    return [told.path for told in await door.wait("green", [PATH], lambda _: True, seconds=seconds)]


async def outage(seconds: float) -> None:
    def wait() -> None:
        with away():
            time.sleep(seconds)

    await asyncio.to_thread(wait)


def test_an_answer_after_an_outage_is_still_seen(green: Participant) -> None:
    async def story(door: Door) -> None:
        waiting = asyncio.create_task(answers(door, 2.0))
        await outage(1.5)
        await asyncio.sleep(1.0)  # longer than the wait; its time stood still in the outage
        await asyncio.to_thread(send)
        assert await waiting == [PATH]
        assert not door.task.done()

    with_door(story)


def test_silence_during_an_outage_is_not_judged(green: Participant) -> None:
    async def story(door: Door) -> None:
        for wait_s, outage_s in ((0.5, 2.0), (2.0, 0.8)):
            waiting = asyncio.create_task(answers(door, wait_s))
            await asyncio.sleep(0.1)
            await outage(outage_s)
            with pytest.raises(NotJudged) as reason:
                await waiting
            assert reason.value.fault.code == "hub_away"

    with_door(story)


def test_silence_after_an_outage_is_judged(green: Participant) -> None:
    async def story(door: Door) -> None:
        await outage(0.8)
        await asyncio.sleep(1.0)
        assert await answers(door, 0.5) == []

    with_door(story)


def test_the_wait_for_a_payment_of_the_dfsp_stands_still_too(green: Participant) -> None:
    async def story(door: Door) -> None:
        patience = Patience(door, 1.0)
        await outage(0.8)
        await asyncio.sleep(0.5)
        assert patience.left() > 0
        await asyncio.sleep(1.0)
        with pytest.raises(NotJudged):
            patience.left()

    with_door(story)


async def certify(certification: Certification, monkeypatch: pytest.MonkeyPatch, script: Any, meanwhile: Any) -> None:
    """Runs one case with this script."""
    text: Any = "-"
    case = Case("payee-quote", "payee", text, text, script)
    monkeypatch.setattr(run_for_one_dfsp, "CASES", (case,))
    sender: Any = None
    async with Door() as door:
        one = certifying_process._run_one(certification, no_endpoint(), sender, door, lambda *_: None)
        await asyncio.gather(one, meanwhile())


def test_a_result_is_stored_after_an_outage(green: Participant, monkeypatch: pytest.MonkeyPatch) -> None:
    made = begun("green")
    connection.close()

    async def waits(scene: Scene) -> None:
        await scene.answers(PATH, seconds=0.5)

    async def outage_soon() -> None:
        await asyncio.sleep(0.2)
        await outage(3.0)

    asyncio.run(certify(made, monkeypatch, waits, outage_soon))
    made.refresh_from_db()
    case = made.cases.get(name="payee-quote")
    assert (case.verdict, [fault["code"] for fault in case.faults]) == ("NOT_JUDGED", ["hub_away"])
    assert made.state == "FAILED"  # not passed: a person certifies the DFSP again


def test_a_run_whose_messages_cannot_be_read_ends_as_interrupted(
    green: Participant, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = begun("green")

    async def waits(scene: Scene) -> None:
        await scene.answers(PATH, seconds=30)

    async def fails(_: Door) -> None:
        raise RuntimeError("a fault of the certifier")

    monkeypatch.setattr(Door, "_read_news", fails)

    async def nothing() -> None: ...

    asyncio.run(certify(made, monkeypatch, waits, nothing))
    made.refresh_from_db()
    assert (made.state, made.fault) == ("INTERRUPTED", "RuntimeError: a fault of the certifier")
    assert made.signature == ""


def test_a_process_that_has_lost_its_lock_leaves_everything_to_the_next(
    green: Participant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock ends with the connection, so another process can certify before this process has ended."""
    made = starting_and_ending_runs.ask(green, Options(payee="255799000001"), asked_by="asha")

    async def loses_its_connection(*_: Any) -> None:
        await outage(0.1)

    monkeypatch.setattr(certifying_process, "_run", loses_its_connection)
    assert certifying_process.run([made])
    assert Recording.objects.filter(dfsp="green").exists()
    starting_and_ending_runs.end_lost()
    made.refresh_from_db()
    assert made.state == "INTERRUPTED"
    assert not Recording.objects.exists()
