"""A step that fails is taken again, and not forgotten until a restart. What has ended leaves nothing behind."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fspiop.time import format_datetime
from kitovu_connector.backend import IncomingMoney
from kitovu_connector.core_errors import Refused
from kitovu_connector.payment_and_quote_records import Incoming, Stage
from kitovu_connector.payment_states import Payment, State
from tests.connector.hub_stub import Core, Scheme, logged, quote, scheme, stored, terms, told, transfer


class Fails(Core):
    """A core whose calls fail some times, each in another way, and then succeed."""

    def __init__(self, call: str, faults: list[Exception]) -> None:
        super().__init__()
        self._call, self.left = call, faults

    def _fail(self, call: str) -> None:
        if call == self._call and self.left:
            raise self.left.pop(0)

    async def reserve(self, incoming: IncomingMoney) -> None:
        self._fail("reserve")
        await super().reserve(incoming)

    async def commit(self, incoming: IncomingMoney) -> None:
        self._fail("commit")
        await super().commit(incoming)

    async def release(self, transfer_id: str) -> None:
        self._fail("release")
        await super().release(transfer_id)


def tell(folder: Path, story: Callable[[Scheme], Awaitable[None]], **more: Any) -> None:
    async def run() -> None:
        async with scheme(folder, "nothing", **more) as world:
            await story(world)

    asyncio.run(run())


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(400):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came so")


async def fulfilled(world: Scheme) -> str:
    """Has green fulfil a transfer of blue's; returns its path."""
    asked = quote()
    assert await world.hub_passes_on("POST", "/quotes", asked) == 202
    await world.until("PUT", f"/quotes/{asked['quoteId']}")
    body = transfer(world.bodies("PUT", f"/quotes/{asked['quoteId']}")[0])
    assert await world.hub_passes_on("POST", "/transfers", body) == 202
    await world.until("PUT", f"/transfers/{body['transferId']}")
    return f"/transfers/{body['transferId']}"


FAULTS = [KeyError("255712001001"), Refused("5104", "no"), TimeoutError()]


@pytest.mark.parametrize(
    ("call", "state", "known"),
    [("commit", "COMMITTED", "credited"), ("release", "ABORTED", "released"), ("reserve", "COMMITTED", "credited")],
)
def test_a_core_that_raises_is_asked_again(
    tmp_path: Path, call: str, state: str, known: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Before, a customer whose credit raised anything but Unavailable was forgotten until a restart."""
    faults = [fault for fault in FAULTS if call != "reserve" or not isinstance(fault, Refused)]
    count = len(faults)

    async def story(world: Scheme) -> None:
        await world.stop()
        world.core = Fails(call, faults)
        await world.start()
        path = await fulfilled(world)
        assert await world.hub_says("PATCH", path, told(state)) == 200
        await until(lambda: getattr(world.core, known) == [path.rpartition("/")[2]])
        assert faults == []
        incoming = await world.connector._store.incoming(path.rpartition("/")[2])
        await until(lambda: stored(world.connector._store).unfinished_incoming() == [])
        assert incoming is not None

    tell(tmp_path, story)
    lines = logged(caplog, "core_failed")
    assert len(lines) == count
    assert "255712001001" not in caplog.text
    assert "incoming=" not in caplog.text  # a local variable


def test_a_step_that_cannot_be_stored_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, for a moment, on both sides."""

    async def story(world: Scheme) -> None:
        store = world.connector._store
        save_incoming, save_payment = store.save_incoming, store.save_payment
        failed: list[str] = []

        async def once(before: Incoming, after: Incoming) -> bool:
            if "incoming" not in failed:
                failed.append("incoming")
                raise sqlite3.OperationalError("database or disk is full")
            return await save_incoming(before, after)

        async def also_once(before: Payment, after: Payment) -> Payment | None:
            if "payment" not in failed and after.state is State.QUOTE:
                failed.append("payment")
                raise sqlite3.OperationalError("database or disk is full")
            return await save_payment(before, after)

        monkeypatch.setattr(store, "save_incoming", once)
        monkeypatch.setattr(store, "save_payment", also_once)
        monkeypatch.setattr("kitovu_connector.payer._AFTER_A_FAULT_S", 0.2)
        path = await fulfilled(world)
        assert await world.hub_says("PATCH", path, told("COMMITTED")) == 200
        await until(lambda: world.core.credited == [path.rpartition("/")[2]])
        await world.pay()
        assert sorted(failed) == ["incoming", "payment"]

    tell(tmp_path, story, ask_again_s=30.0)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_core_that_has_reserved_gets_a_repetition_or_a_release_if_the_reservation_could_not_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_late: bool
) -> None:
    """A core that was written for Mojaloop's SDK could otherwise credit the customer twice."""

    async def story(world: Scheme) -> None:
        store = world.connector._store
        save_incoming = store.save_incoming
        failed: list[Stage] = []

        async def once(before: Incoming, after: Incoming) -> bool:
            if not failed:
                failed.append(after.stage)
                raise sqlite3.OperationalError("database or disk is full")
            return await save_incoming(before, after)

        monkeypatch.setattr(store, "save_incoming", once)
        asked = quote()
        assert await world.hub_passes_on("POST", "/quotes", asked) == 202
        await world.until("PUT", f"/quotes/{asked['quoteId']}")
        end = format_datetime(datetime.now(UTC) + timedelta(seconds=0.6 if is_late else 20))
        body = transfer(world.bodies("PUT", f"/quotes/{asked['quoteId']}")[0], expiration=end)
        assert await world.hub_passes_on("POST", "/transfers", body) == 202
        await world.until("PUT", f"/transfers/{body['transferId']}")
        assert failed == [Stage.FULFILLING]
        if is_late:
            await until(lambda: world.core.released == [body["transferId"]])
        assert [incoming.is_repeated for incoming in world.core.reserved] == ([False] if is_late else [False, True])

    tell(tmp_path, story, clock_margin_s=0.0)


