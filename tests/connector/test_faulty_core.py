"""A core in Python that hangs, raises or answers nonsense: each call ends in an answer or is made again."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fspiop import strictjson
from fspiop.bodies.bulk_quotes import BulkQuotePost
from fspiop.bodies.bulk_transfers import BulkTransferPost
from fspiop.bodies.fx_quotes import FxConversion, FxQuotePost
from fspiop.bodies.fx_transfers import FxTransferPost
from fspiop.bodies.transaction_requests import TransactionRequestPost, TransactionRequestPut
from fspiop.time import format_datetime
from kitovu_connector.backend import IncomingMoney, PartyDetails, Terms, TermsWanted
from kitovu_connector.bulk_payee import BulkPayee
from kitovu_connector.bulk_transactions import BulkTransaction
from kitovu_connector.core_errors import Refused
from kitovu_connector.fxp import ConversionEnd, Fxp
from kitovu_connector.payee import Payee
from kitovu_connector.payment_and_quote_records import Incoming
from kitovu_connector.payment_order import Order, PartyRef
from kitovu_connector.payment_record import Payment
from kitovu_connector.request_to_pay_records import RequestMade, RequestOrder, RequestState
from tests.connector.hub_stub import PAYEE, Core, Scheme, quote, rows_of, scheme, told, transfer

FAULTS = ("raises", "cancels itself", "hangs", "ignores that it is cut off", "answers nonsense")


class Nonsense:
    """What no call of a core may return."""


@dataclass
class Everything(Core):
    """A core that offers everything. Each call has the fault the first time, and succeeds afterwards."""

    fault: str
    always: frozenset[str] = frozenset()  # the calls that have the fault each time
    calls: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    async def _fail(self, call: str) -> Any:
        self.calls.append(call)
        if call not in self.always and self.calls.count(call) > 1:
            return None
        if self.fault == "raises":
            raise KeyError("255712001001")
        if self.fault == "cancels itself":
            raise asyncio.CancelledError
        if self.fault == "hangs":
            await asyncio.Event().wait()
        ends_at = time.monotonic() + 2.5
        while self.fault == "ignores that it is cut off" and time.monotonic() < ends_at:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(ends_at - time.monotonic())
        return Nonsense()

    async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        if id_value == "1":
            return await self._fail("find_party")
        return PartyDetails("Asha")

    async def find_owner(self, id_type: str, id_value: str, sub_id: str | None) -> str | None:
        return await self._fail("find_owner")

    async def give_terms(self, wanted: TermsWanted) -> Terms:
        return await self._fail("give_terms") or Terms(receive_amount=wanted.amount)

    async def reserve(self, incoming: IncomingMoney) -> None:
        if incoming.is_repeated:
            self.repeated.append("reserve")
        await self._fail("reserve")

    async def commit(self, incoming: IncomingMoney) -> None:
        await self._fail("commit")
        await super().commit(incoming)

    async def release(self, transfer_id: str) -> None:
        await self._fail("release")
        await super().release(transfer_id)

    async def take_request(self, asked: TransactionRequestPost, payee_fsp: str) -> TransactionRequestPut:
        return await self._fail("take_request")

    async def give_password(self, transaction_request_id: str) -> str:
        return await self._fail("give_password")

    async def request_told(self, transaction_request_id: str, home_id: str, state: str) -> None:
        await self._fail("request_told")

    async def give_bulk_terms(
        self, bulk: BulkQuotePost, wanted: Sequence[TermsWanted], *, is_repeated: bool
    ) -> list[Terms | Refused]:
        return await self._fail("give_bulk_terms") or [Terms(receive_amount=one.amount) for one in wanted]

    async def reserve_bulk(
        self, bulk: BulkTransferPost, incoming: Sequence[IncomingMoney], *, is_repeated: bool
    ) -> list[Refused | None]:
        if is_repeated:
            self.repeated.append("reserve_bulk")
        found = await self._fail("reserve_bulk")
        return [found for _ in incoming]

    async def give_conversion_terms(self, asked: FxQuotePost) -> FxConversion:
        found = asked.conversion_terms
        target = msgspec.structs.replace(found.target_amount, amount="1")
        return await self._fail("give_conversion_terms") or msgspec.structs.replace(found, target_amount=target)

    async def reserve_conversion(self, asked: FxTransferPost, *, is_repeated: bool) -> None:
        if is_repeated:
            self.repeated.append("reserve_conversion")
        await self._fail("reserve_conversion")

    async def end_conversion(self, commit_request_id: str, end: ConversionEnd) -> None:
        await self._fail("end_conversion")

    async def bulk_told(self, bulk: BulkTransaction, payments: list[Payment]) -> None:
        await self._fail("bulk_told")


def tell(folder: Path, core: Core, story: Callable[[Scheme], Awaitable[None]], **more: Any) -> None:
    async def run() -> None:
        async with scheme(folder, "nothing", request_s=1.0, **more) as world:
            await world.stop()
            world.core = core
            await world.start()
            await story(world)

    asyncio.run(run())


def later(seconds: float = 20) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds))


def made(state: RequestState, **more: Any) -> RequestMade:
    """A request to pay of green, to a customer of blue's."""
    party = PartyRef(id_type="MSISDN", id_value="1", fsp_id="blue")
    order = RequestOrder(
        home_id=str(uuid.uuid4()),
        payer=party,
        payee=party,
        amount=1,
        currency="TZS",
        amount_type="SEND",
        scenario="PAYMENT",
    )
    return RequestMade(id=str(uuid.uuid4()), order=order, digest=b"", created_at=0.0, state=state, payer=party, **more)


