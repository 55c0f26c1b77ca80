"""A front end of Mojaloop's SDK: repeated requests, fields of the SDK's document, and a core that accepts no report."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from hub.local.net import free_port
from kitovu_connector.bulk_transactions import BulkTransaction
from kitovu_connector.payment_record import Payment, State
from kitovu_connector.request_to_pay_records import RequestState
from tests.connector.hub_stub import PAYEE, Core, Scheme, logged, scheme, stored
from tests.connector.test_agreement_trust import MADE
from tests.connector.test_conversion_ends import conversion_of_front_end
from tests.connector.test_hostile_dfsp import bulk_of_front_end, later, until
from tests.keys import FULFILMENT

Call = Callable[[str, str, Any], Awaitable[tuple[int, Any]]]
ASHA = {"idType": "MSISDN", "idValue": "255712001001"}
BARAKA = {"idType": "MSISDN", "idValue": PAYEE, "fspId": "blue"}


def tell(folder: Path, story: Callable[[Scheme, Call], Awaitable[None]], core: Core | None = None, **more: Any) -> None:
    async def run() -> None:
        more.setdefault("answer_s", 3.0)
        async with scheme(folder, "pinned", reference_api=True, reference_port=free_port(), **more) as world:
            await world.stop()
            world.core = core or world.core
            await world.start()
            async with aiohttp.ClientSession() as session:

                async def call(method: str, path: str, body: Any) -> tuple[int, Any]:
                    url = f"http://127.0.0.1:{world.config.reference_port}{path}"
                    async with session.request(method, url, json=body) as answer:
                        return answer.status, await answer.json() if answer.content_type == "application/json" else None

                await story(world, call)

    asyncio.run(run())


# --- repeated requests ------------------------------------------------------------------------------------------------


TRANSFER = {
    "homeTransactionId": "H1",
    "from": ASHA,
    "to": {"idType": "MSISDN", "idValue": PAYEE},
    "amountType": "SEND",
    "currency": "TZS",
    "amount": "100",
    "transactionType": "TRANSFER",
}
ANSWER_TO_A_REQUEST = {
    "homeR2PTransactionId": "H1",
    "transactionRequestId": "b51ec534-ee48-4575-b6a9-ead2955b8069",
    "from": ASHA,
    "to": BARAKA,
    "amountType": "SEND",
    "currency": "TZS",
    "amount": "100",
    "scenario": "TRANSFER",
    "initiator": "PAYEE",
    "initiatorType": "BUSINESS",
}


@pytest.mark.parametrize(
    ("path", "body", "setting"),
    [
        ("/transfers", TRANSFER, "auto_accept_quotes"),
        ("/requestToPayTransfer", ANSWER_TO_A_REQUEST, "auto_accept_r2p_business_quotes"),
    ],
)
def test_a_repeated_request_finds_its_payment_even_if_a_setting_has_changed(
    tmp_path: Path, path: str, body: dict[str, Any], setting: str
) -> None:
    async def story(world: Scheme, call: Call) -> None:
        status, begun = await call("POST", path, body)
        assert (status, begun["currentState"]) == (200, "WAITING_FOR_QUOTE_ACCEPTANCE")
        await world.stop()
        world.config = replace(world.config, **{setting: True})
        await world.start()
        assert await call("POST", path, body) == (200, begun)
        # Other content is another payment: the front end must see that the first one lives.
        status, refused = await call("POST", path, body | {"amount": "101"})
        assert (status, refused["statusCode"]) == (500, "3106")
        assert refused["transferState"] == begun
        assert (world.count("POST", "/quotes"), world.count("POST", "/transfers")) == (1, 0)

    tell(tmp_path, story, **{setting: False})


def test_other_content_under_the_id_of_a_paid_transfer_shows_the_transfer(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Call) -> None:
        paying = asyncio.create_task(call("POST", "/transfers", TRANSFER))
        await world.until("POST", "/transfers")
        (sent,) = world.bodies("POST", "/transfers")
        assert await world.hub_says("PUT", f"/transfers/{sent['transferId']}", world.tells("COMMITTED")) == 200
        assert (await paying)[1]["currentState"] == "COMPLETED"
        status, refused = await call("POST", "/transfers", TRANSFER | {"amount": "101"})
        assert (status, refused["transferState"]["currentState"]) == (500, "COMPLETED")
        status, wrong = await call("POST", "/transfers", TRANSFER | {"homeTransactionId": "H2", "amount": "1,5"})
        assert (status, wrong["statusCode"], wrong["transferState"]) == (400, "3100", {})  # nothing has begun

    tell(tmp_path, story)


def test_other_content_under_the_id_of_a_bulk_shows_the_bulk(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Call) -> None:
        body = bulk_transaction(autoAcceptQuote={"enabled": False})
        _, begun = await call("POST", "/bulkTransactions", body)
        status, refused = await call("POST", "/bulkTransactions", body | {"bulkHomeTransactionID": "B2"})
        assert (status, refused["statusCode"], refused["bulkTransferState"]) == (500, "3106", begun)
        sent = bulk_of_front_end(str(uuid.uuid4()))
        calling = asyncio.create_task(call("POST", "/bulkTransfers", sent))
        await world.until("POST", "/bulkTransfers")
        status, refused = await call("POST", "/bulkTransfers", sent | {"homeTransactionId": "another"})
        assert (status, refused["bulkTransferState"]["bulkTransferId"]) == (500, sent["bulkTransferId"])
        calling.cancel()

    tell(tmp_path, story)


def test_a_request_to_pay_without_an_answer_shows_its_id(tmp_path: Path) -> None:
    body = {
        "homeR2PTransactionId": "R1",
        "from": {"idType": "MSISDN", "idValue": PAYEE},
        "to": ASHA,
        "amountType": "RECEIVE",
        "currency": "TZS",
        "amount": "100",
        "transactionType": "PAYMENT",
    }

    async def story(world: Scheme, call: Call) -> None:
        status, late = await call("POST", "/requestToPay", body)
        (sent, *_) = world.bodies("POST", "/transactionRequests")
        assert (status, late["statusCode"]) == (504, "2004")
        assert late["requestToPayState"]["transactionRequestId"] == sent["transactionRequestId"]
        accepted = await call("PUT", f"/requestToPay/{sent['transactionRequestId']}", {"acceptParty": True})
        assert (accepted[0], accepted[1]["requestToPayState"]) == (status, late["requestToPayState"])

    tell(tmp_path, story, agree_s=1.0, ask_again_s=0.3)


# --- fields of the document -------------------------------------------------------------------------------------------


def bulk_transaction(*items: dict[str, Any], **options: Any) -> dict[str, Any]:
    party = {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": PAYEE, "fspId": "blue"}}
    payer = {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": "255712001001"}}
    one = {"to": party, "amountType": "SEND", "currency": "TZS", "amount": "100"}
    given = {
        "autoAcceptParty": {"enabled": True},
        "autoAcceptQuote": {"enabled": True},
        "bulkExpiration": later(hours=1),
    }
    return {
        "bulkHomeTransactionID": "B1",
        "bulkTransactionId": str(uuid.uuid4()),
        "options": given | {"synchronous": True} | options,
        "from": payer,
        "individualTransfers": [
            one | {"homeTransactionId": f"I{number}"} | item for number, item in enumerate(items or ({},))
        ],
    }


def test_what_a_front_end_adds_to_an_item_comes_back_with_the_item(tmp_path: Path) -> None:
    extension = {"extension": [{"key": "k", "value": "v"}]}
    added = {"reference": "loan 7", "quoteExtensions": extension, "transferExtensions": extension}
    error = {"httpStatusCode": 500, "mojaloopError": {"errorInformation": {"errorCode": "2001"}}}

    async def story(world: Scheme, call: Call) -> None:
        stops = {"autoAcceptQuote": {"enabled": False}}
        body = bulk_transaction(added | {"lastError": error}, {}, **stops)
        status, shown = await call("POST", "/bulkTransactions", body)
        assert (status, shown["currentState"]) == (202, "WAITING_FOR_QUOTE_ACCEPTANCE")
        first, second = shown["individualTransferResults"]
        assert {name: first[name] for name in added} == added
        assert ("lastError" in first, set(added) & set(second)) == (False, set())

    tell(tmp_path, story)


def test_a_fee_limit_of_zero_pays_what_is_free(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Call) -> None:
        limits = [{"currency": "TZS", "amount": "0"}]
        body = bulk_transaction(autoAcceptQuote={"enabled": True, "perTransferFeeLimits": limits})
        calling = asyncio.create_task(call("POST", "/bulkTransactions", body))
        await world.until("POST", "/transfers")
        (sent,) = world.bodies("POST", "/transfers")
        assert await world.hub_says("PUT", f"/transfers/{sent['transferId']}", world.tells("COMMITTED")) == 200
        status, shown = await calling
        assert (status, shown["currentState"]) == (202, "COMPLETED")
        limits[0]["amount"] = "-1"
        assert (await call("POST", "/bulkTransactions", bulk_transaction(**body["options"])))[0] == 400

    tell(tmp_path, story)


def test_a_conversion_needs_no_determining_transfer(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Call) -> None:
        body = conversion_of_front_end()
        del body["determiningTransferId"]
        calling = asyncio.create_task(call("POST", "/fxTransfers", body))
        await world.until("POST", "/fxTransfers")
        reserved = {"conversionState": "RESERVED", "fulfilment": FULFILMENT}
        assert await world.hub_passes_on("PUT", f"/fxTransfers/{body['commitRequestId']}", reserved) == 200
        assert (await calling)[0] == 200

    tell(tmp_path, story)


def test_accounts_with_a_wrong_body_are_refused_with_the_state_that_the_document_requires(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Call) -> None:
        for wrong in ({}, [{"idType": "MSISDN"}], [{"idType": "MSISDN", "idValue": "a/b"}]):
            status, refused = await call("POST", "/accounts", wrong)
            assert (status, refused["executionState"]) == (400, {"accounts": [], "currentState": "ERROR_OCCURRED"})
        assert world.count("POST", "/participants") == 0

    tell(tmp_path, story)


@pytest.mark.parametrize(("at_hub", "shown"), [("COMPLETED", "COMMITTED"), ("REJECTED", "ABORTED")])
def test_the_state_of_a_bulk_transfer_is_one_of_a_transfer(tmp_path: Path, at_hub: str, shown: str) -> None:
    async def story(world: Scheme, call: Call) -> None:
        body = bulk_of_front_end(str(uuid.uuid4()))
        calling = asyncio.create_task(call("POST", "/bulkTransfers", body))
        await world.until("POST", "/bulkTransfers")
        path = f"/bulkTransfers/{body['bulkTransferId']}"
        assert await world.hub_says("PUT", path, {"bulkTransferState": at_hub}) == 200
        status, answer = await calling
        assert (status, answer["bulkTransferState"], answer["currentState"]) == (200, shown, "COMPLETED")

    tell(tmp_path, story)


# --- a core without PUT /bulkTransactions -----------------------------------------------------------------------------


class Deaf(Core):
    """A core that orders bulks and makes requests to pay, but never accepts a report about them."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: list[set[State]] = []

    async def bulk_told(self, bulk: BulkTransaction, payments: list[Payment]) -> None:
        self.reports.append({payment.state for payment in payments})
        raise RuntimeError("HTTP 404")

    async def request_told(self, transaction_request_id: str, home_id: str, state: str) -> None:
        raise RuntimeError("HTTP 404")


