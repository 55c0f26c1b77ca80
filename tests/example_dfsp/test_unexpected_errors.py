"""An unexpected error in the bank or in a response does not stop a payment whose money is held."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from example_dfsp import payments
from example_dfsp.books import Conflict
from example_dfsp.requests_to_pay import RequestMade
from tests.connector.hub_stub import PAYEE, Scheme
from tests.example_dfsp.cases import each
from tests.example_dfsp.test_payments import ASHA, LINES, UNIT, Mortal, impatient, pay_list, tell

__all__ = ["impatient"]


def failing_once(whole: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    """The function, whose first call raises an error."""
    calls: list[int] = []

    def wrapped(*args: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise error
        return whole(*args, **more)

    return wrapped


FULL, LOCKED = sqlite3.OperationalError("disk is full"), sqlite3.OperationalError("database is locked")


@each(
    "case",
    {
        "the disk is full at the end": ("_instructions", "paid", FULL, True),
        "the database is locked with the terms": ("_instructions", "offer", LOCKED, True),
        "an odd response": ("_calls", "payment", KeyError("isEnded"), True),
        "the disk is full at the end of a salary": ("_instructions", "paid", FULL, False),
        "an odd response about a salary": ("_calls", "payment", KeyError("isEnded"), False),
    },
)
def test_the_bank_tries_again_after_an_unexpected_error(case: tuple[str, str, Exception, bool], tmp_path: Path) -> None:
    part, name, error, asks_first = case

    async def story(world: Scheme) -> None:
        world.state = "COMMITTED"
        bank = Mortal(world, tmp_path / "books.sqlite3", "R", asks_first=asks_first)
        await bank.start()
        failing = getattr(bank.bank.payments, part)
        setattr(failing, name, failing_once(getattr(failing, name), error))
        found = await (bank.act() if asks_first else bank.bank.payments.pay(bank.wish))
        for _ in range(100):
            if found is not None and found.is_ended:
                break
            await asyncio.sleep(0.05)
            found = await bank.bank.payments.get("R")
        assert found is not None
        assert found.state == "PAID"
        assert (bank.balance(ASHA), bank.balance("held")) == (895, 0)
        await bank.stop()

    tell(tmp_path, story)


def test_terms_that_cannot_be_read_end_the_payment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(payments, "_TERMS_WITHIN_S", 0.2)

    def odd(*_: Any) -> dict[str, Any]:
        raise ValueError("the conversion is from another currency")

    monkeypatch.setattr(payments, "terms_of", odd)

    async def story(world: Scheme) -> None:
        bank = Mortal(world, tmp_path / "books.sqlite3", "R")
        await bank.start()
        found = await bank.act()
        assert found is not None
        assert (found.state, found.error_code) == ("FAILED", payments.NO_TERMS)
        await bank.stop()

    tell(tmp_path, story)


def test_a_conflict_is_left_to_people(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.state = "COMMITTED"
        bank = Mortal(world, tmp_path / "books.sqlite3", "R", asks_first=False)
        await bank.start()
        instructions = bank.bank.payments._instructions
        instructions.paid = failing_once(instructions.paid, Conflict("R is odd"))  # type: ignore[method-assign]
        with pytest.raises(Conflict):
            await bank.bank.payments.pay(bank.wish)
        assert bank.bank.payments._tasks == {}
        assert bank.balance("held") == 105
        await bank.stop()

    tell(tmp_path, story)


def test_a_request_is_followed_after_an_odd_response(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        bank = Mortal(world, tmp_path / "books.sqlite3", "R")
        await bank.start()
        requests = bank.bank.requests
        requests._body = failing_once(requests._body, sqlite3.OperationalError("locked"))  # type: ignore[method-assign]
        made = RequestMade(home_id="Q", kind="transfer", payee=ASHA, payer=PAYEE, amount=UNIT, currency="TZS")
        asking = asyncio.create_task(requests.make(made))
        await world.until("POST", "/transactionRequests")
        asking.cancel()
        await bank.stop()

    tell(tmp_path, story)


def test_a_line_of_a_list_is_tried_again(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        bank = Mortal(world, tmp_path / "books.sqlite3", "R")
        await bank.start()
        instructions = bank.bank.instructions
        instructions.add = failing_once(instructions.add, LOCKED)  # type: ignore[method-assign]
        await pay_list(bank)
        assert bank.bank.batches.progress("B").paid == len(LINES)
        await bank.stop()

    tell(tmp_path, story)