def test_a_late_refusal_of_a_repeated_request_for_terms_does_not_end_the_transfer(tmp_path: Path) -> None:
    """The terms came meanwhile, and the transfer is on its way: the hub can still commit it."""

    async def story(world: Scheme) -> None:
        world.answers.discard("quotes")
        beginning = asyncio.create_task(world.pay())
        await world.until("POST", "/quotes")
        late, on_its_way = asyncio.Event(), asyncio.Event()
        world.held = {"POST /quotes": late, "POST /transfers": on_its_way}
        world.refuses["POST /quotes"] = (400, "3100")
        await world.until("POST", "/quotes", 2)
        asked = world.bodies("POST", "/quotes")[0]
        answer = terms(transferAmount=asked["amount"])
        assert await world.hub_passes_on("PUT", f"/quotes/{asked['quoteId']}", answer) == 200
        payment = await beginning
        late.set()
        await until(lambda: len(world.connector._payer._background) == 1)  # only POST /transfers is unanswered
        assert world.payment().state is State.PREPARED
        on_its_way.set()
        assert await world.hub_says("PUT", f"/transfers/{payment.transfer_id}", told("COMMITTED")) == 200
        assert (await world.ended()).state is State.COMMITTED

    tell(tmp_path, story)


def test_what_has_ended_leaves_no_lock_behind(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        for number in range(3):
            payment = await world.pay(f"P{number}")
            assert await world.hub_says("PUT", f"/transfers/{payment.transfer_id}", told("COMMITTED")) == 200
            assert (await world.ended(f"P{number}")).state is State.COMMITTED
            path = await fulfilled(world)
            assert await world.hub_says("PATCH", path, told("COMMITTED")) == 200
        await until(lambda: len(world.core.credited) == 3)
        world.refuses["POST /participants"] = (400, "3003")
        async with aiohttp.ClientSession() as core:
            url = f"http://127.0.0.1:{world.config.outbound_port}/aliases"
            async with core.post(url, json={"idType": "MSISDN", "idValue": "255712001001"}) as answer:
                assert answer.status == 400
        await until(lambda: not world.connector._payee._rounds)
        left = {
            f"{type(part).__name__}.{name}": len(value)
            for part in (world.connector._payer, world.connector._payee, world.connector._aliases)
            for name, value in vars(part).items()
            if hasattr(value, "__len__") and name not in ("_config", "_background") and len(value)
        }
        assert left == {}

    tell(tmp_path, story)
