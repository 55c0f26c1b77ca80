"""The API for the bank's own core by HTTP: terms that are confirmed or cancelled, requests to pay, and its document."""

import asyncio
import gc
import json
import shutil
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest
from aiohttp import web

from fspiop.bodies.common import Money, Party, PartyIdInfo, TransactionType
from fspiop.bodies.transaction_requests import TransactionRequestPost
from hub.local.net import free_port
from kitovu_connector import (
    HttpBackend,
    PasswordRefused,
    Refused,
    State,
    Terms,
    TermsWanted,
    command_line,
    event_messages,
    openapi,
)
from tests.connector.hub_stub import PAYEE, Core, Scheme, error, quote, scheme, terms, told, transfer

DOCUMENT: dict[str, Any] = json.loads(openapi.document())
ORDER = {
    "homeTransactionId": "H1",
    "from": {"idType": "MSISDN", "idValue": "255712001001", "displayName": "Asha"},
    "to": {"idType": "MSISDN", "idValue": PAYEE},
    "amount": "100.00",
    "currency": "TZS",
}
REQUEST = {
    "homeRequestId": "R1",
    "from": {"idType": "MSISDN", "idValue": PAYEE},
    "to": {"idType": "MSISDN", "idValue": "255712001001", "displayName": "Asha"},
    "amount": "100",
    "currency": "TZS",
}


class Calls:
    """A core's calls. Each answer is compared with the document."""

    def __init__(self, world: Scheme, session: aiohttp.ClientSession) -> None:
        self._base, self._session = f"http://127.0.0.1:{world.config.outbound_port}", session

    async def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self._session.request(method, self._base + path, json=body) as response:
            raw = await response.read()
            answer = json.loads(raw) if response.content_type == "application/json" and raw else raw.decode()
            check(method, path, response.status, answer)
            return response.status, answer


def check(method: str, path: str, status: int, answer: Any) -> None:
    """Fails if the document has no such answer."""
    (operation,) = [
        operations[method.lower()]
        for shown, operations in DOCUMENT["paths"].items()
        if len(shown.split("/")) == len(path.partition("?")[0].split("/"))
        and method.lower() in operations
        and all(
            part.startswith("{") or part == given
            for part, given in zip(shown.split("/"), path.partition("?")[0].split("/"), strict=True)
        )
    ]
    response = operation["responses"][str(status)]
    if "content" in response and "application/json" in response["content"]:
        schema = response["content"]["application/json"]["schema"] | {"components": DOCUMENT["components"]}
        jsonschema.validate(answer, schema)


def tell(folder: Path, story: Callable[[Scheme, Calls], Awaitable[None]], **more: Any) -> None:
    async def run() -> None:
        async with scheme(folder, "pinned", **more) as world, aiohttp.ClientSession() as session:
            await story(world, Calls(world, session))

    asyncio.run(run())


# --- confirm and cancel -----------------------------------------------------------------------------------------------


def test_terms_are_shown_and_paid_once_they_are_confirmed(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Calls) -> None:
        for _ in range(2):
            status, offer = await call("POST", "/payments", ORDER | {"confirm": False})
            assert (status, offer["state"], offer["waitsFor"]) == (200, "AGREED", "TERMS")
        assert (offer["payeeFsp"], offer["transferAmount"], offer["isEnded"]) == ("blue", "100", False)
        assert offer["expirationDate"].endswith("Z")
        assert world.count("POST", "/transfers") == 0
        status, page = await call("GET", "/payments?state=AGREED&since=2020-01-01T00:00:00.000Z")
        assert [each["homeTransactionId"] for each in page["payments"]] == ["H1"]
        confirming = asyncio.create_task(call("POST", "/payments/H1/confirm", {}))
        await world.until("POST", "/transfers")
        assert (await call("POST", "/payments/H1/cancel"))[0] == 409
        assert await world.hub_says("PUT", f"/transfers/{offer['transferId']}", told("COMMITTED")) == 200
        status, paid = await confirming
        assert (status, paid["state"], paid["waitsFor"]) == (200, "COMMITTED", None)
        assert (await call("POST", "/payments/H1/confirm"))[1] == paid
        assert world.count("POST", "/transfers") == 1

    tell(tmp_path, story)


