"""A DFSP's clock may differ from the hub's by `clock_margin_s`: payments commit, and the difference is shown."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fspiop.time import parse_datetime, parse_http_date
from kitovu_connector.hub_clock import HubClock, Measured
from kitovu_connector.payment_states import State
from tests.connector.hub_stub import Scheme, logged, quote, scheme, told, transfer

NOW = time.time
DATE = "Tue, 24 Nov 2026 08:00:00 GMT"


@pytest.fixture(params=[-9.0, -0.5, 0.0, 0.5, 9.0])
def ahead_s(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """The connector's clock (time.time) is ahead of the hub's (datetime.now)."""
    monkeypatch.setattr(time, "time", lambda: NOW() + request.param)
    return float(request.param)


def tell(folder: Path, story: Callable[[Scheme], Awaitable[None]], **more: Any) -> None:
    async def run() -> None:
        async with scheme(folder, "nothing", **more) as world:
            await story(world)

    asyncio.run(run())


async def fulfilled(world: Scheme, **changes: Any) -> tuple[str, dict[str, Any]]:
    """Has green fulfil a transfer of blue's; returns its path and green's answer."""
    asked = quote()
    assert await world.hub_passes_on("POST", "/quotes", asked) == 202
    await world.until("PUT", f"/quotes/{asked['quoteId']}")
    body = transfer(world.bodies("PUT", f"/quotes/{asked['quoteId']}")[0], **changes)
    assert await world.hub_passes_on("POST", "/transfers", body) == 202
    path = f"/transfers/{body['transferId']}"
    await world.until("PUT", path)
    return path, world.bodies("PUT", path)[0]


@pytest.mark.parametrize("fulfil_state", ["RESERVED", "COMMITTED"])
def test_a_fulfilment_has_no_time_that_the_hub_has_not_reached(
    tmp_path: Path, ahead_s: float, fulfil_state: str
) -> None:
    """The hub refuses such a completedTimestamp, and the payee then receives nothing."""

    async def story(world: Scheme) -> None:
        path, answer = await fulfilled(world)
        assert answer["transferState"] == fulfil_state
        completed = answer.get("completedTimestamp")
        assert completed is None or parse_datetime(completed) <= datetime.now(UTC)
        method = "PATCH" if fulfil_state == "RESERVED" else "PUT"
        report = told("COMMITTED", fulfilment=answer["fulfilment"])
        assert await world.hub_says(method, path, report) == 200
        for _ in range(100):
            if world.core.credited:
                break
            await asyncio.sleep(0.02)
        assert world.core.credited == [path.rpartition("/")[2]]

    tell(tmp_path, story, fulfil_state=fulfil_state)


def test_a_transfer_that_the_hub_let_in_is_not_refused_as_expired(tmp_path: Path, ahead_s: float) -> None:
    """It had five seconds; by a clock that is nine seconds ahead it is over."""

    async def story(world: Scheme) -> None:
        soon = datetime.fromtimestamp(NOW() + 5, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        _, answer = await fulfilled(world, expiration=soon)
        assert answer.get("transferState") == "RESERVED", answer

    tell(tmp_path, story)


def test_expirations_and_dates_are_by_the_hubs_clock(tmp_path: Path, ahead_s: float) -> None:
    async def story(world: Scheme) -> None:
        await world.pay()
        (sent,), (asked,) = world.bodies("POST", "/transfers"), world.bodies("POST", "/quotes")
        left = parse_datetime(sent["expiration"]).timestamp() - NOW()
        assert 10.5 < left < 13
        assert 28 < parse_datetime(asked["expiration"]).timestamp() - NOW() < 31.5
        date = parse_http_date(world.connector._hub.clock.date())
        assert abs(date.timestamp() - NOW()) < 2

    tell(tmp_path, story, transfer_expiry_s=12.0)


def test_the_difference_is_measured_and_shown(tmp_path: Path, ahead_s: float) -> None:
    async def story(world: Scheme) -> None:
        health = f"http://127.0.0.1:{world.config.outbound_port}/health"
        async with aiohttp.ClientSession() as core:
            await world.pay()
            async with core.get(health) as answer:
                shown = await answer.json()
        assert shown["status"] == "OK"
        assert shown["clock"]["hubAheadS"] == pytest.approx(-ahead_s, abs=0.75)
        assert shown["clock"]["marginS"] == 10.0

    tell(tmp_path, story)


def test_a_clock_beyond_the_margin_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW() + 60)

    async def story(world: Scheme) -> None:
        await world.connector._hub.send("GET", "/parties/MSISDN/1")
        async with (
            aiohttp.ClientSession() as core,
            core.get(f"http://127.0.0.1:{world.config.outbound_port}/health") as answer,
        ):
            assert ((await answer.json())["status"], answer.status) == ("CLOCK_DIFFERS", 503)
        assert world.connector._hub.clock.ahead_s == -10.0  # no more is reckoned with

    tell(tmp_path, story)
    assert len(logged(caplog, "hub_clock_differs")) == 1


def test_a_payer_whose_clock_differs_learns_the_end(tmp_path: Path, ahead_s: float) -> None:
    async def story(world: Scheme) -> None:
        payment = await world.pay()
        assert await world.hub_says("PUT", f"/transfers/{payment.transfer_id}", told("COMMITTED")) == 200
        assert (await world.ended()).state is State.COMMITTED

    tell(tmp_path, story)


def test_each_response_narrows_the_difference_and_one_that_contradicts_begins_anew() -> None:
    clock = HubClock(10.0)
    assert (clock.measured, clock.ahead_s, clock.is_within_margin) == (None, 0.0, True)
    start = parse_http_date(DATE).timestamp()
    for wrong in (None, "", "today", DATE.lower()):
        clock.measure(wrong, start, start)
    assert clock.measured is None
    clock.measure(DATE, start - 0.2, start + 0.1)
    assert clock.measured == Measured(pytest.approx(0.55, abs=0.001), pytest.approx(0.65, abs=0.001))
    clock.measure(DATE, start + 0.8, start + 0.9)
    assert clock.measured == Measured(pytest.approx(0.05, abs=0.001), pytest.approx(0.15, abs=0.001))
    clock.measure(DATE, start - 30, start - 29.9)
    assert clock.measured == Measured(pytest.approx(30.45, abs=0.001), pytest.approx(0.55, abs=0.001))
    assert (clock.ahead_s, clock.is_within_margin) == (10.0, False)
