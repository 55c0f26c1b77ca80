"""A DFSP with a valid key sends to a connector past the hub. It takes no memory, no disk and no money of the bank."""

import asyncio
import gzip
import json
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from fspiop.bodies.fx_quotes import FxConversion, FxQuotePost
from fspiop.bodies.fx_transfers import FxTransferPost
from fspiop.time import format_datetime
from hub.local.net import free_port
from kitovu_connector import (
    bulk_payee,
    fxp,
    idle_incoming_connections,
    payee,
    payment_conversion,
    requests_unknown_to_hub,
)
from kitovu_connector.backend import PartyDetails
from kitovu_connector.conflicts import Conflict
from kitovu_connector.fxp import ConversionEnd
from kitovu_connector.payment_order import Order, PartyRef
from tests.connector import odd_requests
from tests.connector.hub_stub import (
    PAYEE,
    Core,
    Scheme,
    error,
    logged,
    quote,
    rows_of,
    scheme,
    stored,
    terms,
    told,
    transfer,
)
from tests.keys import CONDITION, FULFILMENT, PACKET


def tell(
    folder: Path,
    story: Callable[[Scheme], Awaitable[None]],
    core: Core | None = None,
    proof: str = "signatures",
    **more: Any,
) -> None:
    async def run() -> None:
        async with scheme(folder, proof, **more) as world:
            if core is not None:
                await world.stop()
                world.core = core
                await world.start()
            await story(world)

    asyncio.run(run())


def later(**more: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(**more))


async def until(holds: Callable[[], Any]) -> None:
    for _ in range(200):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came so")


class Fxp(Core):
    """A bank that also converts."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[str] = []
        self.ended: list[tuple[str, str]] = []

    async def give_conversion_terms(self, asked: FxQuotePost) -> FxConversion:
        target = msgspec.structs.replace(asked.conversion_terms.target_amount, amount="200")
        return msgspec.structs.replace(asked.conversion_terms, target_amount=target)

    async def reserve_conversion(self, asked: FxTransferPost, *, is_repeated: bool) -> None:
        self.held.append(asked.commit_request_id)

    async def end_conversion(self, commit_request_id: str, end: ConversionEnd) -> None:
        self.ended.append((commit_request_id, end.state))


async def conversion(world: Scheme, **changes: Any) -> dict[str, Any]:
    """POST /fxTransfers, by blue, on terms that green has given."""
    request_id, transfer_id = str(uuid.uuid4()), str(uuid.uuid4())
    wanted = {
        "conversionId": str(uuid.uuid4()),
        "determiningTransferId": transfer_id,
        "initiatingFsp": "blue",
        "counterPartyFsp": "green",
        "amountType": "SEND",
        "sourceAmount": {"currency": "TZS", "amount": "100"},
        "targetAmount": {"currency": "KES"},
        "expiration": later(minutes=1),
    }
    body = {"conversionRequestId": request_id, "conversionTerms": wanted}
    assert await world.straight("POST", "/fxQuotes", body, "blue") == 202
    await world.until("PUT", f"/fxQuotes/{request_id}")
    offered = world.bodies("PUT", f"/fxQuotes/{request_id}")[0]
    return {
        "commitRequestId": str(uuid.uuid4()),
        "determiningTransferId": transfer_id,
        "initiatingFsp": "blue",
        "counterPartyFsp": "green",
        "sourceAmount": offered["conversionTerms"]["sourceAmount"],
        "targetAmount": offered["conversionTerms"]["targetAmount"],
        "condition": offered["condition"],
        "expiration": later(seconds=20),
    } | changes


async def offer(world: Scheme) -> dict[str, Any]:
    """Terms that green has given blue."""
    asked = quote()
    assert await world.straight("POST", "/quotes", asked, "blue") == 202
    await world.until("PUT", f"/quotes/{asked['quoteId']}")
    return world.bodies("PUT", f"/quotes/{asked['quoteId']}")[0]


def bulk(offered: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """POST /bulkTransfers, by blue, with one item on these terms."""
    item = {
        "transferId": str(uuid.uuid4()),
        "transferAmount": offered["transferAmount"],
        "ilpPacket": offered["ilpPacket"],
        "condition": offered["condition"],
    }
    return {
        "bulkTransferId": str(uuid.uuid4()),
        "bulkQuoteId": str(uuid.uuid4()),
        "payerFsp": "blue",
        "payeeFsp": "green",
        "expiration": later(seconds=20),
        "individualTransfers": [item],
    } | changes


def rows(world: Scheme, table: str) -> int:
    sql = {"incoming": "incoming", "exchange": "exchange WHERE kind LIKE '%received'"}[table]
    return int(rows_of(world.connector, f"SELECT count(*) FROM {sql}")[0][0])


# --- under the id of an own request -----------------------------------------------------------------------------------


ORDER = Order(
    home_id="P1",
    payer=PartyRef(id_type="MSISDN", id_value="255712001001"),
    payee=PartyRef(id_type="MSISDN", id_value=PAYEE),
    amount=1_000_000,
    currency="TZS",
)


async def front_end(world: Scheme, path: str, body: Any) -> "asyncio.Task[int]":
    """A call of the front end of Mojaloop's SDK, which waits for its outcome."""

    async def call() -> int:
        url = f"http://127.0.0.1:{world.config.reference_port}{path}"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
            await answer.read()
            return answer.status

    task = asyncio.create_task(call())
    await world.until("POST", path)
    return task


