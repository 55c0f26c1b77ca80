"""Bulks of many payments to a bank whose core decides each payment separately."""

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kitovu_connector.backend import IncomingMoney, Terms, TermsWanted
from kitovu_connector.bulk_payee import BulkPayee
from kitovu_connector.core_errors import Unavailable
from kitovu_connector.hub_clock import HubClock
from tests.connector.hub_stub import Core, Scheme, error, rows_of, scheme, stored
from tests.connector.test_hostile_dfsp import bulk, later, until
from tests.connector.test_sender_shares import bulk_quote
from tests.keys import CONDITION, FULFILMENT

CUSTOMER = "255712001001"


class Slow(Core):
    """A core that needs a moment for each payment. It is down for the first call, and at last for ever."""

    def __init__(self, *, answers: int = 1_000_000) -> None:
        super().__init__()
        self.left, self.is_down, self.calls = answers, True, 0

    async def _wait(self) -> None:
        self.calls += 1
        if self.is_down or self.left <= 0:
            self.is_down = False
            raise Unavailable("down")
        self.left -= 1
        await asyncio.sleep(0.1)

    async def give_terms(self, wanted: TermsWanted) -> Terms:
        await self._wait()
        return await super().give_terms(wanted)

    async def reserve(self, incoming: IncomingMoney) -> None:
        await self._wait()
        await super().reserve(incoming)


def tell(folder: Path, story: Callable[[Scheme], Awaitable[None]], core: Core, **more: Any) -> None:
    async def run() -> None:
        async with scheme(folder, "signatures", **more) as world:
            await world.stop()
            world.core = core
            await world.start()
            await story(world)

    asyncio.run(run())


async def terms_of(world: Scheme, items: int) -> list[dict[str, Any]]:
    """What green answers to blue's request for the terms of so many payments."""
    asked = bulk_quote(*[CUSTOMER] * items)
    assert await world.hub_passes_on("POST", "/bulkQuotes", asked) == 202
    path = f"/bulkQuotes/{asked['bulkQuoteId']}"
    await world.until("PUT", path)
    results: list[dict[str, Any]] = world.bodies("PUT", path)[0]["individualQuoteResults"]
    assert [result["quoteId"] for result in results] == [item["quoteId"] for item in asked["individualQuotes"]]
    return results