def request_to_pay() -> dict[str, Any]:
    asked = quote()
    return {
        "transactionRequestId": str(uuid.uuid4()),
        "payee": asked["payer"],
        "payer": asked["payee"]["partyIdInfo"],
        "amount": asked["amount"],
        "transactionType": asked["transactionType"],
    }


def bulk_quote() -> dict[str, Any]:
    asked = quote()
    item = {name: value for name, value in asked.items() if name != "payer"}
    return {"bulkQuoteId": str(uuid.uuid4()), "payer": asked["payer"], "individualQuotes": [item]}


def bulk_transfer(offered: dict[str, Any], **changes: Any) -> dict[str, Any]:
    (result,) = offered["individualQuoteResults"]
    item = {"transferId": str(uuid.uuid4()), "transferAmount": result["transferAmount"]}
    item |= {name: result[name] for name in ("ilpPacket", "condition")}
    return {
        "bulkTransferId": str(uuid.uuid4()),
        "bulkQuoteId": str(uuid.uuid4()),
        "payerFsp": "blue",
        "payeeFsp": "green",
        "expiration": later(),
        "individualTransfers": [item],
    } | changes


def conversion_quote() -> dict[str, Any]:
    terms = {
        "conversionId": str(uuid.uuid4()),
        "determiningTransferId": str(uuid.uuid4()),
        "initiatingFsp": "blue",
        "counterPartyFsp": "green",
        "amountType": "SEND",
        "sourceAmount": {"currency": "TZS", "amount": "5"},
        "targetAmount": {"currency": "KES"},
        "expiration": later(60),
    }
    return {"conversionRequestId": str(uuid.uuid4()), "conversionTerms": terms}


def conversion(offered: dict[str, Any]) -> dict[str, Any]:
    terms = offered["conversionTerms"]
    names = ("determiningTransferId", "initiatingFsp", "counterPartyFsp", "sourceAmount", "targetAmount")
    found = {name: terms[name] for name in names}
    return found | {"commitRequestId": str(uuid.uuid4()), "condition": offered["condition"], "expiration": later()}


async def until(holds: Callable[[], Any], seconds: float = 8.0) -> None:
    for _ in range(int(seconds * 50)):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came so")