def test_what_was_cancelled_is_not_paid(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Calls) -> None:
        await call("POST", "/payments", ORDER | {"confirm": False})
        for _ in range(2):
            status, ended = await call("POST", "/payments/H1/cancel")
            assert (status, ended["state"], ended["errorCode"]) == (200, "ABORTED", "4100")
        assert (await call("POST", "/payments/H1/confirm"))[1]["state"] == "ABORTED"
        # The same id without a stop is another order.
        status, refused = await call("POST", "/payments", ORDER)
        assert (status, refused["errorInformation"]["errorCode"]) == (409, "3106")
        assert world.count("POST", "/transfers") == 0

    tell(tmp_path, story)


def with_fee(world: Scheme, fee: int) -> None:
    """Lets blue add a fee to what its customer receives."""
    world.answers.discard("quotes")
    answer = world._answer

    async def answered(method: str, path: str, body: dict[str, Any]) -> None:
        await answer(method, path, body)
        if (method, path) == ("POST", "/quotes"):
            asked = body["amount"]
            whole = asked | {"amount": str(int(asked["amount"]) + fee)}
            parts = {"payeeReceiveAmount": asked, "payeeFspFee": asked | {"amount": str(fee)}}
            await world.hub_passes_on("PUT", f"/quotes/{body['quoteId']}", terms(transferAmount=whole, **parts))

    world._answer = answered  # type: ignore[method-assign]


def test_a_payment_whose_payee_receives_a_fixed_amount_can_have_a_fee(tmp_path: Path) -> None:
    received = ORDER | {"amountType": "RECEIVE"}

    async def story(world: Scheme, call: Calls) -> None:
        with_fee(world, 2)
        # The customer sees the fee and accepts it.
        status, offer = await call("POST", "/payments", received | {"confirm": False})
        assert (status, offer["state"]) == (200, "AGREED")
        assert (offer["transferAmount"], offer["payeeFspFeeAmount"]) == ("102", "2")
        # Without the customer, the core sets the limit.
        for number, (more, state) in enumerate(
            (({}, "ABORTED"), ({"maxAmount": "101.99"}, "ABORTED"), ({"maxAmount": "102"}, "ACCEPTED"))
        ):
            paying = asyncio.create_task(
                call("POST", "/payments", received | {"homeTransactionId": f"M{number}"} | more)
            )
            if state == "ABORTED":
                assert (await paying)[1]["errorCode"] == "4000"
                continue
            await world.until("POST", "/transfers")
            (sent,) = world.bodies("POST", "/transfers")
            assert sent["amount"]["amount"] == "102"
            assert await world.hub_says("PUT", f"/transfers/{sent['transferId']}", told("COMMITTED")) == 200
            assert (await paying)[1]["state"] == "COMMITTED"
        wrong = (received | {"maxAmount": "99"}, received | {"maxAmount": "0"}, ORDER | {"maxAmount": "200"})
        for body in wrong:
            status, refused = await call("POST", "/payments", body | {"homeTransactionId": "W"})
            assert (status, "maxAmount" in refused["errorInformation"]["errorDescription"]) == (400, True)

    tell(tmp_path, story)


def test_what_cannot_be_confirmed_or_cancelled_says_why(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Calls) -> None:
        for action in ("confirm", "cancel"):
            assert (await call("POST", f"/payments/unknown/{action}"))[0] == 404
        world.answers.discard("parties")
        paying = asyncio.create_task(call("POST", "/payments", ORDER | {"confirm": False}))
        await world.until("GET", "/parties")
        status, refused = await call("POST", "/payments/H1/confirm")
        assert (status, "no terms yet" in refused["errorInformation"]["errorDescription"]) == (409, True)
        assert (await call("POST", "/payments/H1/cancel"))[1]["state"] == "ABORTED"
        assert (await paying)[1]["state"] == "ABORTED"
        for wrong in ({"confirm": 1}, {"otp": True}, {"amount": "0"}, {"transactionRequestId": "x"}):
            assert (await call("POST", "/payments", ORDER | {"homeTransactionId": "H2"} | wrong))[0] == 400
        assert (await call("GET", "/payments/H2"))[0] == 404

    tell(tmp_path, story)