def bulk_on(terms: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """POST /bulkTransfers, by blue, with an item on each of these terms."""
    found = bulk(terms[0], **changes)
    (item,) = found["individualTransfers"]
    taken = ("transferAmount", "ilpPacket", "condition")
    found["individualTransfers"] = [
        item | {"transferId": str(uuid.uuid4())} | {name: one[name] for name in taken} for one in terms
    ]
    return found


def error_of(result: dict[str, Any]) -> str | None:
    return result.get("errorInformation", {}).get("errorCode")


def test_a_large_bulk_gets_its_terms_and_its_money_from_a_core_that_decides_item_by_item(tmp_path: Path) -> None:
    """One after another the core would need six seconds, and may take only one for each call."""
    core = Slow()

    async def story(world: Scheme) -> None:
        terms = await terms_of(world, 60)
        assert [error_of(result) for result in terms] == [None] * 60
        assert core.calls == 61  # the core was down for one call, and only this one was repeated
        core.is_down, core.calls = True, 0
        sent = bulk_on(terms)
        path = f"/bulkTransfers/{sent['bulkTransferId']}"
        assert await world.hub_passes_on("POST", "/bulkTransfers", sent) == 202
        await world.until("PUT", path)
        (answer,) = world.bodies("PUT", path)
        assert answer["bulkTransferState"] == "COMPLETED"
        assert [error_of(result) for result in answer["individualTransferResults"]] == [None] * 60
        assert (core.calls, len(core.reserved)) == (61, 60)

    tell(tmp_path, story, core, connections=8, request_s=1.0)


def test_if_the_core_falls_silent_the_terms_that_it_has_given_stay_and_it_is_not_asked_for_ever(
    tmp_path: Path,
) -> None:
    async def story(world: Scheme) -> None:
        terms = await terms_of(world, 40)
        codes = [error_of(result) for result in terms]
        assert (codes.count(None), codes.count("1001")) == (5, 35)

    tell(tmp_path, story, Slow(answers=5), connections=2, request_s=1.0)


def test_a_bulk_for_which_a_silent_core_gives_no_terms_is_refused_as_a_whole(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        asked = bulk_quote(CUSTOMER, CUSTOMER, CUSTOMER)
        assert await world.hub_passes_on("POST", "/bulkQuotes", asked) == 202
        path = f"/bulkQuotes/{asked['bulkQuoteId']}/error"
        await world.until("PUT", path)
        assert error_of(world.bodies("PUT", path)[0]) == "1001"

    tell(tmp_path, story, Slow(answers=0), request_s=1.0)


def test_items_without_usable_terms_are_refused_and_leave_nothing_on_the_disk(tmp_path: Path) -> None:
    core = Core()

    async def story(world: Scheme) -> None:
        good, also_good = await terms_of(world, 2)
        unknown = [good | {"condition": CONDITION} for _ in range(20)]
        sent = bulk_on([good, also_good, good, *unknown])
        path = f"/bulkTransfers/{sent['bulkTransferId']}"
        assert await world.hub_passes_on("POST", "/bulkTransfers", sent) == 202
        await world.until("PUT", path)
        results = world.bodies("PUT", path)[0]["individualTransferResults"]
        assert [error_of(result) for result in results] == [None, None, *["5105"] * 21]
        assert rows_of(world.connector, "SELECT count(*) FROM incoming") == [(2,)]
        done = {"bulkTransferState": "COMPLETED", "completedTimestamp": later(), "individualTransferResults": results}
        assert await world.hub_says("PUT", path, done) == 200
        ids = [item["transferId"] for item in sent["individualTransfers"]]
        await until(lambda: sorted(core.credited) == sorted(ids[:2]))
        assert core.released == []

    tell(tmp_path, story, core)


def test_bulks_take_a_limited_part_of_the_disk_until_they_are_deleted(tmp_path: Path) -> None:
    octets = "SELECT octets FROM stored_octets WHERE sender = 'blue'"

    async def story(world: Scheme) -> None:
        sent = [bulk_on([one]) for one in await terms_of(world, 4)]
        ((before,),) = rows_of(world.connector, octets)
        part = world.connector._bulk_payee
        part._config = replace(part._config, stored_terms_bytes=int(before) + 2 * len(json.dumps(sent[0])))
        statuses = [await world.hub_passes_on("POST", "/bulkTransfers", body) for body in sent]
        assert statuses == [202, 202, 503, 503]
        for body in sent[:2]:
            path = f"/bulkTransfers/{body['bulkTransferId']}"
            await world.until("PUT", path)
            assert await world.hub_says("PUT", path, {"bulkTransferState": "REJECTED"}) == 200
        await until(lambda: stored(part._bulks).unfinished() == [])
        deleting = asyncio.create_task(part._bulks.delete_old(-60.0))
        await until(lambda: rows_of(world.connector, octets) == [(before,)])
        deleting.cancel()
        assert await world.hub_passes_on("POST", "/bulkTransfers", sent[2]) == 202

    tell(tmp_path, story, Core())


def test_an_item_whose_money_a_silent_core_may_have_reserved_is_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BulkPayee, "_time_for", lambda *_: 0.5)
    core = Slow(answers=6)

    async def story(world: Scheme) -> None:
        sent = bulk_on(await terms_of(world, 6))
        core.left = 3
        path = f"/bulkTransfers/{sent['bulkTransferId']}"
        assert await world.hub_passes_on("POST", "/bulkTransfers", sent) == 202
        await world.until("PUT", path)
        codes = [error_of(result) for result in world.bodies("PUT", path)[0]["individualTransferResults"]]
        assert codes == [None, None, None, "1001", "1001", "1001"]
        ids = [item["transferId"] for item in sent["individualTransfers"]]
        assert [incoming.transfer_id for incoming in core.reserved] == ids[:3]
        # The core was asked about one more item, and not about the last two.
        await until(lambda: core.released == [ids[3]])

    tell(tmp_path, story, core, connections=2)


def test_a_bulk_that_expires_during_its_reservation_reserves_no_further_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(Core):
        async def reserve(self, incoming: IncomingMoney) -> None:
            await super().reserve(incoming)
            monkeypatch.setattr(HubClock, "at_hub", lambda _: time.time() + 60)

    core = Late()

    async def story(world: Scheme) -> None:
        sent = bulk_on(await terms_of(world, 3))
        path = f"/bulkTransfers/{sent['bulkTransferId']}"
        assert await world.hub_passes_on("POST", "/bulkTransfers", sent) == 202
        await world.until("PUT", path)
        results = world.bodies("PUT", path)[0]["individualTransferResults"]
        assert [error_of(result) for result in results] == [None, "5105", "5105"]
        assert await world.hub_says("PUT", path, {"bulkTransferState": "REJECTED"}) == 200
        first = sent["individualTransfers"][0]["transferId"]
        await until(lambda: core.released == [first])
        assert [incoming.transfer_id for incoming in core.reserved] == [first]

    tell(tmp_path, story, core, connections=1)


def test_a_bulk_that_has_expired_already_reserves_nothing(tmp_path: Path) -> None:
    core = Core()

    async def story(world: Scheme) -> None:
        sent = bulk_on(await terms_of(world, 2), expiration=later(seconds=-60))
        path = f"/bulkTransfers/{sent['bulkTransferId']}"
        assert await world.hub_passes_on("POST", "/bulkTransfers", sent) == 202
        await world.until("PUT", path)
        (answer,) = world.bodies("PUT", path)
        assert answer["bulkTransferState"] == "REJECTED"
        assert [error_of(result) for result in answer["individualTransferResults"]] == ["5105", "5105"]
        assert (core.reserved, core.released) == ([], [])
        assert rows_of(world.connector, "SELECT count(*) FROM incoming") == [(0,)]

    tell(tmp_path, story, core)


class Waits(Core):
    """A core that reserves nothing until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may = asyncio.Event(), asyncio.Event()
        self.order: list[str] = []

    async def reserve(self, incoming: IncomingMoney) -> None:
        self.is_asked.set()
        await self.may.wait()
        self.order.append("reserved")

    async def release(self, transfer_id: str) -> None:
        self.order.append("released")


def test_the_money_of_a_bulk_that_ends_during_its_reservation_is_released_after_the_reservation(
    tmp_path: Path,
) -> None:
    """Otherwise a core that gets the reservation after the release keeps the money reserved for ever."""
    core = Waits()

    async def story(world: Scheme) -> None:
        asked = bulk_on(await terms_of(world, 1))
        path = f"/bulkTransfers/{asked['bulkTransferId']}"
        assert await world.hub_passes_on("POST", "/bulkTransfers", asked) == 202
        await core.is_asked.wait()
        rejected = {"bulkTransferState": "REJECTED"}
        assert await world.hub_says("PUT", path + "/error", error("3303")) == 200
        assert await world.hub_says("PUT", path, rejected) == 200
        await asyncio.sleep(0.2)
        assert core.order == []
        core.may.set()
        await world.until("GET", path)  # the connector asks the hub for the end again
        assert await world.hub_says("PUT", path, rejected) == 200
        await until(lambda: core.order == ["reserved", "released"])
        await until(lambda: stored(world.connector._bulk_payee._bulks).unfinished() == [])

    tell(tmp_path, story, core, callback_s=0.2)


def test_a_bulk_with_one_id_twice_is_refused_and_reserves_nothing(tmp_path: Path) -> None:
    """Before, the core kept the money of the first item reserved, and the connector rejected this item."""
    core = Core()

    async def story(world: Scheme) -> None:
        asked = bulk_on(await terms_of(world, 2))
        first, second = asked["individualTransfers"]
        asked["individualTransfers"] = [first, second | {"transferId": first["transferId"]}]
        assert await world.straight("POST", "/bulkTransfers", asked, "blue") == 400
        assert (core.reserved, rows_of(world.connector, "SELECT * FROM incoming")) == ([], [])

    tell(tmp_path, story, core)


class Dearer(Core):
    """A core that takes a fee from the second request on."""

    async def give_terms(self, wanted: TermsWanted) -> Terms:
        await super().give_terms(wanted)
        fee = len(self.asked) - 1
        return Terms(receive_amount=wanted.amount - fee, fee=Decimal(fee))


def test_an_item_with_the_id_of_earlier_terms_gets_these_terms_or_is_refused(tmp_path: Path) -> None:
    """Before, other content left the whole bulk without an answer, and equal content replaced the terms. So a transfer
    under way on the earlier terms lost them.
    """
    core = Dearer()

    async def story(world: Scheme) -> None:
        first = bulk_quote(CUSTOMER)
        (item,) = first["individualQuotes"]
        other = item | {"amount": {"currency": "TZS", "amount": "99"}}
        second = bulk_quote(CUSTOMER) | {"individualQuotes": [item]}
        third = bulk_quote(CUSTOMER) | {"individualQuotes": [other, *bulk_quote(CUSTOMER)["individualQuotes"]]}
        answers = []
        for asked in (first, second, third):
            path = f"/bulkQuotes/{asked['bulkQuoteId']}"
            assert await world.hub_passes_on("POST", "/bulkQuotes", asked) == 202
            await world.until("PUT", path)
            answers += world.bodies("PUT", path)[0]["individualQuoteResults"]
        given, again, _refused, new = answers
        assert again == given
        assert [error_of(each) for each in answers] == [None, None, "3106", None]
        assert new["payeeFspFee"]["amount"] == "3"
        known = stored(world.connector._store).quote_of_condition(given["condition"])
        assert (known.quote_id, known.fee) == (item["quoteId"], 0)
        await until(lambda: stored(world.connector._bulk_terms._quotes).unfinished() == [])

    tell(tmp_path, story, core)


def test_a_transfer_with_the_id_of_an_item_of_a_bulk_is_refused(tmp_path: Path) -> None:
    """Before, the task of such a transfer read the item again and again, without a pause."""
    core = Waits()

    async def story(world: Scheme) -> None:
        asked = bulk_on(await terms_of(world, 1))
        path = f"/bulkTransfers/{asked['bulkTransferId']}"
        assert await world.hub_passes_on("POST", "/bulkTransfers", asked) == 202
        await core.is_asked.wait()
        (item,) = asked["individualTransfers"]
        same = {name: asked[name] for name in ("payerFsp", "payeeFsp", "expiration")}
        same |= {name: item[name] for name in ("transferId", "ilpPacket", "condition")}
        same |= {"amount": item["transferAmount"]}
        assert await world.straight("POST", "/transfers", same, "blue") == 400
        assert item["transferId"] not in world.connector._payee._rounds
        core.may.set()
        await world.until("PUT", path)
        assert await world.straight("POST", "/transfers", same, "blue") == 400
        assert world.count("PUT", "/transfers") == 0

    tell(tmp_path, story, core)


def test_a_bulk_that_the_hub_itself_writes_is_the_payers(tmp_path: Path) -> None:
    """So a hub sends a bulk of which it has refused some items. Mojaloop's hub sends every bulk so."""
    core = Core()

    async def story(world: Scheme) -> None:
        given = await terms_of(world, 3)
        asked = bulk_on(given[:2])  # without the third
        path = f"/bulkTransfers/{asked['bulkTransferId']}"
        assert await world.straight("POST", "/bulkTransfers", asked, "red") == 400
        assert await world.hub_says("POST", "/bulkTransfers", asked) == 202
        await world.until("PUT", path)
        (told,) = world.bodies("PUT", path)
        items = [item["transferId"] for item in asked["individualTransfers"]]
        assert [each.transfer_id for each in core.reserved] == items
        assert await world.hub_says("POST", "/bulkTransfers", asked) == 202  # again
        assert await world.hub_says("PUT", path, told) == 200
        await until(lambda: sorted(core.credited) == sorted(items))
        assert (len(core.reserved), core.released) == (2, [])
        of_red = bulk_on(given[2:], payerFsp="red")  # the terms were given to blue
        assert await world.hub_says("POST", "/bulkTransfers", of_red) == 202
        await world.until("PUT", f"/bulkTransfers/{of_red['bulkTransferId']}")
        (refused,) = world.bodies("PUT", f"/bulkTransfers/{of_red['bulkTransferId']}")
        assert refused["bulkTransferState"] == "REJECTED"

    tell(tmp_path, story, core)


def test_the_hubs_report_about_a_bulk_that_was_rejected_and_not_stored_is_accepted(tmp_path: Path) -> None:
    """A hub reports the end of each bulk. If the connector refused the report, the hub would repeat it in vain."""

    async def story(world: Scheme) -> None:
        asked = bulk_on([(await terms_of(world, 1))[0] | {"condition": CONDITION}])
        path = f"/bulkTransfers/{asked['bulkTransferId']}"
        assert await world.hub_passes_on("POST", "/bulkTransfers", asked) == 202
        await world.until("PUT", path)
        (rejected,) = world.bodies("PUT", path)
        assert await world.hub_says("PUT", path, rejected) == 200
        assert await world.hub_says("PUT", path + "/error", error("3303")) == 200
        assert await world.hub_passes_on("PUT", path, rejected) == 400
        (item,) = asked["individualTransfers"]
        paid = {"transferId": item["transferId"], "fulfilment": FULFILMENT}
        completed = {"bulkTransferState": "COMPLETED", "individualTransferResults": [paid]}
        assert await world.hub_says("PUT", path, completed) == 400
        assert rows_of(world.connector, "SELECT * FROM incoming") == []

    tell(tmp_path, story, Core())