# --- questions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_the_other_side_gets_an_error_at_once_for_whatever_the_core_does(tmp_path: Path, fault: str) -> None:
    """Before, nonsense of take_request and of give_bulk_terms left the other side without an answer."""
    questions = ("find_party", "find_owner", "give_terms", "take_request", "give_password", "give_bulk_terms")
    core = Everything(fault, frozenset({*questions, "give_conversion_terms"}))

    async def story(world: Scheme) -> None:
        asked, request, bulk, fx = quote(), request_to_pay(), bulk_quote(), conversion_quote()
        own = made(RequestState.ANSWERED)
        await world.connector._requests._made.add(own)
        query = "?authenticationType=OTP&retriesLeft=1&amount=1&currency=TZS"
        sent = (
            ("GET", "/parties/MSISDN/1", None),
            ("GET", "/participants/MSISDN/2", None),
            ("POST", "/quotes", asked),
            ("POST", "/transactionRequests", request),
            ("GET", f"/authorizations/{own.id}{query}", None),
            ("POST", "/bulkQuotes", bulk),
            ("POST", "/fxQuotes", fx),
        )
        statuses = await asyncio.gather(*(world.hub_passes_on(*one) for one in sent))
        assert statuses == [202] * len(sent)
        errors = (
            "/parties/MSISDN/1/error",
            "/participants/MSISDN/2/error",
            f"/quotes/{asked['quoteId']}/error",
            f"/transactionRequests/{request['transactionRequestId']}/error",
            f"/authorizations/{own.id}/error",
            f"/fxQuotes/{fx['conversionRequestId']}/error",
        )
        for path in errors:
            await world.until("PUT", path)
            (body,) = world.bodies("PUT", path)
            code = body["errorInformation"]["errorCode"]
            assert code == ("2001" if fault in ("raises", "answers nonsense") else "1001"), path
        # The terms of a bulk are refused together or one by one.
        path = f"/bulkQuotes/{bulk['bulkQuoteId']}"
        await world.until("PUT", path)
        ((_, _, body),) = [found for found in world.asked if found[1].startswith(path)]
        one = body if "errorInformation" in body else body["individualQuoteResults"][0]
        assert one["errorInformation"]["errorCode"] in ("1001", "2001")

    tell(tmp_path, core, story)


@pytest.mark.parametrize("expires_at", [float("inf"), float("nan"), 1e15, 0.0])
def test_terms_without_a_possible_expiration_are_refused_at_once(tmp_path: Path, expires_at: float) -> None:
    """Before, such a quote got no answer, and the core was asked for its terms again after each restart."""

    class Endless(Core):
        async def give_terms(self, wanted: TermsWanted) -> Terms:
            return Terms(receive_amount=wanted.amount, expires_at=expires_at)

    async def story(world: Scheme) -> None:
        asked, bulk = quote(), bulk_quote()
        assert await world.hub_passes_on("POST", "/quotes", asked) == 202
        assert await world.hub_passes_on("POST", "/bulkQuotes", bulk) == 202
        await world.until("PUT", f"/quotes/{asked['quoteId']}/error")
        await world.until("PUT", f"/bulkQuotes/{bulk['bulkQuoteId']}")
        (told_of,) = world.bodies("PUT", f"/quotes/{asked['quoteId']}/error")
        (results,) = world.bodies("PUT", f"/bulkQuotes/{bulk['bulkQuoteId']}")
        for found in (told_of, results["individualQuoteResults"][0]):
            assert found["errorInformation"]["errorCode"] == "2001"

    tell(tmp_path, Endless(), story)


