"""The hub reports COMMITTED by PUT /fxTransfers: to the FXP that asks, to a payer, and to a front end."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from hub.local.net import free_port
from kitovu_connector import payment_conversion
from kitovu_connector.event_messages import Event
from kitovu_connector.hub_and_dfsp_books import AtHub, compare_books, read_connector
from kitovu_connector.hub_api import Line
from kitovu_connector.payment_record import State
from kitovu_connector.reconciliation_differences import Result
from kitovu_connector.running_connector_client import CoreRequests
from tests.connector.hub_stub import Core, Scheme, scheme
from tests.connector.test_agreement_trust import ORDER, offered, state
from tests.connector.test_hostile_dfsp import Fxp, conversion, until
from tests.keys import CONDITION, FULFILMENT, OTHER_FULFILMENT

COMMITTED = {"conversionState": "COMMITTED", "fulfilment": FULFILMENT, "completedTimestamp": "2026-01-02T03:04:05.678Z"}


def tell(
    folder: Path,
    story: Callable[[Scheme, list[Event]], Awaitable[None]],
    core: Core | None = None,
    proof: str = "signatures",
    **more: Any,
) -> None:
    async def run() -> None:
        events: list[Event] = []

        async def note(event: Event) -> None:
            events.append(event)

        async with scheme(folder, proof, **more) as world:
            await world.stop()
            world.core = core or world.core
            world.handlers.append(note)
            await world.start()
            await story(world, events)

    asyncio.run(run())


async def read(world: Scheme, path: str) -> dict[str, Any]:
    """What green's core reads."""
    url = f"http://127.0.0.1:{world.config.outbound_port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def listed(world: Scheme) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await read(world, "/conversions"))["conversions"]
    return found


def test_an_fxp_that_missed_the_report_and_asks_is_told_committed_by_the_hub_alone(tmp_path: Path) -> None:
    core = Fxp()

    async def story(world: Scheme, events: list[Event]) -> None:
        wanted = await conversion(world)
        commit_id = wanted["commitRequestId"]
        path = f"/fxTransfers/{commit_id}"
        assert await world.hub_passes_on("POST", "/fxTransfers", wanted) == 202
        await world.until("PUT", path)
        await world.until("GET", path)  # the report did not come
        for source in ("blue", "red"):
            assert await world.straight("PUT", path, COMMITTED, source) == 400
        assert core.ended == []
        own = COMMITTED | {"fulfilment": world.bodies("PUT", path)[0]["fulfilment"]}
        for _ in range(2):
            assert await world.hub_says("PUT", path, own) == 200
        await until(lambda: core.ended == [(commit_id, "COMMITTED")])
        await until(lambda: events)
        told: Any = events[0].data
        assert (told.role, told.state, told.commit_request_id) == ("FXP", "COMMITTED", commit_id)
        (line,) = await listed(world)
        assert (line["role"], line["state"], line["createdDate"] <= line["changedDate"]) == ("FXP", "COMMITTED", True)

    tell(tmp_path, story, core, callback_s=0.2)


@pytest.mark.parametrize(("fulfilment", "is_believed"), [(FULFILMENT, True), (OTHER_FULFILMENT, False), (None, False)])
def test_a_payer_sends_the_transfer_after_committed_with_the_right_fulfilment(
    tmp_path: Path, fulfilment: str | None, is_believed: bool
) -> None:
    async def story(world: Scheme, _: list[Event]) -> None:
        await world.connector._payer.send(ORDER)
        assert await world.hub_says("PUT", "/services/FXP/TZS/KES", {"providers": ["blue"]}) == 200
        payment = await state(world, State.FX_QUOTE)
        path = f"/fxQuotes/{payment_conversion.request_id(payment)}"
        assert await world.hub_passes_on("PUT", path, offered(payment)) == 200
        payment = await state(world, State.FX_TRANSFER)
        told = {name: value for name, value in (COMMITTED | {"fulfilment": fulfilment}).items() if value is not None}
        answer = await world.hub_says("PUT", f"/fxTransfers/{payment_conversion.commit_id(payment)}", told)
        assert answer == (200 if is_believed else 400)
        if is_believed:
            await world.until("POST", "/transfers")
        else:
            await asyncio.sleep(0.1)
            assert (world.count("POST", "/transfers"), world.payment().state) == (0, State.FX_TRANSFER)

    tell(tmp_path, story)


