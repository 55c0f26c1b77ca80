"""Conversions, passwords, requests to pay and bulks: nobody but the hub and the DFSP that was asked is believed."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from fspiop.time import format_datetime
from kitovu_connector import PartyDetails
from kitovu_connector import payment_conversion as conversion
from kitovu_connector.payment_order import Order, PartyRef
from kitovu_connector.payment_record import Payment, State
from kitovu_connector.request_to_pay_records import RequestMade, RequestOrder, RequestState
from tests.connector.hub_stub import Core, Scheme, error, quote, scheme
from tests.keys import CONDITION, FULFILMENT, OTHER_FULFILMENT

ORDER = Order(
    home_id="P1",
    payer=PartyRef(id_type="MSISDN", id_value="255712001001"),
    payee=PartyRef(id_type="MSISDN", id_value="255655001001", fsp_id="blue", currencies=("KES",)),
    amount=1_000_000,
    currency="TZS",
    skip_lookup=True,
    may_convert=True,
)

MADE = RequestMade(
    id=str(uuid.uuid4()),
    order=RequestOrder(
        home_id="r",
        payer=PartyRef(id_type="MSISDN", id_value="1"),
        payee=PartyRef(id_type="MSISDN", id_value="2"),
        amount=1,
        currency="TZS",
        amount_type="SEND",
        scenario="PAYMENT",
    ),
    digest=b"",
    created_at=0.0,
    state=RequestState.ASKED,
    payer=PartyRef(id_type="MSISDN", id_value="1", fsp_id="blue"),
)


def tell(folder: Path, story: Callable[[Scheme], Awaitable[None]]) -> None:
    async def run() -> None:
        async with scheme(folder, "signatures", callback_s=0.5) as world:
            await story(world)

    asyncio.run(run())


async def state(world: Scheme, wanted: State) -> Payment:
    for _ in range(200):
        if (found := world.payment()).state is wanted:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(world.payment().state)


def offered(payment: Payment) -> dict[str, Any]:
    terms = json.loads(payment.fx_quote_body)["conversionTerms"]
    known = {"targetAmount": {"currency": "KES", "amount": "200"}}
    return {"conversionTerms": terms | known, "condition": CONDITION}


def test_a_stranger_offers_and_makes_no_conversion(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        await world.connector._payer.send(ORDER)
        path = "/services/FXP/TZS/KES"
        for source in ("red", "blue"):  # only the hub knows the FXPs
            assert await world.straight("PUT", path, {"providers": ["red"]}, source) == 400
            assert await world.straight("PUT", path + "/error", error("2001"), source) == 400
        assert await world.hub_says("PUT", path, {"providers": ["blue"]}) == 200
        payment = await state(world, State.FX_QUOTE)
        path = f"/fxQuotes/{conversion.request_id(payment)}"
        assert await world.straight("PUT", path, offered(payment), "red") == 400
        assert await world.straight("PUT", path + "/error", error("5103"), "red") == 400
        assert world.payment().state is State.FX_QUOTE
        assert await world.hub_passes_on("PUT", path, offered(payment)) == 200
        payment = await state(world, State.FX_TRANSFER)
        path = f"/fxTransfers/{conversion.commit_id(payment)}"
        reserved = {"conversionState": "RESERVED", "fulfilment": FULFILMENT}
        assert await world.straight("PUT", path, reserved, "red") == 400
        assert await world.straight("PUT", path + "/error", error("5001"), "red") == 400
        assert await world.hub_passes_on("PUT", path, reserved | {"fulfilment": OTHER_FULFILMENT}) == 400
        assert world.payment().state is State.FX_TRANSFER
        assert world.count("POST", "/transfers") == 0
        assert await world.hub_passes_on("PUT", path, reserved) == 200
        await world.until("POST", "/transfers")
        # After it nothing about the conversion changes the payment.
        for source in ("red", "blue"):
            assert await world.straight("PUT", path + "/error", error("5001"), source) == 200
        assert world.payment().state is not State.ABORTED

    tell(tmp_path, story)


def test_a_stranger_enters_no_password(tmp_path: Path) -> None:
    request_id = str(uuid.uuid4())
    order = msgspec.structs.replace(
        ORDER,
        may_convert=False,
        needs_password=True,
        transaction_request_id=request_id,
        needs_password_confirmation=True,
    )

    async def story(world: Scheme) -> None:
        await world.connector._payer.send(order)
        await state(world, State.AUTHORIZATION)
        info = {"authentication": "OTP", "authenticationValue": "1234"}
        entered = {"responseType": "ENTERED", "authenticationInfo": info}
        path = f"/authorizations/{request_id}"
        assert await world.straight("PUT", path, entered, "red") == 400
        assert await world.straight("PUT", path + "/error", error("5100"), "red") == 400
        assert world.payment().state is State.AUTHORIZATION
        assert await world.hub_passes_on("PUT", path, entered) == 200
        await state(world, State.AUTHORIZED)

    tell(tmp_path, story)


class _NoCustomers(Core):
    """A core that has no customer."""

    async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        return None


def wanted(request_id: str) -> dict[str, Any]:
    return {
        "transactionRequestId": request_id,
        "payee": {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": "1", "fspId": "blue"}},
        "payer": {"partyIdType": "MSISDN", "partyIdentifier": "2"},
        "amount": {"currency": "TZS", "amount": "10"},
        "transactionType": {"scenario": "PAYMENT", "initiator": "PAYEE", "initiatorType": "BUSINESS"},
    }


def test_a_request_to_an_unknown_customer_is_refused_and_not_stored(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        await world.stop()
        world.core = _NoCustomers()
        await world.start()
        request_id = str(uuid.uuid4())
        assert await world.hub_passes_on("POST", "/transactionRequests", wanted(request_id)) == 202
        await world.until("PUT", f"/transactionRequests/{request_id}/error")
        (answer,) = world.bodies("PUT", f"/transactionRequests/{request_id}/error")
        assert answer["errorInformation"]["errorCode"] == "3204"
        assert await world.connector._requests._received.get(request_id) is None

    tell(tmp_path, story)


def test_old_requests_to_pay_are_deleted_once_they_are_answered(tmp_path: Path) -> None:
    async def run() -> None:
        async with scheme(tmp_path, "signatures", request_retention_s=0.2) as world:
            requests = world.connector._requests
            request_id = str(uuid.uuid4())
            assert await world.hub_passes_on("POST", "/transactionRequests", wanted(request_id)) == 202
            await requests._made.add(msgspec.structs.replace(MADE, state=RequestState.ANSWERED, answer="RECEIVED"))
            waiting = msgspec.structs.replace(MADE.order, home_id="w")
            await requests._made.add(msgspec.structs.replace(MADE, id="w", order=waiting))
            for _ in range(200):
                if await requests._received.get(request_id) is None and await requests.made(MADE.id) is None:
                    break
                await asyncio.sleep(0.02)
            assert (await requests._received.get(request_id), await requests.made(MADE.id)) == (None, None)
            assert await requests.made("w") is not None  # the payer DFSP's answer is pending

    asyncio.run(run())


class _SlowNotes(Core):
    """A core that takes its time to accept the payer DFSP's later answer."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.is_ready = asyncio.Event()

    async def request_told(self, transaction_request_id: str, home_id: str, state: str) -> None:
        self.told.append(state)
        await self.is_ready.wait()