# --- what must be done ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS[:-1])
def test_what_the_core_must_do_is_asked_again_until_it_is_done(tmp_path: Path, fault: str) -> None:
    """Before, a core that hung once in any of these calls was never asked again."""
    once = ("commit", "release", "reserve", "request_told", "reserve_conversion", "end_conversion", "bulk_told")
    core = Everything(fault)
    core.calls += ["give_terms", "give_conversion_terms"]  # these succeed

    async def incoming(world: Scheme, state: str) -> None:
        asked = quote()
        assert await world.hub_passes_on("POST", "/quotes", asked) == 202
        await world.until("PUT", f"/quotes/{asked['quoteId']}")
        body = transfer(world.bodies("PUT", f"/quotes/{asked['quoteId']}")[0])
        assert await world.hub_passes_on("POST", "/transfers", body) == 202
        path = f"/transfers/{body['transferId']}"
        await world.until("PUT", path)
        assert await world.hub_says("PATCH", path, told(state)) == 200

    async def converted(world: Scheme) -> None:
        asked = conversion_quote()
        assert await world.hub_passes_on("POST", "/fxQuotes", asked) == 202
        path = f"/fxQuotes/{asked['conversionRequestId']}"
        await world.until("PUT", path)
        body = conversion(world.bodies("PUT", path)[0])
        assert await world.hub_passes_on("POST", "/fxTransfers", body) == 202
        path = f"/fxTransfers/{body['commitRequestId']}"
        await world.until("PUT", path)
        assert world.bodies("PUT", path)[0]["conversionState"] == "RESERVED"
        assert await world.hub_says("PATCH", path, {"conversionState": "COMMITTED"}) == 200

    async def requested(world: Scheme) -> None:
        own = made(RequestState.ANSWERED, answer="RECEIVED")
        await world.connector._requests._made.add(own)
        body = {"transactionRequestState": "REJECTED"}
        assert await world.hub_passes_on("PUT", f"/transactionRequests/{own.id}", body) == 200

    async def ordered(world: Scheme) -> None:
        party = PartyRef(id_type="MSISDN", id_value=PAYEE)
        order = Order(home_id="item", payer=party, payee=party, amount=1, currency="TZS", needs_payee_confirmation=True)
        bulk = BulkTransaction(id="b", home_id="b", digest=b"", asked=b"{}", orders=(order,), only_lookup=True)
        await world.connector._bulk_transactions.begin(bulk)

    async def story(world: Scheme) -> None:
        paths = incoming(world, "COMMITTED"), incoming(world, "ABORTED")
        await asyncio.gather(*paths, converted(world), requested(world), ordered(world))
        await until(lambda: core.credited and core.released)
        await until(lambda: all(core.calls.count(call) >= 2 for call in once))
        assert set(core.repeated) == {"reserve", "reserve_conversion"}
        await until(lambda: not open_records(world))
        # A core that ignores that it is cut off may do one thing twice, so it must know the id.
        assert len(set(core.credited)) == len(set(core.released)) == 1
        assert fault.startswith("ignores") or len(core.credited) == len(core.released) == 1

    tell(tmp_path, core, story)


def open_records(world: Scheme) -> int:
    tables = ("payment", "incoming", "exchange")
    return sum(len(rows_of(world.connector, f"SELECT state FROM {table} WHERE is_open = 1")) for table in tables)


# --- bulks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bulk_that_the_core_fails_to_reserve_is_refused_and_released(tmp_path: Path, fault: str) -> None:
    """Before, nonsense of reserve_bulk was asked for again and again, and the payer DFSP got no answer."""
    core = Everything(fault, frozenset({"reserve_bulk"}))
    core.calls += ["give_bulk_terms", "release"]

    async def story(world: Scheme) -> None:
        asked = bulk_quote()
        assert await world.hub_passes_on("POST", "/bulkQuotes", asked) == 202
        path = f"/bulkQuotes/{asked['bulkQuoteId']}"
        await world.until("PUT", path)
        body = bulk_transfer(world.bodies("PUT", path)[0], expiration=later(1.5))
        assert await world.hub_passes_on("POST", "/bulkTransfers", body) == 202
        path = f"/bulkTransfers/{body['bulkTransferId']}"
        await world.until("PUT", path)
        (answer,) = world.bodies("PUT", path)
        assert answer["bulkTransferState"] == "REJECTED"
        await until(lambda: core.released == [body["individualTransfers"][0]["transferId"]])

    tell(tmp_path, core, story)


