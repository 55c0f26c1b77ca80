"""The core is told each end, once it is durable, until it has it."""

import asyncio
import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from fspiop import bodies
from fspiop.bodies.common import Money
from fspiop.bodies.fx_transfers import FxTransferPost, FxTransferPut
from hub.local.net import free_port
from kitovu_connector import ConfigError, Connector, PaymentEnded, TransferEnded, event_messages, event_records
from kitovu_connector.bulk_transactions import BulkTransaction, Progress
from kitovu_connector.front_end_conversion_and_bulk_states import Sent, Submission
from kitovu_connector.fxp import Conversion, ConversionEnd, ConversionState
from kitovu_connector.incoming_bulk_records import BulkState, IncomingBulk
from kitovu_connector.payment_and_quote_records import Store
from kitovu_connector.payment_order import PartyRef
from kitovu_connector.record_store import Records
from kitovu_connector.request_to_pay_records import RequestMade, RequestOrder, RequestState
from tests.connector.hub_stub import Core, Scheme, config_of, quote, rows_of, scheme, told, transfer
from tests.keys import CONDITION, FULFILMENT

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class Receiver:
    """A core's address for events. `status` is what it answers."""

    def __init__(self) -> None:
        self.port, self.status = free_port(), 200
        self.got: list[tuple[dict[str, str], bytes]] = []

    async def take(self, request: web.Request) -> web.Response:
        self.got.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.Response(status=self.status)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]

    async def until(self, times: int) -> None:
        for _ in range(300):
            if len(self.got) >= times:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(self.got)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/events", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", found.port).start()
    try:
        yield found
    finally:
        await runner.cleanup()


def tell(folder: Path, story: Callable[[Scheme, Receiver], Awaitable[None]]) -> None:
    async def run() -> None:
        async with (
            receiver() as core,
            scheme(folder, "pinned", webhook_url=core.url, webhook_secret=SECRET) as world,
        ):
            await story(world, core)

    asyncio.run(run())


async def committed(world: Scheme, home_id: str = "P1") -> str:
    payment = await world.pay(home_id)
    assert await world.hub_says("PUT", f"/transfers/{payment.transfer_id}", told("COMMITTED")) == 200
    await world.ended(home_id)
    return payment.transfer_id


def test_the_end_of_a_payment_is_told_with_a_signature_of_the_standard(tmp_path: Path) -> None:
    async def story(world: Scheme, core: Receiver) -> None:
        transfer_id = await committed(world)
        await core.until(1)
        headers, body = core.got[0]
        event = json.loads(body)
        assert (event["type"], event["id"]) == ("payment.ended", f"payment.ended/{transfer_id}")
        assert (event["data"]["homeTransactionId"], event["data"]["state"]) == ("P1", "COMMITTED")
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert (headers["webhook-id"], headers["webhook-signature"]) == (event["id"], f"v1,{digest}")
        await asyncio.sleep(1.0)
        assert len(core.got) == 1  # once it is taken, it is not sent again

    tell(tmp_path, story)


def test_what_the_core_does_not_take_is_sent_again_also_after_a_restart(tmp_path: Path) -> None:
    async def story(world: Scheme, core: Receiver) -> None:
        core.status = 503
        await committed(world)
        await core.until(2)
        await world.stop()
        core.status, before = 200, len(core.got)
        await world.start()
        await core.until(before + 1)
        assert {event["id"] for event in core.events()} == {core.events()[0]["id"]}
        await asyncio.sleep(1.0)
        assert len(core.got) == before + 1

    tell(tmp_path, story)


def test_one_event_that_is_not_taken_keeps_no_other_back(tmp_path: Path) -> None:
    async def story(world: Scheme, core: Receiver) -> None:
        core.status = 500
        await committed(world, "P1")
        await core.until(1)
        first = core.events()[0]["id"]

        async def take(request: web.Request) -> web.Response:
            body = await request.read()
            core.got.append(({}, body))
            return web.Response(status=500 if json.loads(body)["id"] == first else 200)

        core.take = take  # type: ignore[method-assign]
        core.status = 200
        await committed(world, "P2")
        for _ in range(200):
            if any(event["data"]["homeTransactionId"] == "P2" for event in core.events()):
                return
            await asyncio.sleep(0.02)
        raise AssertionError(core.events())

    tell(tmp_path, story)


