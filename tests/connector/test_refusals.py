"""Every refusal by the hub or the core ends in an answer to the other side at once, and in one line of the log.

Before, many of them ended in half a minute of silence, and some in a task whose exception was never retrieved.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from hub.local.net import free_port
from kitovu_connector.backend import HttpBackend, PartyDetails, Terms, TermsWanted
from kitovu_connector.core_errors import Refused
from kitovu_connector.payment_states import State
from tests import proofs
from tests.connector.hub_stub import PAYEE, Core, Scheme, error, logged, quote, scheme, stored, terms, told, transfer
from tests.proofs import key_of

AT_ONCE_S = 3.0


def tell(folder: Path, story: Callable[[Scheme], Awaitable[None]], proof: str = "nothing", **more: Any) -> None:
    unretrieved: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unretrieved.append(context))
        async with scheme(folder, proof, **more) as world:
            began = time.monotonic()
            await story(world)
            assert time.monotonic() - began < AT_ONCE_S
        gc.collect()

    gc.freeze()  # all that was there before: to look through it takes longer than a test
    try:
        asyncio.run(run())
    finally:
        gc.unfreeze()
    assert unretrieved == []


async def told_of(world: Scheme, path: str) -> str:
    """The code of the error that green sends under this path."""
    await world.until("PUT", path + "/error")
    return str(world.bodies("PUT", path + "/error")[0]["errorInformation"]["errorCode"])


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(150):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came so")


# --- the core, in process ---------------------------------------------------------------------------------------------


class Gives(Core):
    """A core that gives, or raises, these."""

    def __init__(self, party: Any = None, given: Any = None, reserved: Any = None) -> None:
        super().__init__()
        self._party, self._given, self._reserved = party or PartyDetails("Asha"), given, reserved

    async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        return _given(self._party)  # type: ignore[no-any-return]

    async def give_terms(self, wanted: TermsWanted) -> Terms:
        return _given(self._given or Terms(receive_amount=wanted.amount))  # type: ignore[no-any-return]

    async def reserve(self, incoming: Any) -> None:
        await super().reserve(incoming)
        _given(self._reserved)


def _given(what: Any) -> Any:
    if isinstance(what, Exception):
        raise what
    return what() if callable(what) else what


@asynccontextmanager
async def with_core(world: Scheme, core: Any) -> AsyncIterator[None]:
    await world.stop()
    world.core = core
    await world.start()
    yield


PARTY = "/parties/MSISDN/255712001001"
WRONG_PARTIES = [
    (PartyDetails("Asha", first_name="A/sha"), "2001"),
    (PartyDetails("Asha", first_name="Asha & Co"), "2001"),
    (PartyDetails("A" * 129), "2001"),
    (PartyDetails("Asha", date_of_birth="31.12.1990"), "2001"),
    (PartyDetails("Asha", currencies=("TSH",)), "2001"),
    (PartyDetails(5), "2001"),  # type: ignore[arg-type]
    ({"name": "Asha"}, "2001"),
    (Refused("5400", "blocked"), "5400"),
    (Refused("BLOCKED", "blocked"), "3204"),
    (Refused("54001", ""), "3204"),
    (KeyError("255712001001"), "2001"),
]


@pytest.mark.parametrize(("party", "code"), WRONG_PARTIES)
def test_a_lookup_that_the_core_cannot_answer_is_answered(
    tmp_path: Path, party: Any, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(world: Scheme) -> None:
        async with with_core(world, Gives(party=party)):
            assert await world.hub_passes_on("GET", PARTY, None) == 202
            assert await told_of(world, PARTY) == code

    tell(tmp_path, story)
    lines = [
        line for name in ("core_not_understood", "core_failed", "refused_by_core") for line in logged(caplog, name)
    ]
    assert len(lines) == 1
    assert "255712001001" not in caplog.text


WRONG_TERMS = [
    (lambda: Terms(receive_amount=Decimal(-1)), "2001"),
    (Terms(receive_amount="0"), "2001"),
    (Terms(receive_amount="1", commission="2"), "2001"),
    (lambda: Terms(receive_amount="1", fee="-1"), "2001"),
    (lambda: Terms(receive_amount=Decimal(10**14)), "2001"),
    (Terms(receive_amount=Decimal(99_999_999_999_999), fee="1"), "2001"),
    (lambda: Terms(receive_amount=100), "2001"),  # type: ignore[arg-type]
    (lambda: Terms(receive_amount=1.5), "2001"),  # type: ignore[arg-type]
    (SimpleNamespace(receive_amount=1.5, fee="0", commission="0"), "2001"),
    (Terms(receive_amount="1.0001"), "5103"),  # finer than a cent
    ({"amount": 1}, "2001"),
    (Refused("5200", "limit"), "5200"),
    (Refused("5200", ""), "5200"),
    (Refused("5200", "x" * 300), "5200"),
    (Refused("LIMIT", "too much"), "5103"),
    (Refused("", "too much"), "5103"),
    (ZeroDivisionError(), "2001"),
]


@pytest.mark.parametrize(("given", "code"), WRONG_TERMS)
def test_a_quote_that_the_core_cannot_answer_is_answered(tmp_path: Path, given: Any, code: str) -> None:
    async def story(world: Scheme) -> None:
        async with with_core(world, Gives(given=given)):
            asked = quote()
            assert await world.hub_passes_on("POST", "/quotes", asked) == 202
            assert await told_of(world, f"/quotes/{asked['quoteId']}") == code

    tell(tmp_path, story)


async def offered(world: Scheme) -> dict[str, Any]:
    """A transfer of blue's on terms of green's."""
    asked = quote()
    assert await world.hub_passes_on("POST", "/quotes", asked) == 202
    await world.until("PUT", f"/quotes/{asked['quoteId']}")
    return transfer(world.bodies("PUT", f"/quotes/{asked['quoteId']}")[0])


@pytest.mark.parametrize(
    ("no", "code"), [(Refused("5104", "no"), "5104"), (Refused("NO", "no"), "5105"), (Refused("51", ""), "5105")]
)
def test_a_transfer_that_the_core_refuses_is_rejected(tmp_path: Path, no: Refused, code: str) -> None:
    async def story(world: Scheme) -> None:
        async with with_core(world, Gives(reserved=no)):
            body = await offered(world)
            assert await world.hub_passes_on("POST", "/transfers", body) == 202
            assert await told_of(world, f"/transfers/{body['transferId']}") == code
            assert world.core.released == []  # it reserved nothing

    tell(tmp_path, story)


# --- the core, over HTTP ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def over_http(answers: dict[str, tuple[int, Any]], told: list[tuple[str, str]]) -> AsyncIterator[HttpBackend]:
    """A core with these answers by "METHOD /resource"."""

    async def answer(request: web.Request) -> web.Response:
        told.append((request.method, request.path))
        status, said = answers.get(f"{request.method} /{request.path.split('/')[1]}", (200, {}))
        if isinstance(said, bytes):
            return web.Response(status=status, body=said)
        return web.json_response(said, status=status)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with HttpBackend(f"http://127.0.0.1:{port}") as backend:
        yield backend
    await runner.cleanup()


KNOWN: dict[str, tuple[int, Any]] = {"GET /parties": (200, {"displayName": "Asha"})}


@pytest.mark.parametrize(
    ("status", "said", "code"),
    [
        (404, {}, "3204"),
        (400, {"statusCode": "5400", "message": "blocked"}, "5400"),
        (400, {"statusCode": 5400}, "5400"),
        (403, {"statusCode": "E7"}, "3204"),
        (400, {"message": "no"}, "2001"),
        (401, b"", "2001"),
        (200, {}, "2001"),
        (200, {"displayName": 5}, "2001"),
        (200, b"\xff", "2001"),
        (200, {"displayName": "Asha", "lastName": "a/b"}, "2001"),
    ],
)
def test_a_party_over_http_is_answered_whatever_the_core_says(
    tmp_path: Path, status: int, said: Any, code: str
) -> None:
    async def story(world: Scheme) -> None:
        async with over_http({"GET /parties": (status, said)}, []) as backend, with_core(world, backend):
            assert await world.hub_passes_on("GET", PARTY, None) == 202
            assert await told_of(world, PARTY) == code

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("status", "said", "code"),
    [
        (400, {"statusCode": "5200", "message": "limit"}, "5200"),
        (400, {"statusCode": "LIMIT"}, "5103"),
        (400, {}, "2001"),
        (200, {}, "2001"),
        (200, {"payeeReceiveAmount": 100}, "2001"),
        (200, {"payeeReceiveAmount": "1e2"}, "2001"),
        (200, {"payeeReceiveAmount": "999999999999999999"}, "2001"),
        (200, b"<html>", "2001"),
    ],
)
def test_terms_over_http_are_answered_whatever_the_core_says(tmp_path: Path, status: int, said: Any, code: str) -> None:
    async def story(world: Scheme) -> None:
        answers = KNOWN | {"POST /quoterequests": (status, said)}
        async with over_http(answers, []) as backend, with_core(world, backend):
            asked = quote()
            assert await world.hub_passes_on("POST", "/quotes", asked) == 202
            assert await told_of(world, f"/quotes/{asked['quoteId']}") == code

    tell(tmp_path, story)


@pytest.mark.parametrize("amount", ["100", "100.0", "100.00", "99.50"])
def test_a_core_may_write_zeros_at_the_end_of_an_amount(tmp_path: Path, amount: str) -> None:
    async def story(world: Scheme) -> None:
        said = {"payeeReceiveAmount": amount, "payeeFspFeeAmount": None if amount == "100" else "0.00"}
        answers = KNOWN | {"POST /quoterequests": (200, said)}
        async with over_http(answers, []) as backend, with_core(world, backend):
            asked = quote()
            assert await world.hub_passes_on("POST", "/quotes", asked) == 202
            await world.until("PUT", f"/quotes/{asked['quoteId']}")
            (given,) = world.bodies("PUT", f"/quotes/{asked['quoteId']}")
            assert given["transferAmount"]["amount"] == ("99.5" if amount == "99.50" else "100")

    tell(tmp_path, story)


@pytest.mark.parametrize(("status", "said"), [(400, {}), (404, b"<html>"), (422, {"message": "no"})])
def test_a_core_that_refuses_a_transfer_without_a_code_must_also_release_it(
    tmp_path: Path, status: int, said: Any
) -> None:
    async def story(world: Scheme) -> None:
        asked: list[tuple[str, str]] = []
        terms_given = {"POST /quoterequests": (200, {"payeeReceiveAmount": "100"})}
        answers = KNOWN | terms_given | {"POST /transfers": (status, said)}
        async with over_http(answers, asked) as backend, with_core(world, backend):
            body = await offered(world)
            path = f"/transfers/{body['transferId']}"
            assert await world.hub_passes_on("POST", "/transfers", body) == 202
            assert await told_of(world, path) == "2001"
            await until(lambda: ("PUT", path) in asked)
            assert asked.count(("POST", "/transfers")) == 1

    tell(tmp_path, story)


# --- the hub refuses what green sends as payee ------------------------------------------------------------------------


def test_a_description_that_the_hub_refuses_is_followed_by_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(world: Scheme) -> None:
        world.refuses["PUT /parties"] = (400, "3100")
        assert await world.hub_passes_on("GET", PARTY, None) == 202
        assert await told_of(world, PARTY) == "2001"

    tell(tmp_path, story)
    (line,) = logged(caplog, "refused_by_hub")
    assert (line["method"], line["resource"], line["code"], line["id"]) == ("PUT", "parties", "3100", None)


def test_terms_that_the_hub_refuses_are_followed_by_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: Scheme) -> None:
        world.refuses["PUT /quotes"] = (400, "3100")
        asked = quote()
        assert await world.hub_passes_on("POST", "/quotes", asked) == 202
        assert await told_of(world, f"/quotes/{asked['quoteId']}") == "5103"

    tell(tmp_path, story)
    assert len(logged(caplog, "refused_by_hub")) == 1


def test_a_fulfilment_that_the_hub_refuses_is_withdrawn_and_only_the_hub_says_what_became_of_it(
    tmp_path: Path,
) -> None:
    """The hub may have taken an earlier copy of it: then it has committed, and the customer is credited."""

    async def story(world: Scheme) -> None:
        world.answers.discard("transfers")
        world.refuses["PUT /transfers"] = (400, "3100")
        for state, known in (("ABORTED", "released"), ("COMMITTED", "credited")):
            body = await offered(world)
            path = f"/transfers/{body['transferId']}"
            assert await world.hub_passes_on("POST", "/transfers", body) == 202
            assert await told_of(world, path) == "5105"
            await world.until("GET", path)
            fulfilment = {"fulfilment": world.bodies("PUT", path)[0]["fulfilment"]} if state == "COMMITTED" else {}
            assert await world.hub_says("PUT", path, told(state, **fulfilment)) == 200
            await until(lambda known=known, body=body: getattr(world.core, known) == [body["transferId"]])

    tell(tmp_path, story)


# --- the hub or the payee refuses what green sends as payer -----------------------------------------------------------


@pytest.mark.parametrize("where", ["GET /participants", "GET /parties", "POST /quotes"])
@pytest.mark.parametrize(
    ("status", "code", "shown"),
    [(401, "3000", "3000"), (403, "3000", "3000"), (400, "3105", "3105"), (400, "3100", "3100"), (404, "", "1001")],
)
def test_a_payment_that_is_turned_away_before_it_is_sent_ends_at_once(
    tmp_path: Path, where: str, status: int, code: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(world: Scheme) -> None:
        world.refuses[where] = (status, code)
        order = asyncio.create_task(world.pay())
        await until(lambda: stored(world.connector._store).payment("P1") is not None)
        ended = await world.ended(seconds=AT_ONCE_S)
        assert (ended.state, ended.error_code) == (State.ABORTED, shown)
        assert world.count("POST", "/transfers") == 0
        order.cancel()

    tell(tmp_path, story)
    (line,) = logged(caplog, "refused_by_hub")
    assert (line["method"], f"/{line['resource']}") == tuple(where.split())
    assert PAYEE not in caplog.text


def test_a_transfer_that_is_turned_away_stays_in_doubt(tmp_path: Path) -> None:
    """Of money, a 401 says nothing."""

    async def story(world: Scheme) -> None:
        world.answers.discard("transfers")
        world.refuses["POST /transfers"] = (401, "3000")
        await world.pay()
        await until(lambda: world.payment().state is State.DOUBT)

    tell(tmp_path, story)


def test_a_payment_to_a_dfsp_whose_key_is_missing_ends_at_once(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.connector._payer.policy = _without_blue(world)
        order = asyncio.create_task(world.pay())
        await until(lambda: stored(world.connector._store).payment("P1") is not None)
        ended = await world.ended(seconds=AT_ONCE_S)
        assert (ended.state, ended.error_code) == (State.ABORTED, "3105")
        assert "blue" in (ended.error_text or "")
        order.cancel()

    tell(tmp_path, story, "signatures")


def _without_blue(world: Scheme) -> Any:
    return replace(world.connector._payer.policy, known_signers=frozenset({"Hub", "red"}))


def test_a_party_whose_dfsps_key_is_missing_ends_the_lookup_that_the_hub_forwarded_it_for(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        del world.connector._keys._files["blue"]
        order = asyncio.create_task(world.pay())
        await until(lambda: stored(world.connector._store).payment("P1") is not None)
        ended = await world.ended(seconds=AT_ONCE_S)
        assert (ended.state, ended.error_code) == (State.ABORTED, "3105")
        order.cancel()

    tell(tmp_path, story, "both")


def test_a_message_of_a_dfsp_whose_key_is_missing_is_refused_with_its_name(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        (tmp_path / "grey.pem").write_text(proofs.private_pem(key_of("grey")))
        for method, path, body in (("GET", PARTY, None), ("POST", "/quotes", quote())):
            assert await world.send(method, path, body, source="grey", signer="grey", shows="hub") == 400
        assert world.core.asked == []

    tell(tmp_path, story, "signatures")


@pytest.mark.parametrize("code", ["1001", "2001", "2003", "7000", "5104", "6000", "3000"])
@pytest.mark.parametrize("proof", ["pinned", "signatures"])
@pytest.mark.parametrize("has_cause", [True, False])
def test_a_rejection_keeps_its_code_and_comes_at_once(tmp_path: Path, code: str, proof: str, has_cause: bool) -> None:
    """Before, 1xxx, 2xxx and 7xxx of a payee came ten seconds later, as 5000 if the hub gave no cause."""

    async def story(world: Scheme) -> None:
        payment = await world.pay()
        path = f"/transfers/{payment.transfer_id}"
        world.state = "ABORTED"
        cause = {"extensionList": {"extension": [{"key": "cause", "value": f"{code}: no"}]}}
        world.tells = lambda state: told(state, **(cause if has_cause else {"extensionList": None}))
        assert await world.hub_passes_on("PUT", path + "/error", error(code)) == 200
        ended = await world.ended(seconds=AT_ONCE_S)
        assert (ended.state, ended.error_code) == (State.ABORTED, code)

    tell(tmp_path, story, proof)


@pytest.mark.parametrize("code", ["1001", "2001", "7000", "5200"])
def test_a_refusal_of_lookup_or_terms_keeps_its_code(tmp_path: Path, code: str) -> None:
    async def story(world: Scheme) -> None:
        world.answers -= {"parties", "quotes"}
        for name, resource in (("P1", "parties"), ("P2", "quotes")):
            if resource == "quotes":
                world.answers.add("parties")
            order = asyncio.create_task(world.pay(name))
            await world.until("GET" if resource == "parties" else "POST", f"/{resource}")
            found = world.payment(name)
            path = f"/parties/MSISDN/{PAYEE}" if resource == "parties" else f"/quotes/{found.quote_id}"
            assert await world.hub_passes_on("PUT", path + "/error", error(code)) == 200
            ended = await world.ended(name, seconds=AT_ONCE_S)
            assert (ended.state, ended.error_code) == (State.ABORTED, code)
            order.cancel()

    tell(tmp_path, story, "pinned")


# --- messages that cannot be read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", ["9" * 18, "1" + "0" * 14, "99999999999999999.5"])
def test_an_amount_that_no_book_can_hold_is_refused_with_400(tmp_path: Path, amount: str) -> None:
    async def story(world: Scheme) -> None:
        money = {"currency": "TZS", "amount": amount}
        for changes in ({"amount": money}, {"fees": money}):
            assert await world.hub_passes_on("POST", "/quotes", quote(**changes)) == 400
        body = await offered(world)
        assert await world.hub_passes_on("POST", "/transfers", body | {"amount": money}) == 400
        wanted = {
            "homeTransactionId": "R",
            "from": {"idType": "MSISDN", "idValue": "1"},
            "to": {"idType": "MSISDN", "idValue": PAYEE},
            "amount": amount,
            "currency": "TZS",
        }
        url = f"http://127.0.0.1:{world.config.outbound_port}/payments"
        async with aiohttp.ClientSession() as core, core.post(url, json=wanted) as answer:
            assert answer.status == 400
        assert len(world.core.asked) == 1

    tell(tmp_path, story)


def test_terms_with_such_an_amount_end_the_payment(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.answers.discard("quotes")
        order = asyncio.create_task(world.pay())
        await world.until("POST", "/quotes")
        offer = terms(transferAmount={"currency": "TZS", "amount": "9" * 18})
        assert await world.hub_passes_on("PUT", f"/quotes/{world.payment().quote_id}", offer) == 200
        ended = await world.ended(seconds=AT_ONCE_S)
        assert (ended.state, ended.error_code) == (State.ABORTED, "3100")
        order.cancel()

    tell(tmp_path, story)