def bulk_of_front_end(item_id: str) -> dict[str, Any]:
    """POST /bulkTransfers, by green's front end, with one item to blue."""
    item = {
        "transferId": item_id,
        "to": {"idType": "MSISDN", "idValue": "255655001001", "fspId": "blue"},
        "amountType": "SEND",
        "amount": "1",
        "currency": "TZS",
        "ilpPacket": PACKET,
        "condition": CONDITION,
    }
    return {
        "bulkTransferId": str(uuid.uuid4()),
        "homeTransactionId": "payroll",
        "bulkQuoteId": str(uuid.uuid4()),
        "from": {"idType": "MSISDN", "idValue": "255712001001"},
        "individualTransfers": [item],
    }


def test_a_payee_does_not_credit_itself_under_the_id_of_an_item_of_a_bulk_that_it_receives(tmp_path: Path) -> None:
    """The hub reports the item as committed, and its condition is not that of blue's own transfer."""

    async def story(world: Scheme) -> None:
        item_id = str(uuid.uuid4())
        calling = await front_end(world, "/bulkTransfers", bulk_of_front_end(item_id))
        forged = transfer(await offer(world), transferId=item_id)
        assert await world.straight("POST", "/transfers", forged, "blue") == 400
        in_bulk = bulk(await offer(world))
        in_bulk["individualTransfers"][0]["transferId"] = item_id
        assert await world.straight("POST", "/bulkTransfers", in_bulk, "blue") == 202
        await world.until("PUT", f"/bulkTransfers/{in_bulk['bulkTransferId']}")  # the item is refused
        await world.hub_says("PUT", f"/transfers/{item_id}", told("COMMITTED"))
        await asyncio.sleep(0.2)
        assert (world.core.reserved, world.core.credited) == ([], [])
        assert world.bodies("PUT", f"/transfers/{item_id}") == world.bodies("PUT", f"/transfers/{item_id}/error") == []
        calling.cancel()

    tell(tmp_path, story, reference_api=True, reference_port=free_port())


