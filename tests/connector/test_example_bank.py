"""The example bank: its books hold one content under a reference, whatever comes again in whatever order."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from example_dfsp.bank_application import Bank
from example_dfsp.books import Books, Conflict, Incoming, Outgoing, Overdrawn
from example_dfsp.customers import Customer
from hub.local.net import free_port
from tests.connector.hub_stub import PAYEE, Scheme, scheme, told

ASHA = "255712001001"
WANTED = Outgoing(ASHA, PAYEE, 50_000, "TZS", "lunch")
MONEY = Incoming("T1", ASHA, 50_000, 1_000)
UNIT = 10_000


@pytest.fixture
def books(tmp_path: Path) -> Books:
    found = Books(tmp_path / "books.sqlite3")
    found.open_account(ASHA, 1000 * UNIT)
    return found


def balances(books: Books) -> dict[str, int]:
    """Without the accounts at nothing, in whole units."""
    exported = books.export()
    assert exported["faults"] == []
    found: dict[str, int] = exported["balances"]  # type: ignore[assignment]
    return {name: balance // UNIT for name, balance in found.items() if balance and name != "capital"}


OTHERS = [
    Outgoing("255712001002", PAYEE, 50_000, "TZS", "lunch"),
    Outgoing(ASHA, "255655001002", 50_000, "TZS", "lunch"),
    Outgoing(ASHA, PAYEE, 5_000_000, "TZS", "lunch"),
    Outgoing(ASHA, PAYEE, 50_000, "KES", "lunch"),
    Outgoing(ASHA, PAYEE, 50_000, "TZS", ""),
]


@pytest.mark.parametrize("other", OTHERS)
def test_a_reference_holds_for_one_payment_only(books: Books, other: Outgoing) -> None:
    assert books.hold("R", WANTED).state == "HELD"
    assert books.hold("R", WANTED).state == "HELD"
    with pytest.raises(Conflict):
        books.hold("R", other)
    assert balances(books) == {ASHA: 995, "held": 5}
    books.settle("R", "T", 50_000)
    with pytest.raises(Conflict):
        books.hold("R", other)
    assert balances(books) == {ASHA: 995, "scheme": 5}


def test_what_was_held_is_all_that_is_settled(books: Books) -> None:
    books.hold("R", WANTED)
    for amount in (5_000_000, 50_001, 0, -1):
        with pytest.raises(Conflict):
            books.settle("R", "T", amount)
    with pytest.raises(Conflict):
        books.settle("unknown", "T", 50_000)
    assert balances(books) == {ASHA: 995, "held": 5}
    books.settle("R", "T", 40_000)  # the terms took less
    assert balances(books) == {ASHA: 996, "scheme": 4}
    books.settle("R", "T", 40_000)
    for other in (("T", 50_000), ("U", 40_000)):
        with pytest.raises(Conflict):
            books.settle("R", *other)
    with pytest.raises(Conflict):
        books.refund("R", "T", "5104")
    assert balances(books) == {ASHA: 996, "scheme": 4}
    assert books.export()["sent"] == {"T": 40_000}


def test_what_was_refunded_is_not_settled(books: Books) -> None:
    books.hold("R", WANTED)
    books.refund("R", "T", "5104")
    books.refund("R", "T", "5104")
    assert balances(books) == {ASHA: 1000}
    with pytest.raises(Conflict):
        books.settle("R", "T", 50_000)
    with pytest.raises(Conflict):
        books.refund("R", "U", "5104")
    with pytest.raises(Conflict):
        books.refund("unknown", None, "4000")
    assert balances(books) == {ASHA: 1000}
    assert books.hold("R", WANTED).error_code == "5104"


def test_more_than_there_is_is_not_held(books: Books) -> None:
    with pytest.raises(Overdrawn):
        books.hold("R", Outgoing(ASHA, PAYEE, 1001 * UNIT, "TZS", ""))
    assert balances(books) == {ASHA: 1000}
    assert books.hold("R", WANTED).state == "HELD"  # nothing was noted under this reference


OTHER_MONEY = [
    Incoming("T1", PAYEE, 50_000, 1_000),
    Incoming("T1", ASHA, 500_000, 1_000),
    Incoming("T1", ASHA, 50_000, 0),
]


@pytest.mark.parametrize("other", OTHER_MONEY)
def test_what_was_announced_is_all_that_is_credited(books: Books, other: Incoming) -> None:
    books.open_account(PAYEE, 0)
    books.expect(MONEY)
    books.expect(MONEY)
    for step in (books.expect, books.credit):
        with pytest.raises(Conflict):
            step(other)
    assert balances(books) == {ASHA: 1000}
    books.credit(MONEY)
    books.credit(MONEY)
    for step in (books.expect, books.credit):
        with pytest.raises(Conflict):
            step(other)
    with pytest.raises(Conflict):
        books.forget("T1")
    assert books.export()["balances"] == {
        ASHA: 1000 * UNIT + 49_000,
        PAYEE: 0,
        "fees": 1_000,
        "held": 0,
        "scheme": -50_000,
        "capital": -1000 * UNIT,
    }


def test_what_was_forgotten_is_neither_announced_nor_credited(books: Books) -> None:
    books.expect(MONEY)
    for transfer_id in ("T1", "T2"):  # of the second nothing was ever announced
        books.forget(transfer_id)
        books.forget(transfer_id)
        for step in (books.expect, books.credit):
            with pytest.raises(Conflict):
                step(Incoming(transfer_id, ASHA, 50_000, 1_000))
    assert balances(books) == {ASHA: 1000}


def test_what_the_hub_committed_is_credited_though_the_books_are_older(books: Books) -> None:
    books.credit(MONEY)
    assert books.export()["received"] == {"T1": 50_000}


def test_books_of_an_earlier_version_are_read(tmp_path: Path, books: Books) -> None:
    books.hold("R", WANTED)
    for column in ("payee", "currency", "note", "paid"):
        books._db.execute(f"ALTER TABLE payment DROP COLUMN {column}")
    older = Books(tmp_path / "books.sqlite3")
    assert older.hold("R", WANTED).state == "HELD"
    with pytest.raises(Conflict):
        older.hold("R", Outgoing(ASHA, PAYEE, 5_000_000, "TZS", "lunch"))
    older.settle("R", "T", 50_000)
    assert balances(older) == {ASHA: 995, "scheme": 5}


# --- through its own API and a connector ------------------------------------------------------------------------------


Pay = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


def tell(folder: Path, story: Callable[[Scheme, Books, Pay], Awaitable[None]], *, answer_s: float = 5.0) -> None:
    async def run() -> None:
        async with scheme(folder, "nothing", answer_s=answer_s) as world:
            books = Books(folder / "books.sqlite3")
            connector = f"http://127.0.0.1:{world.config.outbound_port}"
            bank = Bank("green", [Customer("green", ASHA, "Asha", 1000 * UNIT, "")], books, connector)
            runner = web.AppRunner(bank.application(), access_log=None)
            await runner.setup()
            port = free_port()
            await web.TCPSite(runner, "127.0.0.1", port).start()

            async def pay(method: str = "POST", path: str = "/pay", **changes: Any) -> tuple[int, dict[str, Any]]:
                body = {"reference": "R", "payer": ASHA, "payee": PAYEE, "amount": "5", "currency": "TZS"} | changes
                async with (
                    aiohttp.ClientSession() as people,
                    people.request(method, f"http://127.0.0.1:{port}{path}", json=body) as answer,
                ):
                    return answer.status, await answer.json()

            try:
                await story(world, books, pay)
            finally:
                await runner.cleanup()

    asyncio.run(run())


def test_a_reference_that_was_refused_with_400_does_not_pay_something_else(tmp_path: Path) -> None:
    """It held 5, and settled 500."""

    async def story(world: Scheme, books: Books, pay: Pay) -> None:
        too_long = "n" * 129
        status, said = await pay(note=too_long)
        assert (status, said["errorInformation"]["errorCode"]) == (400, "3100")
        assert balances(books) == {ASHA: 1000}  # nothing can come of it, so nothing is held
        for changes in ({"amount": "500"}, {"amount": "500", "note": too_long}, {"note": ""}):
            assert (await pay(**changes))[0] == 409
        assert (await pay(note=too_long))[0] == 400
        assert world.count("POST", "/quotes") == 0
        assert balances(books) == {ASHA: 1000}

    tell(tmp_path, story)


def test_a_reference_under_way_does_not_pay_something_else(tmp_path: Path) -> None:
    async def story(world: Scheme, books: Books, pay: Pay) -> None:
        world.answers -= {"parties"}
        world.answers -= {"participants"}
        first = asyncio.create_task(pay())
        await world.until("GET", "/participants")
        for changes in ({"amount": "500"}, {"payee": "255655001002"}, {"note": "x"}):
            assert (await pay(**changes))[0] == 409
        assert balances(books) == {ASHA: 995, "held": 5}
        assert (await first)[0] == 202
        assert balances(books) == {ASHA: 995, "held": 5}

    tell(tmp_path, story, answer_s=1.5)


def test_a_connector_that_knows_the_reference_otherwise_moves_nothing(tmp_path: Path) -> None:
    async def story(world: Scheme, books: Books, pay: Pay) -> None:
        await world.pay("R")  # 100, by another way into the connector
        assert (await pay())[0] == 409
        assert balances(books) == {ASHA: 995, "held": 5}  # for people to look at
        path = f"/transfers/{world.payment('R').transfer_id}"
        assert await world.hub_says("PUT", path, told("COMMITTED")) == 200
        assert (await pay())[0] == 409
        assert balances(books) == {ASHA: 995, "held": 5}

    tell(tmp_path, story)


def test_what_the_connector_asks_of_the_bank_is_compared_too(tmp_path: Path) -> None:
    async def story(world: Scheme, books: Books, pay: Pay) -> None:
        money = {
            "transferId": "T1",
            "to": {"idType": "MSISDN", "idValue": ASHA},
            "amount": "5",
            "payeeFspFeeAmount": "0",
        }
        more = money | {"amount": "500"}
        assert (await pay("POST", "/transfers", **money))[0] == 200
        status, said = await pay("POST", "/transfers", **more)
        assert (status, said["statusCode"]) == (409, "5104")
        end = {"transferState": "COMMITTED"}
        assert (await pay("PUT", "/transfers/T1", **more, **end))[0] == 409
        assert balances(books) == {ASHA: 1000}
        assert (await pay("PUT", "/transfers/T1", **money, **end))[0] == 200
        assert (await pay("PUT", "/transfers/T1", transferState="ABORTED"))[0] == 409
        assert balances(books) == {ASHA: 1005, "scheme": -5}
        status, said = await pay("POST", "/transfers", **money | {"transferId": "T2", "currency": "KES"})
        assert (status, said["statusCode"]) == (400, "5106")

    tell(tmp_path, story)


# --- the connector's own outbound API ---------------------------------------------------------------------------------


def test_the_connector_refuses_other_content_under_a_known_reference(tmp_path: Path) -> None:
    party = {"idType": "MSISDN", "idValue": ASHA, "displayName": "Asha"}
    first: dict[str, Any] = {
        "homeTransactionId": "R",
        "from": party,
        "to": {"idType": "MSISDN", "idValue": PAYEE},
        "amount": "5",
        "currency": "TZS",
        "note": "lunch",
    }
    others: list[dict[str, Any]] = [
        {"amount": "500"},
        {"currency": "KES"},
        {"note": "dinner"},
        {"amountType": "RECEIVE"},
        {"transactionType": "PAYMENT"},
        {"subScenario": "RENT"},
        {"initiatorType": "BUSINESS"},
        {"refundInfo": {"originalTransactionId": "b51ec534-ee48-4575-b6a9-ead2955b8069"}},
        {"balanceOfPayments": "123"},
        {"quoteRequestExtensions": [{"key": "k", "value": "v"}]},
        {"transferRequestExtensions": [{"key": "k", "value": "v"}]},
        {"from": party | {"displayName": "Another"}},
        {"from": party | {"idValue": "255712001002"}},
        {"from": party | {"merchantClassificationCode": "5411"}},
        {"to": {"idType": "MSISDN", "idValue": "255655001002"}},
        {"to": {"idType": "MSISDN", "idValue": PAYEE, "idSubValue": "x"}},
    ]

    async def run() -> None:
        async with scheme(tmp_path, "nothing", answer_s=0.3) as world, aiohttp.ClientSession() as core:
            url = f"http://127.0.0.1:{world.config.outbound_port}/payments"

            async def post(body: dict[str, Any]) -> int:
                async with core.post(url, json=body) as answer:
                    return answer.status

            assert await post(first) == 202
            await world.until("POST", "/transfers")
            for other in others:
                assert await post(first | other) == 409, other
            assert await post(first | {"feesAmount": "1"}) == 400  # not known: it would be left out of what is sent
            assert await post(first) == 202
            path = f"/transfers/{world.payment('R').transfer_id}"
            assert await world.hub_says("PUT", path, told("ABORTED")) == 200
            assert await post(first) == 200
            for other in others:
                assert await post(first | other) == 409, other
            assert world.count("POST", "/quotes") == world.count("POST", "/transfers") == 1

    asyncio.run(run())