def test_a_bulk_goes_on_even_if_its_core_accepts_no_report_and_the_reports_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    core = Deaf()

    async def story(world: Scheme, call: Call) -> None:
        body = bulk_transaction(autoAcceptQuote={"enabled": False})
        status, shown = await call("POST", "/bulkTransactions", body)
        assert (status, shown["currentState"]) == (202, "WAITING_FOR_QUOTE_ACCEPTANCE")
        await until(lambda: core.reports)
        (item,) = shown["individualTransferResults"]
        answer = {"individualTransfers": [{"transferId": item["transferId"], "acceptQuote": True}]}
        path = f"/bulkTransactions/{body['bulkTransactionId']}"
        assert (await call("PUT", path, answer))[0] == 202
        await world.until("POST", "/transfers")
        assert await world.hub_says("PUT", f"/transfers/{item['transferId']}", world.tells("COMMITTED")) == 200
        await until(lambda: {State.COMMITTED} in core.reports)
        await until(lambda: stored(world.connector._bulk_transactions._records).unfinished() == [])
        assert len(logged(caplog, "core_never_told")) == 1

    tell(tmp_path, story, core, webhook_give_up_s=1.5)


def test_the_reports_of_an_answer_to_a_request_to_pay_end_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: Scheme, _: Call) -> None:
        requests = world.connector._requests
        await requests._made.add(msgspec.structs.replace(MADE, state=RequestState.ANSWERED, answer="RECEIVED"))
        path = f"/transactionRequests/{MADE.id}"
        assert await world.hub_passes_on("PUT", path, {"transactionRequestState": "ACCEPTED"}) == 200
        await until(lambda: logged(caplog, "core_not_told"))
        await until(lambda: stored(requests._made).unfinished() == [])
        assert len(logged(caplog, "core_never_told")) == 1

    tell(tmp_path, story, Deaf(), webhook_give_up_s=1.0)