def test_only_the_entered_password_is_accepted_and_never_by_a_repeated_acceptance_of_the_terms(tmp_path: Path) -> None:
    request_id = "b51ec534-ee48-4575-b6a9-ead2955b8069"
    order = ORDER | {"confirm": False, "otp": True, "transactionRequestId": request_id}

    async def story(world: Scheme, call: Calls) -> None:
        await call("POST", "/payments", order)
        assert (await call("POST", "/payments/H1/confirm", {"otp": "123456"}))[0] == 409  # nobody has entered it yet
        confirming = asyncio.create_task(call("POST", "/payments/H1/confirm"))
        await world.until("GET", "/authorizations")
        info = {"authentication": "OTP", "authenticationValue": "123456"}
        entered = {"responseType": "ENTERED", "authenticationInfo": info}
        assert await world.hub_passes_on("PUT", f"/authorizations/{request_id}", entered) == 200
        waiting = (await confirming)[1]
        assert (waiting["waitsFor"], waiting["otp"]) == ("OTP", "123456")
        # The answer was lost, so the core accepts the terms again.
        assert await call("POST", "/payments/H1/confirm") == (200, waiting)
        assert (await world.connector.confirm("H1")).state is State.AUTHORIZED
        assert (await call("POST", "/payments/H1/confirm", {}))[1]["waitsFor"] == "OTP"
        status, refused = await call("POST", "/payments/H1/confirm", {"otp": "123457"})
        assert (status, "another" in refused["errorInformation"]["errorDescription"]) == (409, True)
        assert (await call("POST", "/payments/H1/confirm", {"otp": 123456}))[0] == 400
        with pytest.raises(PasswordRefused, match="another"):
            await world.connector.confirm("H1", "1")
        assert world.count("POST", "/transfers") == 0
        paying = [asyncio.create_task(call("POST", "/payments/H1/confirm", {"otp": "123456"})) for _ in range(2)]
        await world.until("POST", "/transfers")
        assert await world.hub_says("PUT", f"/transfers/{waiting['transferId']}", told("COMMITTED")) == 200
        assert [(await each)[1]["state"] for each in paying] == ["COMMITTED"] * 2
        assert world.count("POST", "/transfers") == 1

    tell(tmp_path, story)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_the_example_in_node_pauses_before_it_asks_again() -> None:
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path)
        if request.path.startswith("/parties"):
            return web.json_response({"displayName": "Asha", "fspId": "blue"})
        is_ended = paths.count(request.path) > 1 and request.method == "GET"
        return web.json_response({"waitsFor": "TERMS", "state": "AGREED", "isEnded": is_ended})

    async def main() -> float:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        began = time.monotonic()
        script = str(Path(openapi.__file__).parents[1] / "docs/connect/pay.js")
        paying = await asyncio.create_subprocess_exec("node", script, f"http://127.0.0.1:{port}", PAYEE, "1")
        assert await paying.wait() == 0
        await runner.cleanup()
        return time.monotonic() - began

    assert asyncio.run(main()) >= 2  # a second before each of two polls
    assert sum(path.startswith("/payments/") and not path.endswith("/confirm") for path in paths) == 2


# --- requests to pay --------------------------------------------------------------------------------------------------


async def asked(world: Scheme, call: Calls, answer: str = "RECEIVED", **more: Any) -> str:
    """A request of green that blue has answered; its id."""
    asking = asyncio.create_task(call("POST", "/requests", REQUEST | more))
    await world.until("POST", "/transactionRequests")
    (_, _, body), *_ = [each for each in world.asked if each[:2] == ("POST", "/transactionRequests")]
    path = f"/transactionRequests/{body['transactionRequestId']}"
    assert await world.hub_passes_on("PUT", path, {"transactionRequestState": answer}) == 200
    status, made = await asking
    assert (status, made["answer"], made["payerFsp"]) == (202 if answer == "RECEIVED" else 200, answer, "blue")
    assert body.get("authenticationType") == ("OTP" if more.get("otp") else None)
    return str(body["transactionRequestId"])