def test_a_request_under_the_id_of_an_own_payment_or_conversion_is_refused(tmp_path: Path) -> None:
    core = Fxp()

    async def story(world: Scheme) -> None:
        payment = await world.pay("P1")
        unknown = transfer(terms(), transferId=payment.transfer_id)
        assert await world.straight("POST", "/transfers", unknown, "blue") == 400
        forged = transfer(await offer(world), transferId=payment.transfer_id)
        assert await world.straight("POST", "/transfers", forged, "blue") == 400
        await world.connector._payer.send(msgspec.structs.replace(ORDER, home_id="F1", may_convert=True))
        converted = world.payment("F1")
        computed = payment_conversion.id_of(converted, "commitRequest")  # by a DFSP that knows the transfer's id
        for commit_id, status in ((payment_conversion.commit_id(converted), 400), (computed, 202)):
            wanted = await conversion(world, commitRequestId=commit_id)
            assert await world.straight("POST", "/fxTransfers", wanted, "blue") == status
        assert await world.hub_says("PUT", f"/fxTransfers/{computed}/error", error("3303")) == 200
        await until(lambda: core.ended)
        mine = {
            "homeTransactionId": "h",
            "commitRequestId": str(uuid.uuid4()),
            "determiningTransferId": str(uuid.uuid4()),
            "initiatingFsp": "green",
            "counterPartyFsp": "blue",
            "sourceAmount": {"currency": "TZS", "amount": "50"},
            "targetAmount": {"currency": "KES", "amount": "100"},
            "condition": CONDITION,
        }
        calling = await front_end(world, "/fxTransfers", mine)
        wanted = await conversion(world, commitRequestId=mine["commitRequestId"])
        assert await world.straight("POST", "/fxTransfers", wanted, "blue") == 400
        told_of = {"conversionState": "COMMITTED", "completedTimestamp": later()}
        await world.hub_says("PUT", f"/fxTransfers/{mine['commitRequestId']}", told_of)
        await asyncio.sleep(0.1)
        assert (len(core.held), core.ended) == (1, [(computed, "ABORTED")])
        calling.cancel()

    tell(tmp_path, story, core, reference_api=True, reference_port=free_port())