def test_no_answer_and_no_question_is_lost_while_the_core_is_told(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        await world.stop()
        core = world.core = _SlowNotes()
        await world.start()
        requests = world.connector._requests
        await requests._made.add(msgspec.structs.replace(MADE, state=RequestState.ANSWERED, answer="RECEIVED"))
        path = f"/transactionRequests/{MADE.id}"
        assert await world.hub_passes_on("PUT", path, {"transactionRequestState": "PENDING"}) == 200
        query = "?authenticationType=OTP&retriesLeft=1&amount=1&currency=TZS"
        assert await world.hub_passes_on("GET", f"/authorizations/{MADE.id}{query}", None) == 202
        assert await world.hub_passes_on("PUT", path, {"transactionRequestState": "ACCEPTED"}) == 200
        core.is_ready.set()
        for _ in range(200):
            if (found := await requests.made(MADE.id)) is not None and found.is_told:
                break
            await asyncio.sleep(0.02)
        assert core.told == ["PENDING", "ACCEPTED"]
        assert found is not None
        assert (found.answer, found.password_asker) == ("ACCEPTED", "blue")

    tell(tmp_path, story)


def test_an_answer_does_not_overwrite_a_question_that_is_being_stored(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        requests = world.connector._requests
        await requests._made.add(MADE)
        path, query = f"/transactionRequests/{MADE.id}", "?authenticationType=OTP&retriesLeft=1&amount=1&currency=TZS"
        for number, state in enumerate(["ACCEPTED", "PENDING"] * 10):
            await requests._made.amend(MADE.id, lambda now: msgspec.structs.replace(now, password_asker=None))
            question = world.hub_passes_on("GET", f"/authorizations/{MADE.id}{query}", None)
            answer = world.hub_passes_on("PUT", path, {"transactionRequestState": state})
            assert set(await asyncio.gather(*((question, answer) if number % 2 else (answer, question)))) == {200, 202}
            found = await requests.made(MADE.id)
            assert found is not None
            assert (found.answer, found.password_asker) == (state, "blue")

    tell(tmp_path, story)


def test_a_request_to_pay_is_answered_by_the_payers_dfsp_and_only_it_gets_the_password(tmp_path: Path) -> None:
    request = MADE

    async def story(world: Scheme) -> None:
        requests = world.connector._requests
        await requests._made.add(request)
        path = f"/transactionRequests/{request.id}"
        accepted = {"transactionRequestState": "ACCEPTED"}
        assert await world.straight("PUT", path, accepted, "red") == 400
        assert await world.straight("PUT", path + "/error", error("4101"), "red") == 400
        query = "?authenticationType=OTP&retriesLeft=1&amount=1&currency=TZS"
        assert await world.straight("GET", f"/authorizations/{request.id}{query}", None, "red") == 400
        found = await requests.made(request.id)
        assert found is not None
        assert found.state is RequestState.ASKED
        assert await world.hub_passes_on("PUT", path, accepted) == 200
        found = await requests.made(request.id)
        assert found is not None
        assert (found.state, found.answer) == (RequestState.ANSWERED, "ACCEPTED")
        assert await world.straight("GET", f"/authorizations/{request.id}{query}", None, "blue") == 202

    tell(tmp_path, story)


def test_only_the_hub_ends_bulks_and_conversions_that_were_received(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        bulk_id, item_id = str(uuid.uuid4()), str(uuid.uuid4())
        asked = quote()
        assert await world.hub_passes_on("POST", "/quotes", asked) == 202
        await world.until("PUT", f"/quotes/{asked['quoteId']}")
        (given,) = world.bodies("PUT", f"/quotes/{asked['quoteId']}")
        item = {"transferId": item_id} | {name: given[name] for name in ("transferAmount", "ilpPacket", "condition")}
        bulk = {
            "bulkTransferId": bulk_id,
            "bulkQuoteId": str(uuid.uuid4()),
            "payerFsp": "blue",
            "payeeFsp": "green",
            "expiration": format_datetime(datetime.now(UTC) + timedelta(seconds=20)),
            "individualTransfers": [item],
        }
        assert await world.straight("POST", "/bulkTransfers", bulk, "red") == 400
        assert await world.hub_passes_on("POST", "/bulkTransfers", bulk) == 202
        await world.until("PUT", f"/bulkTransfers/{bulk_id}")
        done = {"bulkTransferState": "COMPLETED", "individualTransferResults": []}
        for source in ("blue", "red"):
            assert await world.straight("PUT", f"/bulkTransfers/{bulk_id}", done, source) == 400
            assert await world.straight("PUT", f"/bulkTransfers/{bulk_id}/error", error("3303"), source) == 400
        assert await world.hub_says("PUT", f"/bulkTransfers/{bulk_id}", done) == 200
        assert world.core.credited == []

        commit_id = str(uuid.uuid4())
        wanted = {
            "commitRequestId": commit_id,
            "determiningTransferId": str(uuid.uuid4()),
            "initiatingFsp": "blue",
            "counterPartyFsp": "green",
            "sourceAmount": {"currency": "TZS", "amount": "5"},
            "targetAmount": {"currency": "KES", "amount": "1"},
            "condition": CONDITION,
            "expiration": format_datetime(datetime.now(UTC) + timedelta(seconds=20)),
        }
        assert await world.straight("POST", "/fxTransfers", wanted, "red") == 400
        assert await world.hub_passes_on("POST", "/fxTransfers", wanted) == 202
        await world.until("PUT", f"/fxTransfers/{commit_id}/error")  # no terms were given
        ended = {"conversionState": "COMMITTED"}
        for source in ("blue", "red"):
            assert await world.straight("PATCH", f"/fxTransfers/{commit_id}", ended, source) == 400
        assert await world.hub_says("PUT", f"/bulkTransfers/{uuid.uuid4()}", done) == 400  # nobody knows this id

    tell(tmp_path, story)