async def paid_by_blue(world: Scheme, request_id: str, **more: Any) -> str:
    """Blue asks for terms, pays, and the hub commits; the transfer's id."""
    wanted = quote(transactionRequestId=request_id, **more)
    assert await world.hub_passes_on("POST", "/quotes", wanted) == 202
    await world.until("PUT", f"/quotes/{wanted['quoteId']}")
    (offered,) = world.bodies("PUT", f"/quotes/{wanted['quoteId']}")
    sent = transfer(offered)
    assert await world.hub_passes_on("POST", "/transfers", sent) == 202
    await world.until("PUT", f"/transfers/{sent['transferId']}")
    path = f"/transfers/{sent['transferId']}"
    assert await world.hub_says("PATCH", path, {"transferState": "COMMITTED", "completedTimestamp": _NOW}) == 200
    return str(sent["transferId"])


_NOW = "2026-01-01T00:00:00.000Z"


def test_a_request_is_made_once_and_shows_that_it_was_paid(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Calls) -> None:
        request_id = await asked(world, call)
        status, again = await call("POST", "/requests", REQUEST)
        assert (status, again["transactionRequestId"]) == (202, request_id)
        assert world.count("POST", "/transactionRequests") == 1
        assert (await call("POST", "/requests", REQUEST | {"amount": "101"}))[0] == 409
        transfer_id = await paid_by_blue(world, request_id)
        assert world.core.asked[0].home_request_id == "R1"
        status, found = await call("GET", "/requests/R1")
        assert (status, found["isPaid"], found["transferIds"]) == (200, True, [transfer_id])
        assert (await call("GET", f"/transfers/{transfer_id}"))[1]["homeRequestId"] == "R1"
        (line,) = (await call("GET", "/transfers"))[1]["transfers"]
        assert line["homeRequestId"] == "R1"

    tell(tmp_path, story)