def test_the_end_of_an_incoming_transfer_is_told(tmp_path: Path) -> None:
    async def story(world: Scheme, core: Receiver) -> None:
        for end in ("COMMITTED", "ABORTED"):
            wanted = quote()
            assert await world.hub_passes_on("POST", "/quotes", wanted) == 202
            await world.until("PUT", f"/quotes/{wanted['quoteId']}")
            sent = transfer(world.bodies("PUT", f"/quotes/{wanted['quoteId']}")[0])
            assert await world.hub_passes_on("POST", "/transfers", sent) == 202
            await world.until("PUT", f"/transfers/{sent['transferId']}")
            path = f"/transfers/{sent['transferId']}"
            body = {"transferState": end, "completedTimestamp": "2026-01-01T00:00:00.000Z"}
            assert await world.hub_says("PATCH", path, body) == 200
        await core.until(2)
        assert {(event["type"], event["data"]["state"]) for event in core.events()} == {
            ("transfer.ended", "COMMITTED"),
            ("transfer.ended", "ABORTED"),
        }
        assert {event["data"]["otherFsp"] for event in core.events()} == {"blue"}

    tell(tmp_path, story)


def test_handlers_in_the_same_process_are_told_too_and_again_if_they_fail(tmp_path: Path) -> None:
    async def run() -> None:
        async with scheme(tmp_path, "pinned") as world:
            await world.stop()
            got: list[str] = []
            world.connector = Connector(world.config, Core())

            async def ended(event: PaymentEnded) -> None:
                got.append(event.data.home_transaction_id)
                if len(got) == 1:
                    raise OSError("the database is away")

            async def never(event: TransferEnded) -> None:
                raise AssertionError(event)

            world.connector.on_payment_ended(ended)
            world.connector.on_transfer_ended(never)
            await world.connector.__aenter__()
            await committed(world)
            for _ in range(200):
                if len(got) == 2:
                    break
                await asyncio.sleep(0.02)
            assert got == ["P1", "P1"]

    asyncio.run(run())


def test_an_event_that_nobody_wants_is_not_stored(tmp_path: Path) -> None:
    async def run() -> None:
        async with scheme(tmp_path, "pinned") as world:
            await committed(world)
            assert rows_of(world.connector, "SELECT * FROM exchange WHERE kind = 'event'") == []

    asyncio.run(run())


def test_a_handler_that_hangs_is_cut_off_and_keeps_no_other_event_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with scheme(tmp_path, "pinned", request_s=0.5) as world:
            await world.stop()
            got: list[str] = []
            world.connector = Connector(world.config, Core())

            async def ended(event: PaymentEnded) -> None:
                got.append(event.data.home_transaction_id)
                if got == ["P1"]:
                    await asyncio.Event().wait()

            world.connector.on_payment_ended(ended)
            await world.connector.__aenter__()
            await committed(world, "P1")
            await committed(world, "P2")
            for _ in range(200):
                if {"P1", "P2"} <= set(got[1:]):
                    return
                await asyncio.sleep(0.02)
            raise AssertionError(got)

    asyncio.run(run())


# --- every kind of end ------------------------------------------------------------------------------------------------


def _request(state: RequestState, answer: str | None = None) -> RequestMade:
    party = PartyRef(id_type="MSISDN", id_value="1", fsp_id="blue", name="Baraka")
    order = RequestOrder(
        home_id="R1", payer=party, payee=party, amount=1, currency="TZS", amount_type="SEND", scenario="PAYMENT"
    )
    return RequestMade(id="r", order=order, digest=b"", created_at=0, state=state, payer=party, answer=answer)


_CONVERSION = bodies.write(
    FxTransferPost(
        commit_request_id=str(uuid.uuid4()),
        determining_transfer_id=str(uuid.uuid4()),
        initiating_fsp="green",
        counter_party_fsp="fxp",
        source_amount=Money(currency="TZS", amount="100"),
        target_amount=Money(currency="KES", amount="5"),
        condition=CONDITION,
    )
)


def _sent(resource: str, state: Sent, outcome: bytes = b"") -> Submission:
    return Submission(
        id="s",
        resource=resource,
        body=_CONVERSION,
        digest=b"",
        destination="blue",
        expires_at=0,
        conditions={},
        created_at=0,
        state=state,
        outcome=outcome,
        error_code="5000" if state is Sent.FAILED else None,
    )


