"""The test API of Mojaloop's SDK shows what the hub sends to a DFSP, and changes nothing."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hub.local.net import free_port
from kitovu_connector import doctor
from kitovu_connector.doctor import Verdict
from kitovu_connector.received_messages import ReceivedMessages
from tests.connector.hub_stub import PAYEE, Scheme, logged, quote, rows_of, scheme, terms

TOKEN = "a" * 32


def tell(folder: Path, story: Callable[[Scheme], Awaitable[None]], proof: str = "nothing", **more: Any) -> None:
    async def run() -> None:
        ports = {"test_api": True, "test_port": free_port()}
        async with scheme(folder, proof, **(ports | more)) as world:
            await story(world)

    asyncio.run(run())


@asynccontextmanager
async def websocket(world: Scheme, path: str, **headers: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    url = f"ws://127.0.0.1:{world.config.test_port}{path}"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as socket:
        yield socket


async def get(world: Scheme, path: str, **headers: str) -> tuple[int, Any]:
    url = f"http://127.0.0.1:{world.config.test_port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        raw = await answer.read()
        return answer.status, json.loads(raw) if raw else None


async def said(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    """The next message on a websocket."""
    found: dict[str, Any] = await socket.receive_json(timeout=5)
    return found


async def says_nothing(socket: aiohttp.ClientWebSocketResponse) -> None:
    with pytest.raises(TimeoutError):
        await socket.receive(timeout=0.2)


def test_a_callback_that_nobody_waits_for_is_shown_and_changes_nothing(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        quote_id, answer = str(uuid.uuid4()), terms()
        async with (
            websocket(world, f"/callbacks/{quote_id}") as one,
            websocket(world, "/") as all_of_them,
            websocket(world, "/callbacks/other") as other,
            websocket(world, "/requests") as requests,
        ):
            before = rows_of(world.connector, "SELECT * FROM exchange"), len(world.asked)
            await world.hub_passes_on("PUT", f"/quotes/{quote_id}", answer)
            for socket in (one, all_of_them):
                shown = await said(socket)
                assert (shown["id"], shown["data"]) == (quote_id, answer)
                assert shown["headers"]["fspiop-source"] == "blue"
                assert shown["headers"]["content-type"].endswith("quotes+json;version=1.1")
            await says_nothing(other)
            await says_nothing(requests)
            assert (rows_of(world.connector, "SELECT * FROM exchange"), len(world.asked)) == before
            assert rows_of(world.connector, "SELECT * FROM payment") == []
        status, kept = await get(world, f"/callbacks/{quote_id}")
        assert (status, kept["data"], sorted(kept)) == (200, answer, ["data", "headers"])
        assert await get(world, f"/requests/{quote_id}") == (204, None)

    tell(tmp_path, story)


def test_requests_are_shown_by_the_id_in_the_body_or_in_the_path(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        asked, alias = quote(), "255712001001"
        async with websocket(world, "/requests") as requests, websocket(world, f"/requests/{alias}") as lookups:
            assert await world.hub_passes_on("POST", "/quotes", asked) == 202
            shown = await said(requests)
            assert (shown["id"], shown["data"]) == (asked["quoteId"], asked)
            assert await world.hub_passes_on("GET", f"/parties/MSISDN/{alias}", None) == 202
            shown = await said(lookups)
            assert (shown["id"], shown["data"]) == (alias, {})
            await world.hub_passes_on("PUT", f"/parties/MSISDN/{alias}/error", {"errorInformation": {}})
        assert (await get(world, f"/requests/{asked['quoteId']}"))[1]["data"] == asked
        assert (await get(world, f"/callbacks/{alias}"))[1]["data"] == {"errorInformation": {}}

    tell(tmp_path, story)


def test_a_payment_is_made_while_a_test_watches_it(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.state = "COMMITTED"
        async with websocket(world, f"/callbacks/{PAYEE}") as lookups, websocket(world, "/callbacks") as callbacks:
            payment = await world.pay()
            assert (await said(lookups))["headers"]["fspiop-source"] == "Hub"
            assert (await world.ended()).state == "COMMITTED"
            seen = [await said(callbacks) for _ in range(4)]
            assert seen[-1]["id"] == payment.transfer_id
            assert seen[-1]["data"]["transferState"] == "COMMITTED"

    tell(tmp_path, story, callback_s=0.2)


def test_a_message_with_a_wrong_signature_is_not_shown(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        quote_id = str(uuid.uuid4())
        async with websocket(world, "/") as socket:
            status = await world.send("PUT", f"/quotes/{quote_id}", terms(), source="blue", signer="red", shows="hub")
            assert status == 400
            await says_nothing(socket)
        assert await get(world, f"/callbacks/{quote_id}") == (204, None)

    tell(tmp_path, story, "signatures")


def test_the_test_api_is_off_unless_it_is_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: Scheme) -> None:
        with pytest.raises(aiohttp.ClientConnectionError):
            await get(world, "/")
        (started,) = logged(caplog, "started")
        assert started["shows_messages_to_tests_at"] is None
        assert logged(caplog, "test_api_is_on") == []

    tell(tmp_path, story, test_api=False)


def test_the_log_and_doctor_warn_of_the_test_api(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: Scheme) -> None:
        assert await get(world, "/") == (204, None)
        (started,), (warned,) = logged(caplog, "started"), logged(caplog, "test_api_is_on")
        port = world.config.test_port
        assert (started["shows_messages_to_tests_at"], warned["test_port"]) == (f"http://127.0.0.1:{port}", port)
        config = replace(world.config, inbound_is_private=True, backend_url="http://127.0.0.1:9", request_s=0.5)
        found = {each.check: each.verdict async for each in doctor.examine(config)}
        assert found["test API"] is Verdict.WARNING
        assert "test API" not in {each.check async for each in doctor.examine(replace(config, test_api=False))}

    tell(tmp_path, story)


def test_the_test_api_needs_the_token_of_the_core_and_refuses_web_pages(tmp_path: Path) -> None:
    file = tmp_path / "core.token"
    file.write_text(TOKEN)

    async def story(world: Scheme) -> None:
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert await get(world, "/") == (204, None)
        assert (await get(world, "/callbacks/1"))[0] == 401
        assert (await get(world, "/callbacks/1", **right))[0] == 204
        for path in ("/", "/callbacks", "/requests/1"):
            for headers, status in (({}, 401), ({"Authorization": "Bearer x"}, 401), (right | {"Origin": "null"}, 403)):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    async with websocket(world, path, **headers):
                        pass
                assert refused.value.status == status
            async with websocket(world, path, **right) as socket:
                assert not socket.closed

    tell(tmp_path, story, outbound_token_file=str(file))


def test_open_websockets_do_not_delay_the_stop_of_the_connector(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        async with websocket(world, "/") as reads, websocket(world, "/"), websocket(world, "/callbacks"):
            closing = asyncio.create_task(reads.receive(timeout=5))
            started = asyncio.get_running_loop().time()
            await world.stop()
            assert asyncio.get_running_loop().time() - started < 1.8  # two websockets do not read their end
            assert (await closing).type is aiohttp.WSMsgType.CLOSE
        await world.start()

    tell(tmp_path, story)


def test_a_test_that_does_not_read_its_websocket_loses_it(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        async with websocket(world, "/callbacks") as socket:
            received = world.connector._received
            assert received is not None
            for number in range(102):  # all before the connector can send one
                received.add("PUT", "quotes", {"id": str(number)}, {}, b"{}")
            seen = [json.loads(each.data)["id"] async for each in socket]
            assert seen == [str(number) for number in range(100)]

    tell(tmp_path, story)


# --- the memory -------------------------------------------------------------------------------------------------------


def add(received: ReceivedMessages, quote_id: str, body: bytes = b"{}", **headers: str) -> None:
    received.add("PUT", "quotes", {"id": quote_id}, headers, body)


def kept(received: ReceivedMessages, *ids: str) -> list[str]:
    return [each for each in ids if received.of(("callbacks", each)) is not None]


def test_the_oldest_messages_make_room_for_new_ones() -> None:
    by_count, by_octets = ReceivedMessages(most_messages=2), ReceivedMessages(most_octets=100)
    for received in (by_count, by_octets):
        for quote_id in ("1", "2", "1", "3"):
            add(received, quote_id, b'"' + b"x" * 40 + b'"')
        assert kept(received, "1", "2", "3") == ["1", "3"]
    add(by_octets, "4", b"{}", Date="x" * 97)
    assert kept(by_octets, "1", "2", "3", "4") == []
    add(by_octets, "5")
    assert kept(by_octets, "5") == ["5"]


def test_a_header_with_octets_that_are_not_utf8_is_shown_to_everybody_who_watches() -> None:
    received = ReceivedMessages()
    with received.watch(lambda _: True) as watcher:
        add(received, "1", X="a\udcff")
        assert watcher._waiting.qsize() == 1
    found = received.of(("callbacks", "1"))
    assert found is not None
    assert json.loads(found)["headers"] == {"x": "a\ufffd"}


def test_the_last_message_of_an_id_is_kept_without_secrets_and_a_broken_one_is_not() -> None:
    received = ReceivedMessages()
    add(received, "1", b'{"first": 1}')
    add(received, "1", b'{"second": "12.50"}', Authorization="Bearer secret", FspIop="x")
    add(received, "1", b'{"third": ')
    add(received, "1", b'"\xff"')
    found = received.of(("callbacks", "1"))
    assert found is not None
    assert json.loads(found) == {"headers": {"fspiop": "x"}, "data": {"second": "12.50"}}
    received.add("POST", "quotes", {}, {}, b'{"quoteId": 1}')
    received.add("POST", "quotes", {}, {}, b"[]")
    received.add("GET", "services", {}, {}, b"")
    assert len(received._kept) == 1
