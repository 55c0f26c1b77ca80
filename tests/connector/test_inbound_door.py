"""The port that the hub calls takes nothing from strangers that it need not. The core is asked about customers only."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from hub.local.net import free_port
from kitovu_connector.backend import HttpBackend, PartyDetails
from kitovu_connector.payment_and_quote_records import QuoteGiven, Store
from tests.connector.hub_stub import PAYEE, Core, Scheme, quote, rows_of, scheme, told, transfer


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


def quotes_in(world: Scheme) -> int:
    """How many are stored."""
    return int(rows_of(world.connector, "SELECT count(*) FROM quote")[0][0])


# --- sizes ------------------------------------------------------------------------------------------------------------

TRANSFER = "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069"


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [
        ("PUT", "/parties/MSISDN/1", 32_768),
        ("PUT", "/parties/MSISDN/1/error", 16_384),
        ("PUT", "/participants/MSISDN/1", 8_192),
        ("POST", "/quotes", 65_536),
        ("PUT", "/quotes/x", 65_536),
        ("PUT", "/quotes/x/error", 16_384),
        ("POST", "/transfers", 65_536),
        ("PUT", TRANSFER, 65_536),
        ("PATCH", TRANSFER, 16_384),
        ("PUT", TRANSFER + "/error", 16_384),
        ("GET", "/parties/MSISDN/1", 0),
    ],
)
def test_each_resource_has_its_largest_message(tmp_path: Path, method: str, path: str, most: int) -> None:
    async def story(world: Scheme) -> None:
        url = f"http://localhost:{world.config.inbound_port}{path}"

        async def told_of(body: Any) -> tuple[int, str]:
            async with session.request(method, url, data=body) as answer:
                information = json.loads(await answer.read())["errorInformation"]
                return answer.status, f"{information['errorCode']} {information['errorDescription']}"

        async def chunked(size: int) -> Any:
            for _ in range(0, size, 1_024):
                yield b" " * 1_024

        async with aiohttp.ClientSession() as session:
            too_large = (400, f"3104 Too large payload - at most {most} bytes")
            assert await told_of(b" " * (most + 1)) == too_large
            assert await told_of(chunked(most + 1_024)) in (too_large, (400, too_large[1].replace(str(most), "65536")))
            assert await told_of(b" " * most) != too_large

    tell(tmp_path, story)


def test_a_resource_that_is_none_is_refused_in_the_apis_form(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        async with aiohttp.ClientSession() as session:
            for method, path in (("POST", "/transactions"), ("DELETE", "/parties/MSISDN/1"), ("GET", "/")):
                url = f"http://localhost:{world.config.inbound_port}{path}"
                async with session.request(method, url) as answer:
                    assert (answer.status, (await answer.json())["errorInformation"]["errorCode"]) == (404, "3002")

    tell(tmp_path, story)


# --- customers --------------------------------------------------------------------------------------------------------


class Knows(Core):
    """A bank that knows one customer, and counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_up: list[tuple[str, str, str | None]] = []

    async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        self.looked_up.append((id_type, id_value, sub_id))
        return PartyDetails("Asha") if id_value == "255712001001" else None


def payee(identifier: str, id_type: str = "MSISDN") -> dict[str, Any]:
    return {"partyIdInfo": {"partyIdType": id_type, "partyIdentifier": identifier}}


async def with_core(world: Scheme, core: Core) -> None:
    await world.stop()
    world.core = core
    await world.start()