def test_a_converted_payment_is_listed_in_the_currency_of_its_transfer_and_equals_the_hubs_books(
    tmp_path: Path,
) -> None:
    """The payer sends 100 TZS, the FXP pays 200 KES: the transfer, and so the hub's line, is 200 KES."""

    async def story(world: Scheme, events: list[Event]) -> None:
        await world.connector._payer.send(msgspec.structs.replace(ORDER, needs_confirmation=True))
        assert await world.hub_says("PUT", "/services/FXP/TZS/KES", {"providers": ["blue"]}) == 200
        payment = await state(world, State.FX_QUOTE)
        (line,) = (await read(world, "/payments"))["payments"]
        assert (line["amount"], line["currency"]) == ("100", "TZS")
        path = f"/fxQuotes/{payment_conversion.request_id(payment)}"
        assert await world.hub_passes_on("PUT", path, offered(payment)) == 200
        payment = await state(world, State.AGREED)
        shown = await read(world, "/payments/P1")
        assert (shown["transferAmount"], shown["currency"]) == ("200", "KES")
        assert (shown["conversion"]["sourceAmount"], shown["conversion"]["sourceCurrency"]) == ("100", "TZS")
        await world.connector._payer.confirm("P1")
        path = f"/fxTransfers/{payment_conversion.commit_id(await state(world, State.FX_TRANSFER))}"
        assert await world.hub_passes_on("PUT", path, {"conversionState": "RESERVED", "fulfilment": FULFILMENT}) == 200
        await world.until("POST", "/transfers")
        (sent,) = world.bodies("POST", "/transfers")
        assert sent["amount"] == {"amount": "200", "currency": "KES"}
        path = f"/transfers/{sent['transferId']}"
        assert await world.hub_says("PUT", path, world.tells("COMMITTED")) == 200
        (line,) = (await read(world, "/payments"))["payments"]
        assert (line["amount"], line["currency"], line["state"]) == ("200", "KES", "COMMITTED")
        at_hub = AtHub()
        at_hub.transfers[sent["transferId"], "OUT"] = Line(
            transfer_id=sent["transferId"],
            direction="OUT",
            payer_fsp="green",
            payee_fsp="blue",
            state="COMMITTED",
            is_converted=True,
            received_date=line["createdDate"],
            **sent["amount"],
        )
        async with CoreRequests(world.config) as core:
            here = await read_connector(core, begin="2020-01-01T00:00:00.000Z")
        ever = {"since": "2020-01-01T00:00:00.000Z", "until": "2099-01-01T00:00:00.000Z"}
        books = compare_books(at_hub, here, None, begin=ever["since"], **ever)
        assert [compared.result for compared in books.transfers] == [Result.EQUAL]
        await until(lambda: events)
        told: Any = events[0].data
        assert (told.transfer_amount, told.currency) == ("200", "KES")

    tell(tmp_path, story)


def test_a_quote_of_a_payment_that_is_converted_waits_for_the_payees_terms(tmp_path: Path) -> None:
    async def story(world: Scheme, _: list[Event]) -> None:
        quoting = asyncio.create_task(world.connector.quote(ORDER))
        await world.until("GET", "/services")
        assert await world.hub_says("PUT", "/services/FXP/TZS/KES", {"providers": ["blue"]}) == 200
        payment = await state(world, State.FX_QUOTE)
        await asyncio.sleep(0.1)
        assert not quoting.done()
        path = f"/fxQuotes/{payment_conversion.request_id(payment)}"
        assert await world.hub_passes_on("PUT", path, offered(payment)) == 200
        agreed = await quoting
        assert (agreed.state, agreed.transfer_amount) == (State.AGREED, 2_000_000)

    tell(tmp_path, story)


