"""The payments that the banks make by themselves: they never run dry, and no request to pay stays open."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from example_dfsp import life, payments, requests_to_pay
from example_dfsp.bank_application import Bank
from example_dfsp.customers import Customer, read_customers
from example_dfsp.life import Life
from example_dfsp.requests_to_pay import RequestMade
from tests.example_dfsp.test_all_pages import GRACE, UPENDO
from tests.example_dfsp.two_banks import two_banks

KINDS = {"transfer", "merchant", "refund", "cash_in", "cash_out", "wages"}
ROUNDS, AT_ONCE = 60, 10  # of each bank's actions
SMALLER = {"agent": 50, "employer": 500, "government": 500, "person": 10, "shop": 5}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments, "PATIENCE_S", 0.5)
    monkeypatch.setattr(requests_to_pay, "_PATIENCE_S", 0.5)
    monkeypatch.setattr(life, "_ANSWERS_AFTER_S", 0.0)
    monkeypatch.setattr(life, "_CODE_AFTER_S", 0.0)


def poorer(customers: Sequence[Customer]) -> list[Customer]:
    """The customers with so little money that agents and employers have paid it out after a few hundred actions."""
    return [replace(customer, balance=customer.balance // SMALLER[customer.kind]) for customer in customers]


async def act(lives: Sequence[Life], rounds: int) -> float:
    """Both banks act. Returns the time at which they began."""
    began = time.time()
    for _ in range(rounds):
        await asyncio.gather(*(life.act() for life in lives for _ in range(AT_ONCE)))
    return began


def paid_since(bank: Bank, began: float) -> set[str]:
    """The kinds of payments that were made. Salaries and benefits are one kind, because there are few of them."""
    rows = bank.books.rows("SELECT DISTINCT kind FROM instruction WHERE state = 'PAID' AND created_at > ?", began)
    return {"wages" if kind in ("salary", "benefit") else kind for (kind,) in rows}


@pytest.mark.thorough
def test_every_kind_of_payment_still_occurs_after_a_long_time(tmp_path: Path) -> None:
    """Before, the agents' float was paid out after an hour, and nobody brought them cash."""

    async def run() -> None:
        everybody = poorer(read_customers())
        async with two_banks(tmp_path, everybody) as found:
            banks = [people.bank for people in found]
            lives = [Life(bank, everybody, rate=1.0, seed=1) for bank in banks]
            await act(lives, ROUNDS * 2 // 3)
            began = await act(lives, ROUNDS // 3)
            await asyncio.sleep(3)  # for the one-time codes of the last cash-outs
            assert [paid_since(bank, began) for bank in banks] == [KINDS, KINDS]
            for bank in banks:
                assert bank.faults() == []
                (refused,) = bank.books.row("SELECT count(*) FROM instruction WHERE state = 'FAILED'") or (0,)
                assert refused
                (converted,) = bank.books.row(
                    "SELECT count(*) FROM instruction WHERE receive_currency <> currency AND state = 'PAID'"
                ) or (0,)
                assert converted

    asyncio.run(run())


@pytest.mark.parametrize("is_poor", [True, False])
def test_requests_within_one_bank_and_older_ones_are_answered_too(is_poor: bool, tmp_path: Path) -> None:
    """Before, they stayed open for a day, and the customer who made fifty of them could make no others."""

    async def run() -> None:
        everybody = read_customers()
        async with two_banks(tmp_path, everybody) as (green, _):
            bank = green.bank
            if is_poor:
                bank.books.pay_out("rent", UPENDO, bank.books.balance_of(UPENDO))
            for number in range(8):
                request = RequestMade(
                    home_id=f"{number:032}",
                    kind="transfer",
                    payee=GRACE,
                    payer=UPENDO,
                    amount=1_000_000,
                    currency="TZS",
                )
                await bank.requests.make(request)
            bank.books.run("UPDATE request_received SET created_at = created_at - 1800 WHERE rowid % 2")
            living = Life(bank, everybody, rate=1.0, seed=1)
            for _ in range(8):
                await living._answer_request()
            assert bank.requests.open_of(GRACE) == 0
            states = Counter(request.state for request in bank.requests.find_made("1"))
            assert set(states) == ({"REJECTED"} if is_poor else {"REJECTED", "PAID"})

    asyncio.run(run())


def test_a_person_who_reads_a_request_has_time_to_answer(tmp_path: Path) -> None:
    async def run() -> None:
        everybody = read_customers()
        async with two_banks(tmp_path, everybody) as (green, _):
            bank = green.bank
            request = RequestMade(
                home_id="a" * 32, kind="transfer", payee=GRACE, payer=UPENDO, amount=1_000_000, currency="TZS"
            )
            await bank.requests.make(request)
            await green.ask(UPENDO, "POST", f"/asked/{'a' * 32}/review")
            living = Life(bank, everybody, rate=1.0, seed=1)
            await living._answer_request()
            assert bank.requests.open_of(GRACE) == 1
            bank.books.run("UPDATE instruction SET created_at = created_at - ?", life._REVIEW_S)
            await living._answer_request()
            assert bank.requests.open_of(GRACE) == 0
            assert [payment.state for payment in bank.instructions.find("1")] == ["FAILED"]

    asyncio.run(run())