def test_terms_for_nobody_are_answered_and_not_stored(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        await with_core(world, Knows())
        for number in range(20):
            asked = quote(payee=payee(f"25571200{number:04}"))
            assert await world.hub_passes_on("POST", "/quotes", asked) == 202
            await world.until("PUT", f"/quotes/{asked['quoteId']}/error")
            (no,) = world.bodies("PUT", f"/quotes/{asked['quoteId']}/error")
            assert no["errorInformation"]["errorCode"] == "3204"
        assert quotes_in(world) == 0
        assert world.core.asked == []

    tell(tmp_path, story)


def test_a_customer_that_was_just_looked_up_is_not_looked_up_again(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        core = Knows()
        await with_core(world, core)
        assert await world.hub_passes_on("GET", "/parties/MSISDN/+255712001001", None) == 202
        await world.until("PUT", "/parties/MSISDN/+255712001001")
        asked = quote()
        assert await world.hub_passes_on("POST", "/quotes", asked) == 202
        assert quotes_in(world) == 1  # stored before it is acknowledged
        await world.until("PUT", f"/quotes/{asked['quoteId']}")
        assert core.looked_up == [("MSISDN", "255712001001", None)]

    tell(tmp_path, story)


def test_the_same_request_twice_while_the_customer_is_looked_up_is_one(tmp_path: Path) -> None:
    class Slow(Knows):
        async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
            await asyncio.sleep(0.3)
            return await super().find_party(id_type, id_value, sub_id)

    async def story(world: Scheme) -> None:
        core = Slow()
        await with_core(world, core)
        asked = quote()
        other = asked | {"amount": {"currency": "TZS", "amount": "7"}}
        first = asyncio.create_task(world.hub_passes_on("POST", "/quotes", asked))
        await until(lambda: asked["quoteId"] in world.connector._payee._checks._checks)
        answers = await asyncio.gather(*(world.hub_passes_on("POST", "/quotes", body) for body in (asked, other)))
        assert (await first, *answers) == (202, 202, 400)
        assert quotes_in(world) == 1  # stored before it is acknowledged
        await world.until("PUT", f"/quotes/{asked['quoteId']}")
        assert (len(core.looked_up), quotes_in(world)) == (1, 1)

    tell(tmp_path, story)


def test_a_request_for_terms_is_not_acknowledged_before_it_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the core takes longer than the hub waits, the hub is told to send it again."""
    monkeypatch.setattr("kitovu_connector.customer_existence_checks._WAIT_FOR_A_LOOKUP_S", 0.2)

    class Slow(Knows):
        async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
            await asyncio.sleep(0.5)
            return await super().find_party(id_type, id_value, sub_id)

    async def story(world: Scheme) -> None:
        await with_core(world, Slow())
        asked = quote()
        assert await world.hub_passes_on("POST", "/quotes", asked) == 503
        assert quotes_in(world) == 0
        await until(lambda: quotes_in(world) == 1)
        assert await world.hub_passes_on("POST", "/quotes", asked) == 202
        await world.until("PUT", f"/quotes/{asked['quoteId']}")
        assert (quotes_in(world), len(world.core.asked)) == (1, 1)

    tell(tmp_path, story)


def test_a_request_for_terms_that_cannot_be_stored_is_not_acknowledged(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        async def full(quote: QuoteGiven, **_: Any) -> Any:
            raise OSError("disk full")

        world.connector._store.add_quote = full  # type: ignore[method-assign]
        assert await world.hub_passes_on("POST", "/quotes", quote()) == 500

    tell(tmp_path, story)


def test_more_lookups_than_the_core_can_answer_are_put_off(tmp_path: Path) -> None:
    class Hangs(Core):
        async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
            await asyncio.sleep(60)
            return None

    async def story(world: Scheme) -> None:
        await with_core(world, Hangs())
        found = [
            await world.hub_passes_on("GET", f"/parties/MSISDN/{number}", None, source=f"dfsp{number % 8}")
            for number in range(1, 20)
        ]
        assert found == [202] * 16 + [503] * 3
        assert await world.hub_passes_on("POST", "/quotes", quote()) == 503

    tell(tmp_path, story, connections=2)


# --- retention --------------------------------------------------------------------------------------------------------


def test_terms_that_nobody_paid_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kitovu_connector.payee._LOOK_FOR_OLD_QUOTES_EVERY_S", 0.1)

    async def story(world: Scheme) -> None:
        asked = quote()
        assert await world.hub_passes_on("POST", "/quotes", asked) == 202
        await world.until("PUT", f"/quotes/{asked['quoteId']}")
        body = transfer(world.bodies("PUT", f"/quotes/{asked['quoteId']}")[0])
        assert await world.hub_passes_on("POST", "/transfers", body) == 202  # which waits for its end
        await world.until("PUT", f"/transfers/{body['transferId']}")
        for _ in range(3):
            other = quote()
            assert await world.hub_passes_on("POST", "/quotes", other) == 202
            await world.until("PUT", f"/quotes/{other['quoteId']}")
        assert quotes_in(world) == 4
        await until(lambda: quotes_in(world) == 1)
        assert await world.connector._store.quote(asked["quoteId"]) is not None
        assert await world.hub_says("PATCH", f"/transfers/{body['transferId']}", told("COMMITTED")) == 200
        await until(lambda: world.core.credited == [body["transferId"]])
        await until(lambda: quotes_in(world) == 0)

    tell(tmp_path, story, quote_retention_s=3.0, quote_expiry_s=2.0, clock_margin_s=0.5)


def test_old_quotes_are_deleted_some_at_a_time_and_those_without_an_answer_stay(tmp_path: Path) -> None:
    async def main() -> None:
        store = Store(tmp_path)
        for number in range(5):
            given = QuoteGiven(quote_id=f"q{number}", digest=b"", request=b"", payer_fsp="blue")
            await store.add_quote(given)
            if number:
                await store.save_quote(msgspec.structs.replace(given, is_taken=True))
        later = time.time() + 1
        assert await store.delete_old_quotes(time.time() - 60, 3) == 0
        assert [await store.delete_old_quotes(later, 3) for _ in range(3)] == [3, 1, 0]
        assert [quote.quote_id for quote in await store.unfinished_quotes()] == ["q0"]
        await store.close()

    asyncio.run(main())


# --- identifiers ------------------------------------------------------------------------------------------------------

STEPS = ["..", ".", "%2e%2e", "%2E", "%252e%252e", "%25252e", "a%2Fb", "a%252Fb", "..%2F..", "%5c", "%00", "a%0Ab"]


@pytest.mark.parametrize("written", STEPS)
def test_no_step_in_a_path_reaches_the_core(tmp_path: Path, written: str) -> None:
    async def story(world: Scheme) -> None:
        core = Knows()
        await with_core(world, core)
        for path in (f"/parties/ALIAS/{written}", f"/parties/ALIAS/x/{written}"):
            request = (
                f"GET {path} HTTP/1.1\r\nHost: x\r\nDate: Tue, 24 Nov 2026 08:00:00 GMT\r\nFSPIOP-Source: blue\r\n"
            )
            request += "Accept: application/vnd.interoperability.parties+json;version=1\r\nConnection: close\r\n\r\n"
            reader, writer = await asyncio.open_connection("localhost", world.config.inbound_port)
            writer.write(request.encode())
            status = (await reader.read()).split()[1]
            assert status in (b"400", b"404")
            writer.close()
        for identifier in ("..", ".", "a/b", "%2e%2e", "..%2f", "a\\b"):
            assert await world.hub_passes_on("POST", "/quotes", quote(payee=payee(identifier, "ALIAS"))) == 400
        assert core.looked_up == []

    tell(tmp_path, story)


def test_the_http_backend_itself_asks_for_no_such_path() -> None:
    asked: list[str] = []

    async def core(request: web.Request) -> web.Response:
        asked.append(request.raw_path)
        return web.json_response({"displayName": "Asha"})

    async def main() -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", core)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        async with HttpBackend(f"http://127.0.0.1:{port}/core") as backend:
            for text in ("..", ".", "a/b", "%2e%2e", "..\\x"):
                assert await backend.find_party("ALIAS", text, None) is None
                assert await backend.find_party("ALIAS", "x", text) is None
            assert await backend.find_party("ALIAS", "100% ...", "é") is not None
        await runner.cleanup()

    asyncio.run(main())
    assert asked == ["/core/parties/ALIAS/100%25%20.../%C3%A9"]


# --- spellings and sub-ids --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ordered", "answered"), [("+" + PAYEE, PAYEE), (PAYEE, "+" + PAYEE), (PAYEE, "%2B" + PAYEE)])
def test_a_number_with_and_without_its_plus_is_one_when_a_payment_is_made(
    tmp_path: Path, ordered: str, answered: str
) -> None:
    wanted = {
        "homeTransactionId": "P1",
        "from": {"idType": "MSISDN", "idValue": "255712001001"},
        "to": {"idType": "MSISDN", "idValue": ordered},
        "amount": "10.00",
        "currency": "TZS",
    }

    async def story(world: Scheme) -> None:
        world.answers.discard("parties")
        url = f"http://127.0.0.1:{world.config.outbound_port}/payments"
        async with aiohttp.ClientSession() as core:
            async with core.post(url, json=wanted) as answer:
                assert answer.status == 202
            await world.until("GET", "/parties")
            party = payee(answered.replace("%2B", "+"))
            party["partyIdInfo"]["fspId"] = "blue"
            assert await world.hub_passes_on("PUT", f"/parties/MSISDN/{answered}", {"party": party}) == 200
            await world.until("POST", "/transfers")
            for again in ("+" + PAYEE, PAYEE):
                same = wanted | {"to": {"idType": "MSISDN", "idValue": again}, "amount": "10"}
                async with core.post(url, json=same) as answer:
                    assert answer.status == 202
            assert world.count("POST", "/quotes") == 1
            assert world.bodies("POST", "/quotes")[0]["amount"]["amount"] == "10"

    tell(tmp_path, story, answer_s=0.2)


def test_a_number_with_and_without_its_plus_is_one_customer_of_the_core(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        core = Knows()
        await with_core(world, core)
        for spelled in ("+255712001001", "255712001001"):
            assert await world.hub_passes_on("GET", f"/parties/MSISDN/{spelled}", None) == 202
            await world.until("PUT", f"/parties/MSISDN/{spelled}")
            asked = quote(payee=payee(spelled))
            assert await world.hub_passes_on("POST", "/quotes", asked) == 202
            await world.until("PUT", f"/quotes/{asked['quoteId']}")
        assert {value for _, value, _ in core.looked_up} == {"255712001001"}
        assert {wanted.payee.id_value for wanted in core.asked} == {"255712001001"}

    tell(tmp_path, story)


@pytest.mark.parametrize("answered", ["255712001001", "+255712001001"])
def test_a_registration_is_confirmed_in_either_spelling(tmp_path: Path, answered: str) -> None:
    async def story(world: Scheme) -> None:
        url = f"http://127.0.0.1:{world.config.outbound_port}/aliases"
        async with aiohttp.ClientSession() as core:

            async def register() -> int:
                async with core.post(url, json={"idType": "MSISDN", "idValue": "+255712001001"}) as answer:
                    return answer.status

            registering = asyncio.create_task(register())
            await world.until("POST", "/participants")
            assert await world.hub_says("PUT", f"/participants/MSISDN/{answered}", {"fspId": "green"}) == 200
            assert await registering == 201

    tell(tmp_path, story)


def test_an_alias_with_a_sub_id_can_be_withdrawn(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        url = f"http://127.0.0.1:{world.config.outbound_port}/aliases/BUSINESS/Mkate%20Ltd/till%204"
        async with aiohttp.ClientSession() as core:

            async def withdraw() -> int:
                async with core.delete(url) as answer:
                    return answer.status

            withdrawing = asyncio.create_task(withdraw())
            path = "/participants/BUSINESS/Mkate Ltd/till 4"
            await world.until("DELETE", path)
            assert await world.hub_says("PUT", "/participants/BUSINESS/Mkate%20Ltd/TILL%204", {"fspId": "green"}) == 200
            assert await withdrawing == 204

    tell(tmp_path, story)


@pytest.mark.parametrize("identifier", ["a/b", "..", ".", "a\\b", "a\u0000b", "%2e%2e", "x%2fy"])
def test_an_identifier_that_no_path_can_have_gets_400_and_begins_nothing(tmp_path: Path, identifier: str) -> None:
    async def story(world: Scheme) -> None:
        url = f"http://127.0.0.1:{world.config.outbound_port}"
        party = {"idType": "ALIAS", "idValue": identifier}
        wanted = {
            "homeTransactionId": "P1",
            "from": {"idType": "MSISDN", "idValue": "1"},
            "to": party,
            "amount": "10",
            "currency": "TZS",
        }
        with_sub_id = wanted | {"to": {"idType": "ALIAS", "idValue": "x", "idSubValue": identifier}}
        async with aiohttp.ClientSession() as core:
            for path, body in (("/payments", wanted), ("/payments", with_sub_id), ("/aliases", party)):
                async with core.post(url + path, json=body) as answer:
                    said = (await answer.json())["errorInformation"]
                    assert (answer.status, said["errorCode"]) in ((400, "3100"), (400, "3101"))
            if identifier == "a/b":
                async with core.delete(f"{url}/aliases/ALIAS/a%2Fb") as answer:
                    assert answer.status == 400
                    assert "slash" in await answer.text()
        assert world.asked == []

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "unknown",
    [
        {"refundInfo": {"originalTransactionId": "b51ec534-ee48-4575-b6a9-ead2955b8069", "why": "x"}},
        {"quoteRequestExtensions": [{"key": "k", "value": "v", "more": "x"}]},
    ],
)
def test_unknown_fields_are_refused_at_any_depth(tmp_path: Path, unknown: dict[str, Any]) -> None:
    wanted = {
        "homeTransactionId": "P1",
        "from": {"idType": "MSISDN", "idValue": "1"},
        "to": {"idType": "MSISDN", "idValue": PAYEE},
        "amount": "10",
        "currency": "TZS",
    }

    async def story(world: Scheme) -> None:
        url = f"http://127.0.0.1:{world.config.outbound_port}/payments"
        async with aiohttp.ClientSession() as core, core.post(url, json=wanted | unknown) as answer:
            assert answer.status == 400
        assert world.asked == []

    tell(tmp_path, story)