def conversion_of_front_end() -> dict[str, Any]:
    """POST /fxTransfers, by green's front end, which has agreed with blue on these terms."""
    return {
        "homeTransactionId": "h",
        "commitRequestId": str(uuid.uuid4()),
        "determiningTransferId": str(uuid.uuid4()),
        "initiatingFsp": "green",
        "counterPartyFsp": "blue",
        "sourceAmount": {"currency": "TZS", "amount": "50"},
        "targetAmount": {"currency": "KES", "amount": "100"},
        "condition": CONDITION,
    }


ABORTED = {"conversionState": "ABORTED", "extensionList": {"extension": [{"key": "cause", "value": "2001: no"}]}}


@pytest.mark.parametrize(("end", "wanted"), [(COMMITTED, "COMMITTED"), (ABORTED, "ABORTED")])
def test_a_front_ends_conversion_ends_only_when_the_hub_reports_its_end(
    tmp_path: Path, end: dict[str, Any], wanted: str
) -> None:
    """The front end gets the FXP's promise at once. An FXP may promise with the word COMMITTED, too."""

    async def story(world: Scheme, events: list[Event]) -> None:
        body = conversion_of_front_end()
        url = f"http://127.0.0.1:{world.config.reference_port}/fxTransfers"
        path = f"/fxTransfers/{body['commitRequestId']}"
        async with aiohttp.ClientSession() as session:
            calling = asyncio.create_task(session.post(url, json=body).__aenter__())
            await world.until("POST", "/fxTransfers")
            reserved = {"conversionState": "RESERVED", "fulfilment": FULFILMENT}
            assert await world.hub_passes_on("PUT", path, reserved) == 200
            answer = await calling
            assert (answer.status, (await answer.json())["conversionState"]) == (200, "RESERVED")
            assert await world.hub_passes_on("PUT", path, COMMITTED) == 200
            await world.until("GET", path)
            assert [line["state"] for line in await listed(world)] == ["RESERVED"]
            await world.stop()
            await world.start()
            await world.until("GET", path, world.count("GET", path) + 1)
            assert events == []
            assert await world.hub_says("PUT", path, end) == 200
            await until(lambda: events)
            assert [line["state"] for line in await listed(world)] == [wanted]
            again = await session.post(url, json=body)
            assert again.status == (200 if wanted == "COMMITTED" else 500)
        told: Any = events[0].data
        assert (len(events), told.role, told.state) == (1, "INITIATOR", wanted)
        assert world.count("POST", "/fxTransfers") == 1

    tell(tmp_path, story, proof="pinned", reference_api=True, reference_port=free_port(), callback_s=0.3)


def test_a_front_ends_conversion_is_done_by_committed_with_the_right_fulfilment(tmp_path: Path) -> None:
    async def story(world: Scheme, events: list[Event]) -> None:
        wanted = conversion_of_front_end()
        url = f"http://127.0.0.1:{world.config.reference_port}/fxTransfers"
        path = f"/fxTransfers/{wanted['commitRequestId']}"
        async with aiohttp.ClientSession() as session:
            calling = asyncio.create_task(session.post(url, json=wanted).__aenter__())
            await world.until("POST", "/fxTransfers")
            without = {name: value for name, value in COMMITTED.items() if name != "fulfilment"}
            assert await world.hub_says("PUT", path, COMMITTED | {"fulfilment": OTHER_FULFILMENT}) == 400
            assert await world.straight("PUT", path, COMMITTED, "blue") == 200  # only a claim, so the hub is asked
            await world.until("GET", path)
            assert await world.hub_says("PUT", path, without) == 200  # it proves nothing
            await asyncio.sleep(0.1)
            assert not calling.done()
            assert await world.hub_says("PUT", path, COMMITTED) == 200
            answer = await calling
            assert (answer.status, (await answer.json())["conversionState"]) == (200, "COMMITTED")
        await until(lambda: events)
        told: Any = events[0].data
        assert (told.role, told.state) == ("INITIATOR", "COMMITTED")
        (line,) = await listed(world)
        assert (line["role"], line["state"]) == ("INITIATOR", "COMMITTED")

    tell(tmp_path, story, reference_api=True, reference_port=free_port())