def test_an_item_of_a_bulk_with_the_id_of_another_transfer_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    """Before, such a bulk was never answered, because each try to store the item failed."""

    async def story(world: Scheme) -> None:
        asked = bulk_quote()
        assert await world.hub_passes_on("POST", "/bulkQuotes", asked) == 202
        path = f"/bulkQuotes/{asked['bulkQuoteId']}"
        await world.until("PUT", path)
        body = bulk_transfer(world.bodies("PUT", path)[0])
        other = Incoming(
            transfer_id=body["individualTransfers"][0]["transferId"],
            digest=b"another",
            payer_fsp="red",
            body=b"{}",
            expires_at=0.0,
        )
        await world.connector._store.add_incoming(other)
        assert await world.hub_passes_on("POST", "/bulkTransfers", body) == 202
        await world.until("PUT", f"/bulkTransfers/{body['bulkTransferId']}")
        (answer,) = world.bodies("PUT", f"/bulkTransfers/{body['bulkTransferId']}")
        assert answer["bulkTransferState"] == "REJECTED"
        assert await world.connector._store.incoming(other.transfer_id) == other
        assert (world.core.reserved, world.core.released) == ([], [])

    tell(tmp_path, Core(), story)


# --- after a restart --------------------------------------------------------------------------------------------------


def test_what_an_earlier_run_may_have_reserved_is_released_if_it_is_too_late_to_fulfil(tmp_path: Path) -> None:
    """Before, the transfer was rejected, and the core kept the money reserved for ever."""

    async def story(world: Scheme) -> None:
        asked = quote()
        assert await world.hub_passes_on("POST", "/quotes", asked) == 202
        await world.until("PUT", f"/quotes/{asked['quoteId']}")
        body = transfer(world.bodies("PUT", f"/quotes/{asked['quoteId']}")[0], expiration=later(-60))
        left = Incoming(
            transfer_id=body["transferId"],
            digest=strictjson.digest(body),
            payer_fsp="blue",
            body=msgspec.json.encode(body),
            expires_at=datetime.now(UTC).timestamp() - 60,
        )
        await world.connector._store.add_incoming(
            left
        )  # as a crash between the core's answer and its storing leaves it
        await world.stop()
        await world.start()
        await until(lambda: world.core.released == [body["transferId"]])
        assert world.count("PUT", f"/transfers/{body['transferId']}/error") == 1

    tell(tmp_path, Core(), story)


@dataclass(frozen=True)
class _Kind:
    """One kind of request, the requests for its terms, and the part of the connector that continues it."""

    terms: str
    id: str
    asks: Callable[[], dict[str, Any]]
    path: str
    sends: Callable[[dict[str, Any]], dict[str, Any]]
    part: type
    carry_on: str
    call: str


KINDS = {
    "transfer": _Kind("/quotes", "quoteId", quote, "/transfers", transfer, Payee, "carry_on", "reserve"),
    "bulk": _Kind(
        *("/bulkQuotes", "bulkQuoteId", bulk_quote),
        *("/bulkTransfers", bulk_transfer, BulkPayee, "_carry_on", "reserve_bulk"),
    ),
    "conversion": _Kind(
        *("/fxQuotes", "conversionRequestId", conversion_quote),
        *("/fxTransfers", conversion, Fxp, "_carry_on", "reserve_conversion"),
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_request_that_arrives_again_right_after_a_restart_is_a_repetition_for_the_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It can arrive before the connector continues the request itself, and the core may already have reserved."""
    core, kind = Everything("raises"), KINDS[name]
    core.calls += ["give_terms", "give_bulk_terms", "give_conversion_terms", kind.call]  # these succeed

    async def not_yet(_: object) -> None:
        return

    async def story(world: Scheme) -> None:
        asked = kind.asks()
        path = f"{kind.terms}/{asked[kind.id]}"
        assert await world.hub_passes_on("POST", kind.terms, asked) == 202
        await world.until("PUT", path)
        wanted = kind.sends(world.bodies("PUT", path)[0])
        with monkeypatch.context() as killed:
            killed.setattr(kind.part, kind.carry_on, lambda *_, **__: None)
            assert await world.hub_passes_on("POST", kind.path, wanted) == 202
            await world.stop()
        with monkeypatch.context() as early:
            early.setattr(kind.part, "resume", not_yet)
            await world.start()
            assert await world.hub_passes_on("POST", kind.path, wanted) == 202
        await world.until("PUT", kind.path)
        assert core.repeated == [kind.call]

    tell(tmp_path, core, story)
