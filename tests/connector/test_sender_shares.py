"""What one DFSP sends takes only a part of the connector's disk, of its open answers and of its connections."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kitovu_connector.backend import PartyDetails
from kitovu_connector.sender_shares import Places
from tests.connector.hub_stub import Scheme, quote, rows_of, scheme, stored, terms, transfer
from tests.connector.test_faulty_core import conversion_quote, request_to_pay
from tests.connector.test_hostile_dfsp import Fxp, until


class OneCustomer(Fxp):
    """A bank with one customer."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_up: list[str] = []

    async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        self.looked_up.append(id_value)
        return PartyDetails("Asha") if id_value == "255712001001" else None


def tell(folder: Path, story: Callable[[Scheme], Awaitable[None]], **more: Any) -> None:
    async def run() -> None:
        async with scheme(folder, "signatures", **more) as world:
            await world.stop()
            world.core = OneCustomer()
            await world.start()
            await story(world)

    asyncio.run(run())


def bulk_quote(*customers: str, note: str = "") -> dict[str, Any]:
    """A request for the terms of one payment to each of these customers."""
    items = []
    for customer in customers:
        item = {name: value for name, value in quote().items() if name != "payer"}
        item |= {"quoteId": str(uuid.uuid4()), "transactionId": str(uuid.uuid4())}
        item["payee"] = {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": customer, "fspId": "green"}}
        items.append(item | ({"note": note} if note else {}))
    payer = {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": "1"}}
    return {"bulkQuoteId": str(uuid.uuid4()), "payer": payer, "individualQuotes": items}


def count(world: Scheme, kind: str) -> int:
    return int(rows_of(world.connector, f"SELECT count(*) FROM exchange WHERE kind = '{kind}'")[0][0])


# --- the disk ---------------------------------------------------------------------------------------------------------


def test_terms_of_a_bulk_for_nobody_are_answered_and_not_stored(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        asked = bulk_quote("255712009001", "255712009002")
        assert await world.hub_passes_on("POST", "/bulkQuotes", asked) == 202
        path = f"/bulkQuotes/{asked['bulkQuoteId']}/error"
        await world.until("PUT", path)
        assert world.bodies("PUT", path)[0]["errorInformation"]["errorCode"] == "3204"
        assert (count(world, "bulk_quote_received"), world.core.asked) == (0, [])
        mixed = bulk_quote("255712009001", "255712001001")
        assert await world.hub_passes_on("POST", "/bulkQuotes", mixed) == 202
        assert count(world, "bulk_quote_received") == 1
        await world.until("PUT", f"/bulkQuotes/{mixed['bulkQuoteId']}")

    tell(tmp_path, story)


def test_the_check_of_a_bulk_with_many_unknown_customers_ends_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kitovu_connector.customer_existence_checks._LONGEST_CHECK_S", 0.5)

    class Slow(OneCustomer):
        async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
            await asyncio.sleep(0.2)
            return await super().find_party(id_type, id_value, sub_id)

    async def story(world: Scheme) -> None:
        await world.stop()
        world.core = core = Slow()
        await world.start()
        asked = bulk_quote(*(f"25571200{number:04}" for number in range(100)))
        assert await world.hub_passes_on("POST", "/bulkQuotes", asked) == 202
        path = f"/bulkQuotes/{asked['bulkQuoteId']}/error"
        await world.until("PUT", path)
        assert world.bodies("PUT", path)[0]["errorInformation"]["errorCode"] == "1001"
        assert len(core.looked_up) <= 4
        assert count(world, "bulk_quote_received") == 0

    tell(tmp_path, story)


def test_the_requests_for_terms_of_one_dfsp_leave_disk_space_for_those_of_another(tmp_path: Path) -> None:
    asked = [bulk_quote("255712001001") for _ in range(4)]
    conversion = conversion_quote()
    conversion["conversionTerms"]["initiatingFsp"] = "red"

    async def story(world: Scheme) -> None:
        statuses = [await world.straight("POST", "/bulkQuotes", body, "red") for body in asked]
        assert statuses == [202] * 3 + [503]
        assert await world.straight("POST", "/bulkQuotes", asked[0], "red") == 202  # it is stored already
        assert await world.straight("POST", "/fxQuotes", conversion, "red") == 503
        assert await world.straight("POST", "/bulkQuotes", bulk_quote("255712001001"), "blue") == 202
        assert await world.straight("POST", "/fxQuotes", conversion_quote(), "blue") == 202
        assert (count(world, "bulk_quote_received"), count(world, "conversion_offer")) == (4, 1)

    tell(tmp_path, story, stored_terms_bytes=3 * len(json.dumps(asked[0])))


def test_the_quotes_of_one_dfsp_leave_disk_space_for_those_of_another(tmp_path: Path) -> None:
    asked = [quote() for _ in range(4)]
    octets = "SELECT octets FROM stored_octets WHERE sender = 'red/quotes'"

    async def story(world: Scheme) -> None:
        of_red = [body | {"payer": {"partyIdInfo": body["payer"]["partyIdInfo"] | {"fspId": "red"}}} for body in asked]
        statuses = [await world.straight("POST", "/quotes", body, "red") for body in of_red]
        assert statuses == [202] * 3 + [503]
        assert await world.straight("POST", "/quotes", of_red[0], "red") == 202  # it is stored already
        assert await world.straight("POST", "/quotes", quote(), "blue") == 202
        in_bulk = bulk_quote("255712001001")
        assert await world.straight("POST", "/bulkQuotes", in_bulk, "red") == 202
        await world.until("PUT", f"/bulkQuotes/{in_bulk['bulkQuoteId']}")
        await until(lambda: stored(world.connector._store).unfinished_quotes() == [])
        assert await world.connector._store.delete_old_quotes(time.time() + 60, 100) == 5
        assert rows_of(world.connector, octets) == [(0,)]
        assert await world.straight("POST", "/quotes", of_red[3], "red") == 202

    tell(tmp_path, story, stored_quotes_bytes=3 * (len(json.dumps(asked[0])) - 1))


def test_deleted_requests_for_terms_leave_room_for_new_ones(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        asked = bulk_quote("255712001001")
        assert await world.straight("POST", "/bulkQuotes", asked, "red") == 202
        await world.until("PUT", f"/bulkQuotes/{asked['bulkQuoteId']}")
        octets = "SELECT octets FROM stored_octets WHERE sender = 'red'"
        assert rows_of(world.connector, octets) == [(len(json.dumps(asked)),)]
        deleting = asyncio.create_task(world.connector._bulk_terms._quotes.delete_old(-60.0))
        await until(lambda: not count(world, "bulk_quote_received"))
        deleting.cancel()
        assert rows_of(world.connector, octets) == [(0,)]

    tell(tmp_path, story)


def test_the_requests_to_pay_of_one_dfsp_leave_disk_space_for_those_of_another(tmp_path: Path) -> None:
    bodies = [request_to_pay() for _ in range(4)]

    async def story(world: Scheme) -> None:
        of_red = [body | {"payee": {"partyIdInfo": body["payee"]["partyIdInfo"] | {"fspId": "red"}}} for body in bodies]
        statuses = [await world.straight("POST", "/transactionRequests", body, "red") for body in of_red]
        assert statuses == [202] * 3 + [503]
        assert await world.straight("POST", "/transactionRequests", request_to_pay(), "blue") == 202
        assert count(world, "request_to_pay_received") == 4

    tell(tmp_path, story, stored_terms_bytes=3 * len(json.dumps(bodies[0])))


def test_a_bulk_that_was_refused_is_refused_again_without_another_check(tmp_path: Path) -> None:
    """The hub sends a bulk again if the check took longer than it waits."""

    async def story(world: Scheme) -> None:
        assert isinstance(world.core, OneCustomer)
        asked = bulk_quote("255712009001", "255712009002")
        path = f"/bulkQuotes/{asked['bulkQuoteId']}/error"
        for times in (1, 2):
            assert await world.hub_passes_on("POST", "/bulkQuotes", asked) == 202
            await world.until("PUT", path, times)
        assert len(world.core.looked_up) == 2
        other = asked | {"individualQuotes": asked["individualQuotes"][:1]}
        assert await world.hub_passes_on("POST", "/bulkQuotes", other) == 202
        await world.until("PUT", path, 3)
        assert len(world.core.looked_up) == 3

    tell(tmp_path, story)


# --- answers that are not stored --------------------------------------------------------------------------------------


def test_the_rejections_of_one_dfsps_transfers_leave_room_for_those_of_another(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.refuses["PUT /transfers/error"] = (503, "2005")  # the hub takes no rejection
        sent = [transfer(terms(), transferId=str(uuid.uuid4()), payerFsp="red") for _ in range(7)]
        statuses = [await world.straight("POST", "/transfers", body, "red") for body in sent]
        assert statuses == [202] * 4 + [503] * 3
        of_blue = transfer(terms(), transferId=str(uuid.uuid4()))
        assert await world.straight("POST", "/transfers", of_blue, "blue") == 202

    tell(tmp_path, story, connections=2)


def test_the_refusals_of_one_dfsps_bulk_quotes_leave_room_for_those_of_another(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.refuses["PUT /bulkQuotes/error"] = (503, "2005")
        statuses = [await world.straight("POST", "/bulkQuotes", bulk_quote("255712009001"), "red") for _ in range(7)]
        assert statuses == [202] * 4 + [503] * 3
        assert await world.straight("POST", "/bulkQuotes", bulk_quote("255712009001"), "blue") == 202

    tell(tmp_path, story, connections=2)


def test_the_questions_about_transactions_of_one_dfsp_leave_room_for_those_of_another(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.refuses["PUT /transactions/error"] = (503, "2005")
        paths = [f"/transactions/{uuid.uuid4()}" for _ in range(18)]
        statuses = [await world.straight("GET", path, None, "red") for path in paths]
        assert statuses == [202] * 16 + [503] * 2
        assert await world.straight("GET", paths[0], None, "blue") == 202

    tell(tmp_path, story)


# --- connections to the hub -------------------------------------------------------------------------------------------


def test_a_free_connection_is_for_the_dfsp_that_has_the_fewest() -> None:
    async def story() -> None:
        places, begun, go_on = Places(8), list[str](), asyncio.Semaphore(0)

        async def send(sender: str) -> None:
            async with places.of(sender):
                begun.append(sender)
                await go_on.acquire()

        tasks = [asyncio.create_task(send("red")) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert begun == ["red"] * 7  # one place is for another
        tasks += [asyncio.create_task(send("blue")) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert begun[7:] == ["blue"]
        for _ in range(2):
            go_on.release()
            await asyncio.sleep(0.01)
        assert begun[8:] == ["blue"] * 2
        tasks[-1].cancel()  # one that has a place
        tasks[19].cancel()  # one that waits
        await asyncio.sleep(0.01)
        for _ in range(30):
            go_on.release()
        await asyncio.wait(tasks)
        assert begun.count("red") == 19
        assert await asyncio.wait_for(_has_all(places, 8), 1)

    asyncio.run(story())


def test_senders_with_as_many_places_take_turns() -> None:
    async def story() -> None:
        places, begun, go_on = Places(2), list[str](), asyncio.Semaphore(0)

        async def send(sender: str) -> None:
            async with places.of(sender):
                begun.append(sender)
                await go_on.acquire()

        tasks = [asyncio.create_task(send(sender)) for sender in ("red", "blue", "green") * 3]
        for _ in tasks:
            await asyncio.sleep(0.005)
            go_on.release()
        await asyncio.wait(tasks)
        assert sorted(begun[:3]) == sorted(begun[3:6]) == ["blue", "green", "red"]

    asyncio.run(story())


def test_who_waits_too_long_for_a_place_gets_none() -> None:
    async def story() -> None:
        places = Places(2)
        async with places.of("red"):
            with pytest.raises(TimeoutError):
                async with places.of("red", 0.01):
                    raise AssertionError("there is only one place for red")
        assert await asyncio.wait_for(_has_all(places, 2), 1)

    asyncio.run(story())


async def _has_all(places: Any, number: int) -> bool:
    async with contextlib.AsyncExitStack() as stack:
        for each in range(number):
            await stack.enter_async_context(places.of(f"dfsp{each}"))
    return True


def test_the_answers_to_one_dfsp_leave_connections_to_the_hub_for_those_to_another(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        sending, go_on = list[str](), asyncio.Event()
        send = world.connector._hub._once

        async def slow(method: str, url: Any, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
            sending.append(headers["FSPIOP-Destination"])
            await go_on.wait()
            return await send(method, url, body, headers)

        world.connector._hub._once = slow  # type: ignore[method-assign]
        for number in range(12):
            assert await world.straight("GET", f"/parties/MSISDN/25571200{number:04}", None, "red") == 202
        assert await world.straight("GET", "/parties/MSISDN/255712001001", None, "blue") == 202
        await until(lambda: "blue" in sending)
        assert sending == ["red"] * 7 + ["blue"]
        go_on.set()
        await world.until("PUT", "/parties/", 13)

    tell(tmp_path, story, connections=8)