def test_an_own_request_does_not_take_an_id_that_another_dfsp_has_used_before(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        theirs = transfer(await offer(world))
        assert await world.straight("POST", "/transfers", theirs, "blue") == 202
        await world.until("PUT", f"/transfers/{theirs['transferId']}")
        url = f"http://127.0.0.1:{world.config.reference_port}/bulkTransfers"
        body = bulk_of_front_end(theirs["transferId"])
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
            assert (answer.status, (await answer.json())["statusCode"]) == (400, "3106")
        with pytest.raises(Conflict):
            await world.connector._payer.send(ORDER, theirs["transferId"])
        assert world.count("POST", "/bulkTransfers") == 0
        assert await world.connector._store.payment("P1") is None

    tell(tmp_path, story, reference_api=True, reference_port=free_port())


def test_committed_with_the_fulfilment_of_another_request_credits_nothing(tmp_path: Path) -> None:
    core = Fxp()

    async def story(world: Scheme) -> None:
        sent, wanted, priced = transfer(await offer(world)), bulk(await offer(world)), await conversion(world)
        for path, body, key in (
            ("/transfers", sent, "transferId"),
            ("/bulkTransfers", wanted, "bulkTransferId"),
            ("/fxTransfers", priced, "commitRequestId"),
        ):
            assert await world.hub_passes_on("POST", path, body) == 202
            await world.until("PUT", f"{path}/{body[key]}")
        path = f"/transfers/{sent['transferId']}"
        assert await world.hub_says("PUT", path, told("COMMITTED")) == 400
        funds = {
            "transferState": "COMMITTED",
            "completedTimestamp": later(),
        }  # the state of a movement of green's funds
        assert await world.hub_says("PUT", path, funds) == 400
        result = {"transferId": wanted["individualTransfers"][0]["transferId"], "fulfilment": FULFILMENT}
        done = {"bulkTransferState": "COMPLETED", "individualTransferResults": [result]}
        assert await world.hub_says("PUT", f"/bulkTransfers/{wanted['bulkTransferId']}", done) == 400
        done = {"conversionState": "COMMITTED", "fulfilment": FULFILMENT}
        assert await world.hub_says("PUT", f"/fxTransfers/{priced['commitRequestId']}", done) == 400
        await asyncio.sleep(0.1)
        assert (core.credited, core.released, core.ended) == ([], [], [])
        right = world.bodies("PUT", f"/transfers/{sent['transferId']}")[0]["fulfilment"]
        assert await world.hub_says("PUT", path, told("COMMITTED", fulfilment=right)) == 200
        await until(lambda: core.credited == [sent["transferId"]])

    tell(tmp_path, story, core)


# --- requests that the hub never gets ---------------------------------------------------------------------------------


def test_a_conversion_that_the_hub_never_had_is_released_when_it_cannot_come_any_more(tmp_path: Path) -> None:
    core = Fxp()

    async def story(world: Scheme) -> None:
        world.refuses["PUT /fxTransfers"] = (400, "3208")
        wanted = await conversion(world)
        path = f"/fxTransfers/{wanted['commitRequestId']}"
        assert await world.straight("POST", "/fxTransfers", wanted, "blue") == 202
        await world.until("PUT", path)
        assert core.held == [wanted["commitRequestId"]]
        assert await world.hub_says("PUT", path + "/error", error("3208")) == 200
        await asyncio.sleep(0.1)
        assert core.ended == []  # the hub can still receive it
        world.says_at = datetime.now(UTC) + timedelta(seconds=40)
        assert await world.hub_says("PUT", path + "/error", error("2001")) == 200
        assert await world.hub_says("PUT", path + "/error", error("3208")) == 200
        await until(lambda: core.ended == [(wanted["commitRequestId"], "ABORTED")])

    tell(tmp_path, story, core)


def test_a_bulk_that_the_hub_never_had_is_released_when_it_cannot_come_any_more(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        wanted = bulk(await offer(world))
        path = f"/bulkTransfers/{wanted['bulkTransferId']}"
        assert await world.straight("POST", "/bulkTransfers", wanted, "blue") == 202
        await world.until("PUT", path)
        assert len(world.core.reserved) == 1
        assert await world.hub_says("PUT", path + "/error", error("3210")) == 200
        await asyncio.sleep(0.1)
        assert world.core.released == []
        world.says_at = datetime.now(UTC) + timedelta(seconds=40)
        assert await world.hub_says("PUT", path + "/error", error("3210")) == 200
        await until(lambda: world.core.released == [wanted["individualTransfers"][0]["transferId"]])
        await until(lambda: stored(world.connector._bulk_payee._bulks).unfinished() == [])

    tell(tmp_path, story)


def test_nothing_is_valid_for_years(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        offered = await offer(world)
        for year in ("2099", "9999"):
            far = {"expiration": f"{year}-12-31T23:59:59.999Z"}
            assert await world.straight("POST", "/transfers", transfer(offered, **far), "blue") == 400
            assert await world.straight("POST", "/bulkTransfers", bulk(offered, **far), "blue") == 400
            assert await world.straight("POST", "/fxTransfers", await conversion(world, **far), "blue") == 400
        assert await world.straight("POST", "/transfers", transfer(offered, expiration=later(days=7)), "blue") == 202

    tell(tmp_path, story, Fxp())


async def unknown(world: Scheme, path: str, body: dict[str, Any], key: str) -> None:
    """Blue sends this only to green. Green asks the hub, and the hub does not know it."""
    world.state = "UNKNOWN"
    assert await world.straight("POST", path, body, "blue") == 202
    await world.until("GET", f"{path}/{body[key]}")
    assert await world.hub_says("PUT", f"{path}/{body[key]}/error", error("3208")) == 200


def test_the_hub_is_asked_less_and_less_about_requests_that_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in (payee, bulk_payee, fxp):
        monkeypatch.setattr(part, "_ASK_AT_MOST_EVERY_S", 0.2)

    async def story(world: Scheme) -> None:
        sent = transfer(await offer(world))
        for path, body, key in (
            ("/transfers", sent, "transferId"),
            ("/bulkTransfers", bulk(await offer(world)), "bulkTransferId"),
            ("/fxTransfers", await conversion(world), "commitRequestId"),
        ):
            await unknown(world, path, body, key)
            await asyncio.sleep(2.5)  # pauses of 0.2, 0.4, 0.8 and 1.6 seconds, and not twelve pauses of 0.2
            assert 2 <= world.count("GET", f"{path}/{body[key]}") <= 6
        noted, transfer_id = world.connector._payee._unknown, sent["transferId"]
        assert noted.longer(400.0, transfer_id, 15.0) == 600.0
        assert await world.hub_says("PUT", f"/transfers/{transfer_id}", told("RESERVED")) == 200  # now the hub has it
        assert noted.longer(400.0, transfer_id, 15.0) == 15.0

    tell(tmp_path, story, Fxp(), callback_s=0.2)


def test_a_dfsp_with_many_transfers_that_the_hub_does_not_know_opens_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_unknown_to_hub, "_MOST_OF_ONE_DFSP", 2)

    async def story(world: Scheme) -> None:
        sent = [transfer(await offer(world)) for _ in range(3)]
        for body in sent[:2]:
            await unknown(world, "/transfers", body, "transferId")
        assert await world.straight("POST", "/transfers", sent[2], "blue") == 503
        assert await world.straight("POST", "/transfers", sent[0], "blue") == 202  # it is known here
        assert rows(world, "incoming") == 2
        path = f"/transfers/{sent[0]['transferId']}"
        await world.until("PUT", path)
        right = world.bodies("PUT", path)[0]["fulfilment"]
        assert await world.hub_says("PUT", path, told("COMMITTED", fulfilment=right)) == 200
        await until(lambda: len(world.connector._payee._unknown) == 1)
        assert await world.straight("POST", "/transfers", sent[2], "blue") == 202

    tell(tmp_path, story, callback_s=0.2)


# --- disk -------------------------------------------------------------------------------------------------------------


def test_transfers_without_usable_terms_are_rejected_and_not_stored(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        offered = await offer(world)
        used = transfer(offered)
        assert await world.straight("POST", "/transfers", used, "blue") == 202
        await world.until("PUT", f"/transfers/{used['transferId']}")
        wrong = (
            transfer(offered | {"condition": CONDITION}),  # no terms were given
            transfer(offered),  # another transfer has used them
            transfer(await offer(world), amount={"currency": "TZS", "amount": "99"}),
        )
        for body in wrong:
            for _ in range(2):  # a repetition is answered again
                assert await world.straight("POST", "/transfers", body, "blue") == 202
            await world.until("PUT", f"/transfers/{body['transferId']}/error", 2)
        theirs = transfer(await offer(world), payerFsp="red")  # the terms were given to blue
        assert await world.straight("POST", "/transfers", theirs, "red") == 202
        await world.until("PUT", f"/transfers/{theirs['transferId']}/error")
        (told,) = world.bodies("PUT", f"/transfers/{theirs['transferId']}/error")
        assert told["errorInformation"]["errorCode"] == "5105"
        assert rows(world, "incoming") == 1
        assert len(world.core.reserved) == 1

    tell(tmp_path, story)


def test_bulks_and_conversions_without_usable_terms_are_rejected_and_not_stored(tmp_path: Path) -> None:
    core = Fxp()

    async def story(world: Scheme) -> None:
        offered, priced = await offer(world), await conversion(world)
        used = bulk(offered)
        assert await world.straight("POST", "/bulkTransfers", used, "blue") == 202
        assert await world.straight("POST", "/fxTransfers", priced, "blue") == 202
        await world.until("PUT", f"/bulkTransfers/{used['bulkTransferId']}")
        await world.until("PUT", f"/fxTransfers/{priced['commitRequestId']}")
        before = rows(world, "incoming"), rows(world, "exchange")
        for wrong in (bulk(offered | {"condition": CONDITION}), bulk(offered)):
            assert await world.straight("POST", "/bulkTransfers", wrong, "blue") == 202
            path = f"/bulkTransfers/{wrong['bulkTransferId']}"
            await world.until("PUT", path)
            (told,) = world.bodies("PUT", path)
            assert told["bulkTransferState"] == "REJECTED"
            (result,) = told["individualTransferResults"]
            assert result["errorInformation"]["errorCode"] == "5105"
        for change in ({"condition": CONDITION}, {}):
            wanted = priced | {"commitRequestId": str(uuid.uuid4())} | change
            assert await world.straight("POST", "/fxTransfers", wanted, "blue") == 202
            await world.until("PUT", f"/fxTransfers/{wanted['commitRequestId']}/error")
        assert (rows(world, "incoming"), rows(world, "exchange")) == before
        assert (len(core.reserved), len(core.held)) == (1, 1)

    tell(tmp_path, story, core)


# --- odd requests -----------------------------------------------------------------------------------------------------


def test_odd_requests_are_refused_and_are_no_errors_of_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(world: Scheme) -> None:
        found = await odd_requests.statuses(world)
        assert len(found) > 400
        asked = [path for method, path, _ in world.asked if method == "GET"]
        assert "/transfers/1' OR 1=1" in asked  # the id of a front end is encoded, so it begins no other request
        assert logged(caplog, "message_failed") == []
        assert [line for line in logged(caplog, "core_request_failed") if "error" in line] == []
        assert [text for status, text in found if status >= 500 and b'"statusCode"' not in text] == []

    tell(tmp_path, story, reference_api=True, reference_port=free_port(), agree_s=0.3, ask_again_s=0.2, proof="nothing")


# --- memory -----------------------------------------------------------------------------------------------------------


def test_a_compressed_body_is_refused_at_every_port_and_never_unpacked(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        small = gzip.compress(json.dumps(quote()).encode())
        bomb = gzip.compress(b" " * 50_000_000)
        ports = (world.config.inbound_port, "/quotes"), (world.config.outbound_port, "/payments")
        async with aiohttp.ClientSession() as session:
            for port, path in (*ports, (world.config.reference_port, "/transfers")):
                for body in (small, bomb):
                    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
                    url = f"http://localhost:{port}{path}"
                    async with session.post(url, data=body, headers=headers) as answer:
                        text = await answer.text()
                        assert (answer.status, "content-encoding" in text) == (400, True), (port, text)

    tell(tmp_path, story, reference_api=True, reference_port=free_port())


# --- connections ------------------------------------------------------------------------------------------------------


async def connected(port: int, sent: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("localhost", port)
    writer.write(sent)
    return reader, writer


def test_a_connection_without_a_request_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_incoming_connections, "_FIRST_REQUEST_S", 0.5)
    line = b"GET /health HTTP/1.1\r\nHost: x\r\n"

    async def story(world: Scheme) -> None:
        for port in (world.config.inbound_port, world.config.outbound_port):
            silent = [await connected(port), await connected(port, line + b"X: ")]
            works = await connected(port, line + b"\r\n")
            assert b"200" in await asyncio.wait_for(works[0].readuntil(b"}"), 2)
            for reader, _ in silent:
                assert b"200" not in await asyncio.wait_for(reader.read(), 3)
            works[1].write(line + b"Connection: close\r\n\r\n")
            assert b"200" in await asyncio.wait_for(works[0].read(), 2)

    tell(tmp_path, story)


def test_of_too_many_connections_the_longest_idle_ones_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle_incoming_connections, "_MOST", 3)

    async def story(world: Scheme) -> None:
        first = [await connected(world.config.inbound_port) for _ in range(3)]
        await asyncio.sleep(0.7)
        later = [await connected(world.config.inbound_port) for _ in range(2)]
        for reader, _ in first[:2]:
            assert await asyncio.wait_for(reader.read(), 3) == b""
        await asyncio.sleep(0.7)
        assert not any(reader.at_eof() for reader, _ in (first[2], *later))

    tell(tmp_path, story)


# --- the core ---------------------------------------------------------------------------------------------------------


def test_the_lookups_of_one_dfsp_leave_room_for_those_of_another(tmp_path: Path) -> None:
    class Hangs(Core):
        async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
            await asyncio.sleep(60)
            return None

    async def story(world: Scheme) -> None:
        numbers = range(1, 10)
        red = [await world.straight("GET", f"/parties/MSISDN/{number}", None, "red") for number in numbers]
        assert red == [202] * 4 + [503] * 5
        assert await world.straight("GET", "/parties/MSISDN/1", None, "blue") == 202

    tell(tmp_path, story, Hangs(), connections=2)