def test_a_stranger_who_names_a_request_does_not_pay_it(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Calls) -> None:
        request_id = await asked(world, call)
        payer = {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": "1", "fspId": "red"}}
        wanted = quote(transactionRequestId=request_id, payer=payer)
        assert await world.hub_passes_on("POST", "/quotes", wanted, source="red") == 202
        await world.until("PUT", f"/quotes/{wanted['quoteId']}")
        assert world.core.asked[0].home_request_id is None

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("changes", "fee", "is_paid"),
    [
        ({}, "0", True),
        ({"amount": {"currency": "TZS", "amount": "100.5"}}, "0", True),
        ({"amount": {"currency": "TZS", "amount": "99.99"}}, "0", False),
        ({"amount": {"currency": "KES", "amount": "100"}}, "0", False),
        ({"payee": {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": "255712001002"}}}, "0", False),
        ({"payee": {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": "+255712001001"}}}, "0", True),
        ({}, "5", False),  # of 100 the payee would receive 95
    ],
)
def test_a_request_is_paid_only_by_its_amount_to_its_payee(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], fee: str, is_paid: bool
) -> None:
    async def give_terms(core: Core, wanted: TermsWanted) -> Terms:
        kept = Decimal(fee)
        return Terms(receive_amount=wanted.amount - kept, fee=kept)

    monkeypatch.setattr(Core, "give_terms", give_terms)

    async def story(world: Scheme, call: Calls) -> None:
        transfer_id = await paid_by_blue(world, await asked(world, call), **changes)
        for _ in range(200):
            if world.core.credited == [transfer_id]:
                break
            await asyncio.sleep(0.02)
        assert world.core.credited == [transfer_id]  # the money is the customer's whatever it was sent for
        found = (await call("GET", "/requests/R1"))[1]
        assert (found["isPaid"], found["transferIds"]) == (is_paid, [transfer_id] * is_paid)
        assert (await call("GET", f"/transfers/{transfer_id}"))[1].get("homeRequestId") == ("R1" if is_paid else None)

    tell(tmp_path, story)


def test_requests_that_are_refused_rejected_or_unknown(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Calls) -> None:
        await asked(world, call, "REJECTED")
        assert (await call("GET", "/requests/R1"))[1]["isEnded"]
        asking = asyncio.create_task(call("POST", "/requests", REQUEST | {"homeRequestId": "R2"}))
        await world.until("POST", "/transactionRequests", 2)
        path = f"/transactionRequests/{world.asked[-1][2]['transactionRequestId']}/error"
        assert await world.hub_passes_on("PUT", path, error("4101")) == 200
        status, failed = await asking
        assert (status, failed["state"], failed["errorCode"]) == (200, "FAILED", "4101")
        assert (await call("GET", "/requests/R3"))[0] == 404
        assert (await call("POST", "/requests/R3/otp", {"otp": "1"}))[0] == 404
        assert (await call("POST", "/requests/R1/otp", {"otp": "1 2"}))[0] == 400
        assert (await call("POST", "/requests", REQUEST | {"amount": "x", "homeRequestId": "R3"}))[0] == 400
        assert (await call("POST", "/receivedRequests/R3/reject"))[0] == 404

    tell(tmp_path, story)


def test_a_late_refusal_of_a_repeated_request_does_not_undo_its_answer(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Calls) -> None:
        asking = asyncio.create_task(call("POST", "/requests", REQUEST))
        await world.until("POST", "/transactionRequests")
        late = asyncio.Event()
        world.held = {"POST /transactionRequests": late}
        world.refuses["POST /transactionRequests"] = (400, "3100")
        await world.until("POST", "/transactionRequests", 2)
        path = f"/transactionRequests/{world.bodies('POST', '/transactionRequests')[0]['transactionRequestId']}"
        assert await world.hub_passes_on("PUT", path, {"transactionRequestState": "RECEIVED"}) == 200
        late.set()
        assert (await asking)[1]["answer"] == "RECEIVED"
        assert (await call("GET", "/requests/R1"))[1]["state"] == "ANSWERED"

    tell(tmp_path, story)


def test_a_request_that_an_earlier_run_has_left_is_continued_and_its_late_answer_is_told(tmp_path: Path) -> None:
    """Once with the lookup unanswered, once with the request itself."""

    class Notes(Core):
        def __init__(self) -> None:
            super().__init__()
            self.told: list[tuple[str, str]] = []

        async def request_told(self, transaction_request_id: str, home_id: str, state: str) -> None:
            self.told.append((home_id, state))

    core = Notes()

    async def story(world: Scheme, call: Calls) -> None:
        await world.stop()
        world.core = core
        await world.start()
        world.answers.discard("parties")
        status, shown = await call("POST", "/requests", REQUEST)
        assert (status, shown["state"]) == (202, "LOOKUP")
        await world.stop()
        world.answers.add("parties")
        await world.start()
        await world.until("POST", "/transactionRequests")
        await world.stop()
        await world.start()
        await world.until("POST", "/transactionRequests", 2)
        request_id = shown["transactionRequestId"]
        assert {body["transactionRequestId"] for body in world.bodies("POST", "/transactionRequests")} == {request_id}
        path = f"/transactionRequests/{request_id}"
        assert await world.hub_passes_on("PUT", path, {"transactionRequestState": "RECEIVED"}) == 200
        for _ in range(200):
            if core.told:
                break
            await asyncio.sleep(0.02)
        assert core.told == [("R1", "RECEIVED")]
        assert (await call("POST", "/requests", REQUEST))[1]["answer"] == "RECEIVED"
        # A core that waits for the answer gets it only once.
        sent = world.count("POST", "/transactionRequests")
        asking = asyncio.create_task(call("POST", "/requests", REQUEST | {"homeRequestId": "R2"}))
        await world.until("POST", "/transactionRequests", sent + 1)
        path = f"/transactionRequests/{world.bodies('POST', '/transactionRequests')[-1]['transactionRequestId']}"
        assert await world.hub_passes_on("PUT", path, {"transactionRequestState": "RECEIVED"}) == 200
        assert (await asking)[1]["answer"] == "RECEIVED"
        await asyncio.sleep(0.2)
        assert core.told == [("R1", "RECEIVED")]

    tell(tmp_path, story, agree_s=1.0, ask_again_s=0.3)


QUESTION = "?authenticationType=OTP&retriesLeft={}&amount=100&currency=TZS"


async def blue_asks_for_the_password(world: Scheme, request_id: str, retries: int) -> None:
    path = f"/authorizations/{request_id}" + QUESTION.format(retries)
    assert await world.hub_passes_on("GET", path, None) == 202


def test_a_password_is_passed_on_when_it_is_entered_and_a_wrong_one_is_asked_for_again(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Calls) -> None:
        request_id = await asked(world, call, otp=True)
        path = f"/authorizations/{request_id}"
        assert not (await call("GET", "/requests/R1"))[1]["isOtpWanted"]
        for number, (retries, entered) in enumerate(((2, "111111"), (1, "222222"))):
            await blue_asks_for_the_password(world, request_id, retries)
            assert (await call("GET", "/requests/R1"))[1]["isOtpWanted"]
            assert world.count("PUT", path) == 2 * number
            if number:  # over a restart
                await world.stop()
                await world.start()
            assert not (await call("POST", "/requests/R1/otp", {"otp": entered}))[1]["isOtpWanted"]
            await world.until("PUT", path, 2 * number + 1)
            # The same question again, because the answer was lost, gets the same answer.
            await blue_asks_for_the_password(world, request_id, retries)
            await world.until("PUT", path, 2 * number + 2)
            info = {"authentication": "OTP", "authenticationValue": entered}
            assert world.bodies("PUT", path)[-1] == {"responseType": "ENTERED", "authenticationInfo": info}

    tell(tmp_path, story)


def test_a_stranger_gets_no_password(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Calls) -> None:
        request_id = await asked(world, call, otp=True)
        await call("POST", "/requests/R1/otp", {"otp": "123456"})
        path = f"/authorizations/{request_id}" + QUESTION.format(1)
        assert await world.hub_passes_on("GET", path, None, source="red") in (400, 404)
        await asyncio.sleep(0.1)
        assert world.count("PUT", "/authorizations") == 0

    tell(tmp_path, story)


def test_the_command_asks_and_waits_until_it_is_paid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def story(world: Scheme, call: Calls) -> None:
        text = f"""dfsp = "green"
hub_url = "{world.config.hub_url}"
state = "{world.config.state}"
ilp_secret = "a secret of green's"
outbound_port = {world.config.outbound_port}
"""
        (tmp_path / "connector.toml").write_text(text)
        known = ["--config", str(tmp_path / "connector.toml"), "--to", "MSISDN/255712001001", "--wait", "20"]
        given = ["request", f"MSISDN/{PAYEE}", "100", "TZS", "--id", "R9", *known]
        running = asyncio.create_task(asyncio.to_thread(command_line.main, given))
        await world.until("POST", "/transactionRequests", 4)  # the command sends the unanswered request again
        request_id = world.asked[-1][2]["transactionRequestId"]
        answer = {"transactionRequestState": "RECEIVED"}
        assert await world.hub_passes_on("PUT", f"/transactionRequests/{request_id}", answer) == 200
        transfer_id = await paid_by_blue(world, request_id)
        assert await running == 0
        said = capsys.readouterr().out
        assert "RECEIVED 100 TZS from" in said
        assert f"PAID 100 TZS by the payer at blue  (transfer {transfer_id})" in said.replace("None", "the payer")

    tell(tmp_path, story, agree_s=1.0, ask_again_s=0.3)


def test_a_command_whose_request_may_have_begun_shows_its_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "connector.toml").write_text(
        'dfsp = "green"\nhub_url = "http://127.0.0.1:9"\nstate = "s"\n'
        'ilp_secret = "0123456789abcdef"\noutbound_port = 9\n'
    )
    known = ["--config", str(tmp_path / "connector.toml"), "--to", "MSISDN/255712001001"]
    assert command_line.main(["request", f"MSISDN/{PAYEE}", "100", "TZS", "--id", "R7", *known]) == 1
    assert "with --id R7 is the same request" in capsys.readouterr().err


# --- the document -----------------------------------------------------------------------------------------------------


POSITION = {"currency": "TZS", "isActive": True, "position": "-250", "reserved": "0", "cover": "1000", "free": "1250"}
LINE = {
    "transferId": "b51ec534-ee48-4575-b6a9-ead2955b8069",
    "direction": "OUT",
    "payerFsp": "green",
    "payeeFsp": "blue",
    "amount": "100",
    "currency": "TZS",
    "state": "COMMITTED",
    "receivedDate": "2026-01-01T00:00:00.000Z",
}


def test_the_hubs_figures_reach_the_core(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Calls) -> None:
        period = "since=2026-01-01T00:00:00.000Z&until=2026-01-02T00:00:00.000Z"
        world.figures |= {
            "/dfsp/v1/positions": {"positions": [POSITION]},
            "/dfsp/v1/statement": {"transfers": [LINE], "conversions": [], "postings": [], "next": "abc"},
        }
        status, found = await call("GET", "/positions")
        assert (status, found["positions"][0]["position"], found["positions"][0]["netDebitCap"]) == (200, "-250", None)
        status, page = await call("GET", f"/statement?{period}&limit=1")
        assert (status, page["transfers"][0]["transferId"], page["next"]) == (200, LINE["transferId"], "abc")
        for wrong in ("since=2026-01-01T00:00:00.000Z", f"{period}&participant=blue", "", "until=x"):
            assert (await call("GET", f"/statement?{wrong}"))[0] == 400, wrong
        world.refuses["GET /dfsp"] = (403, "3000")
        for path in ("/positions", f"/statement?{period}"):
            status, refused = await call("GET", path)
            assert (status, refused["errorInformation"]["errorCode"]) == (502, "1001")

    tell(tmp_path, story)


def test_the_document_has_every_call_and_no_other(tmp_path: Path) -> None:
    async def story(world: Scheme, call: Calls) -> None:
        assert await call("GET", "/openapi.json") == (200, DOCUMENT)
        served = [
            {
                (route.method.lower(), route.resource.canonical)
                for route in app.router.routes()
                if route.resource is not None and route.method != "HEAD"
            }
            for app in _applications()
        ]
        of_cores = [calls for calls in served if ("post", "/payments") in calls]
        assert of_cores
        assert all(calls == {(each.method, each.path) for each in openapi.CALLS} for calls in of_cores)

    tell(tmp_path, story)


def _applications() -> list[web.Application]:
    return [each for each in gc.get_objects() if issubclass(type(each), web.Application) and each.frozen]


def test_every_type_in_the_document_is_described() -> None:
    assert set(DOCUMENT["webhooks"]) == set(event_messages.KINDS) == set(event_messages.SUMMARIES)
    text = json.dumps(DOCUMENT)
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(DOCUMENT["components"]["schemas"])


# --- as the payer's DFSP ----------------------------------------------------------------------------------------------


ASKED = TransactionRequestPost(
    transaction_request_id="b51ec534-ee48-4575-b6a9-ead2955b8069",
    payee=Party(party_id_info=PartyIdInfo(party_id_type="MSISDN", party_identifier="1", fsp_id="blue"), name="Baraka"),
    payer=PartyIdInfo(party_id_type="MSISDN", party_identifier="2"),
    amount=Money(currency="TZS", amount="10"),
    transaction_type=TransactionType(scenario="PAYMENT", initiator="PAYEE", initiator_type="BUSINESS"),
    authentication_type="OTP",
)


@pytest.mark.parametrize(
    ("status", "body", "state", "code"),
    [
        (200, {"transactionRequestState": "PENDING"}, "PENDING", None),
        (200, {}, "RECEIVED", None),
        (404, {}, None, "4102"),
        (501, None, None, "4102"),
        (404, {"statusCode": "3204", "message": "no such customer"}, None, "3204"),
    ],
)
def test_a_core_may_take_requests_to_pay_refuse_them_or_not_know_them(
    status: int, body: Any, state: str | None, code: str | None
) -> None:
    got: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        got.append(await request.json())
        return web.json_response(body, status=status) if body is not None else web.Response(status=status)

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/transactionrequests", take)
        runner = web.AppRunner(app)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            async with HttpBackend(f"http://127.0.0.1:{port}") as core:
                if code is not None:
                    with pytest.raises(Refused) as caught:
                        await core.take_request(ASKED, "blue")
                    assert caught.value.code == code
                else:
                    assert (await core.take_request(ASKED, "blue")).transaction_request_state == state
        finally:
            await runner.cleanup()

    asyncio.run(main())
    assert (got[0]["to"]["fspId"], got[0]["from"]["idValue"]) == ("blue", "2")
    assert (got[0]["amount"], got[0]["authenticationType"]) == ("10", "OTP")