def _received(state: ConversionState, end: str) -> Conversion:
    ended = ConversionEnd(state=end, completed_at=None, was_pushed=True)
    return Conversion(id="c", source="green", body=_CONVERSION, digest=b"", expires_at=0, state=state, end=ended)


_COMMITTED = bodies.write(FxTransferPut(conversion_state="COMMITTED", fulfilment=FULFILMENT))
_RESERVED = bodies.write(FxTransferPut(conversion_state="RESERVED", fulfilment=FULFILMENT))
_BULK = BulkTransaction(id="b", home_id="B1", digest=b"", asked=b"{}", orders=())
ENDS: list[tuple[str, Any, str | None, str]] = [
    ("request_to_pay_made", _request(RequestState.ASKED), None, ""),
    ("request_to_pay_made", _request(RequestState.ANSWERED, "REJECTED"), "request.answered", "REJECTED"),
    ("request_to_pay_made", _request(RequestState.FAILED), "request.failed", "blue"),
    ("bulk_transaction", _BULK, None, ""),
    ("bulk_transaction", msgspec.structs.replace(_BULK, state=Progress.ENDED), "bulk.ended", "B1"),
    ("bulkTransfers", _sent("bulkTransfers", Sent.ACCEPTED), None, ""),
    ("bulkTransfers", _sent("bulkTransfers", Sent.FAILED), "bulk.ended", "5000"),
    (
        "bulk_received",
        IncomingBulk(id="i", payer_fsp="blue", body=b"", digest=b"", state=BulkState.ENDED),
        "bulk.ended",
        '"IN"',
    ),
    ("fxTransfers", _sent("fxTransfers", Sent.ACCEPTED, _RESERVED), None, ""),  # the FXP's promise is no end
    ("fxTransfers", _sent("fxTransfers", Sent.DONE, _COMMITTED), "conversion.ended", "COMMITTED"),
    ("fxTransfers", _sent("fxTransfers", Sent.FAILED), "conversion.ended", "ABORTED"),
    ("conversion_received", _received(ConversionState.RESERVED, "COMMITTED"), None, ""),
    ("conversion_received", _received(ConversionState.ENDED, "COMMITTED"), "conversion.ended", "COMMITTED"),
    ("conversion_received", _received(ConversionState.ENDED, "ABORTED"), "conversion.ended", '"FXP"'),
    ("conversion_offer", object(), None, ""),
]


@pytest.mark.parametrize(("kind", "record", "event", "text"), ENDS)
def test_each_kind_of_end_is_an_event_of_its_type(kind: str, record: Any, event: str | None, text: str) -> None:
    found = event_records.describe(kind, record)
    if event is None:
        assert found is None
        return
    assert found is not None
    assert isinstance(event_messages.read(found.body), event_messages.KINDS[event])
    assert text in found.body.decode()


def test_the_event_is_stored_with_the_change_that_it_reports_or_not_at_all(tmp_path: Path) -> None:
    async def main() -> None:
        config = config_of(tmp_path, "nothing")
        store = Store(config.state)
        store.database.describe = event_records.describe
        made: Records[RequestMade] = Records(store.database, "request_to_pay_made", RequestMade)
        events = Records(store.database, "event", event_records.EventRecord)
        before = _request(RequestState.ASKED)
        await made.add(before)
        after = _request(RequestState.ANSWERED, "RECEIVED")
        assert await made.save(before, after)
        assert not await made.save(before, _request(RequestState.FAILED))  # another task was first
        assert [event.id for _, event in await events.oldest_open(10)] == ["request.answered/r/RECEIVED"]
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("secret", ["", "whsec_AAAA", "a secret of many characters, but of another form"])
def test_a_secret_of_another_form_is_refused_at_the_start(tmp_path: Path, secret: str) -> None:
    async def main() -> None:
        known = {"webhook_url": "http://127.0.0.1:9/", "webhook_secret": secret}
        async with Connector(replace(config_of(tmp_path, "nothing"), **known), Core()):
            raise AssertionError

    with pytest.raises(ConfigError, match="webhook"):
        asyncio.run(main())
