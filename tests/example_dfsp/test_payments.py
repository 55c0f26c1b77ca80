"""Payments of the bank through a connector and a stub of the hub: whatever is killed and when, the books are whole."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from example_dfsp import payments
from example_dfsp.bank_application import Bank
from example_dfsp.books import Books, Overdrawn
from example_dfsp.customers import Customer
from example_dfsp.instructions import Instruction
from example_dfsp.payment_lists import Line
from hub.local.net import free_port
from tests.connector.hub_stub import PAYEE, Scheme, scheme

ASHA, JUMA = "255712001001", "255712001002"
UNIT = 10_000
CUSTOMERS = [Customer("green", number, number, 1000 * UNIT, "") for number in (ASHA, JUMA)]
MOST_STEPS = 6  # of a payment, from the wish to the receipt


class Killed(BaseException):
    """The bank's process ended here."""


class Mortal:
    """One bank that can be killed before any of its transactions, and started again on the same books."""

    def __init__(self, world: Scheme, path: Path, reference: str, **changes: Any) -> None:
        self._world, self._path = world, path
        values = {"kind": "transfer", "payer": ASHA, "payee_type": "MSISDN", "payee": PAYEE, "amount": 100 * UNIT}
        self.wish = Instruction(
            **{"reference": reference, "currency": "TZS", "bank_fee": 5 * UNIT, **values, **changes}
        )
        self.was_killed = self.is_dead = False

    async def start(self, lives: int | None = None) -> None:
        self.is_dead = False
        books = Books(self._path)
        self.bank = Bank("green", CUSTOMERS, books, f"http://127.0.0.1:{self._world.config.outbound_port}")
        if lives is not None:
            self._limit(books, lives)
        self._runner = web.AppRunner(self.bank.application(), access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", free_port()).start()

    def _limit(self, books: Books, lives: int) -> None:
        left, whole = [lives], books.transaction

        def transaction() -> AbstractContextManager[None]:
            with books._lock:  # otherwise another thread's transaction is taken for an outer one
                left[0] -= not books._depth
            if left[0] < 0:
                self.was_killed = self.is_dead = True
                raise Killed
            return whole()

        books.transaction = transaction  # type: ignore[method-assign]

    async def stop(self) -> None:
        await self._runner.cleanup()
        self.bank.books._db.close()

    async def act(self) -> Instruction | None:
        """What a person does: asks, looks at the terms, and confirms."""
        found = await self.bank.payments.ask(self.wish)
        for _ in range(100):
            if found.state in ("NEW", "SENT") and not self.is_dead:
                await asyncio.sleep(0.05)
                found = await self.bank.payments.get(self.wish.reference) or found
            elif found.state == "OFFERED":
                found = await self.bank.payments.confirm(self.wish.reference)
            else:
                break
        return found

    async def is_killed_before(self, step: int) -> None:
        """Acts until the kill, starts again, and acts again as somebody who sees no receipt does."""
        await self.start(step)
        with suppress(Killed, TimeoutError):
            await asyncio.wait_for(self.act(), 10)
        await self.stop()
        await self.start()
        found = await self.act()
        assert found is not None
        assert found.is_ended, (step, found)

    def balance(self, account: str) -> int:
        assert self.bank.faults() == []
        return self.bank.books.balance_of(account) // UNIT


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments, "PATIENCE_S", 0.05)


def tell(folder: Path, story: Callable[[Scheme], Awaitable[None]]) -> None:
    async def run() -> None:
        async with scheme(folder, "nothing", answer_s=3.0, callback_s=0.2) as world:
            await story(world)

    asyncio.run(run())


@pytest.mark.parametrize(("outcome", "left"), [("COMMITTED", 895), ("ABORTED", 1000)])
def test_a_bank_that_is_killed_between_any_two_steps_debits_once_or_not_at_all(
    outcome: str, left: int, tmp_path: Path
) -> None:
    async def story(world: Scheme) -> None:
        world.state = outcome
        banks = [Mortal(world, tmp_path / f"{step}.sqlite3", f"R{step}") for step in range(MOST_STEPS + 1)]
        await asyncio.gather(*(bank.is_killed_before(step) for step, bank in enumerate(banks)))
        assert [bank.was_killed for bank in banks] == sorted([bank.was_killed for bank in banks], reverse=True)
        assert sum(bank.was_killed for bank in banks) == 4  # wish, terms, money held, end
        assert not banks[-1].was_killed, "there are more steps"
        assert {bank.balance(ASHA) for bank in banks} == {left}
        assert {bank.balance("held") for bank in banks} == {0}
        for bank in banks:
            await bank.stop()

    tell(tmp_path, story)


def test_a_payment_within_the_bank_is_made_once_too(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        banks = [Mortal(world, tmp_path / f"{step}.sqlite3", "R", payee=JUMA) for step in range(MOST_STEPS + 1)]
        await asyncio.gather(*(bank.is_killed_before(step) for step, bank in enumerate(banks)))
        assert {(bank.balance(ASHA), bank.balance(JUMA), bank.balance("fees")) for bank in banks} == {(895, 1100, 5)}
        assert world.asked == []  # the scheme has no part in it
        for bank in banks:
            assert bank.bank.books.export()["sent"] == bank.bank.books.export()["received"] == {}
            await bank.stop()

    tell(tmp_path, story)


LINES = [Line(number, f"L{number}", JUMA, 10 * UNIT) for number in range(2, 8)]


async def pay_list(bank: Mortal) -> None:
    """What an office does: sends its list, has it paid, and waits."""
    batches = bank.bank.batches
    batches.add("B", ASHA, "salary", "november.csv", "TZS", LINES)
    batches.begin("B")
    for _ in range(100):
        found = batches.get("B")
        if bank.is_dead or (found is not None and found.state == "ENDED"):
            return
        await asyncio.sleep(0.05)


def test_a_list_that_is_killed_anywhere_is_paid_once(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        for step in range(0, 25, 3):
            bank = Mortal(world, tmp_path / f"{step}.sqlite3", "R")
            await bank.start(step)
            with suppress(Killed):
                await pay_list(bank)
            await bank.stop()
            assert bank.was_killed == (step < 15)  # the list, its begin, two for each line, and its end
            await bank.start()
            await pay_list(bank)
            assert bank.bank.batches.progress("B").paid == len(LINES)
            assert (bank.balance(ASHA), bank.balance(JUMA), bank.balance("held")) == (940, 1060, 0)
            await bank.stop()

    tell(tmp_path, story)


def test_a_connector_that_is_killed_in_mid_payment_goes_on(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        bank = Mortal(world, tmp_path / "books.sqlite3", "R")
        await bank.start()
        acting = asyncio.create_task(bank.act())
        await world.until("POST", "/transfers")
        await world.stop()
        await asyncio.sleep(0.3)
        assert bank.balance("held") == 105  # in doubt
        world.state = "COMMITTED"
        await world.start()
        found = await acting
        assert found is not None
        assert found.state == "PAID"
        assert (bank.balance(ASHA), bank.balance("fees"), bank.balance("held")) == (895, 5, 0)
        await bank.stop()

    tell(tmp_path, story)


def test_a_direct_payment_is_not_sent_before_its_money_is_held(tmp_path: Path) -> None:
    """A bank that is killed just before it holds the money of a salary must not send it when it starts again."""

    async def story(world: Scheme) -> None:
        world.state = "COMMITTED"
        salary = Mortal(world, tmp_path / "books.sqlite3", "R", kind="salary", asks_first=False, bank_fee=0)
        await salary.start()
        salary.bank.instructions.add(salary.wish)
        await salary.stop()
        await salary.start()
        await asyncio.sleep(0.5)
        assert world.asked == []
        assert salary.balance(ASHA) == 1000
        await salary.bank.payments.pay(salary.wish)
        assert salary.balance(ASHA) == 900
        await salary.stop()

    tell(tmp_path, story)


def test_a_direct_payment_is_stored_with_its_money_or_not_at_all(tmp_path: Path) -> None:
    """Before, a bank that was killed in between showed a refund as under way for ever."""

    async def story(world: Scheme) -> None:
        world.state = "COMMITTED"
        for step in range(3):
            salary = Mortal(world, tmp_path / f"{step}.sqlite3", f"R{step}", asks_first=False, bank_fee=0)
            await salary.start(step)
            with suppress(Killed):
                await salary.bank.payments.pay(salary.wish)
            await salary.stop()
            await salary.start()
            for _ in range(100):
                if not salary.bank.instructions.find("state = 'SENT'"):
                    break
                await asyncio.sleep(0.05)
            assert [found.state for found in salary.bank.instructions.find("1")] == ([] if step == 0 else ["PAID"])
            await salary.stop()

    tell(tmp_path, story)


def test_a_direct_payment_that_is_overdrawn_is_not_stored(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        salary = Mortal(world, tmp_path / "books.sqlite3", "R", asks_first=False, amount=1001 * UNIT)
        await salary.start()
        with pytest.raises(Overdrawn):
            await salary.bank.payments.pay(salary.wish)
        assert salary.bank.instructions.find("1") == []
        assert salary.balance(ASHA) == 1000
        await salary.stop()

    tell(tmp_path, story)


def test_terms_cannot_be_confirmed_before_they_are_known_or_after_they_were_declined(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.answers -= {"quotes"}
        bank = Mortal(world, tmp_path / "books.sqlite3", "R")
        await bank.start()
        await bank.bank.payments.ask(bank.wish)
        assert (await bank.bank.payments.confirm("R")).state == "NEW"
        assert (await bank.bank.payments.decline("R")).state == "FAILED"
        assert (await bank.bank.payments.confirm("R")).state == "FAILED"
        assert bank.balance(ASHA) == 1000
        assert world.count("POST", "/transfers") == 0
        await bank.stop()

    tell(tmp_path, story)


def test_what_the_hub_refuses_and_what_the_balance_does_not_reach_costs_nothing(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.refuses["POST /transfers"] = (400, "4200")
        bank = Mortal(world, tmp_path / "books.sqlite3", "R")
        await bank.start()
        found = await bank.act()
        assert found is not None
        assert (found.state, found.error_code) == ("FAILED", "4200")
        assert bank.balance(ASHA) == 1000
        bank.wish = Instruction(
            reference="Q",
            kind="transfer",
            payer=ASHA,
            payee_type="MSISDN",
            payee=PAYEE,
            amount=1001 * UNIT,
            currency="TZS",
        )
        with pytest.raises(Overdrawn):
            await bank.act()
        assert bank.balance(ASHA) == 1000
        await bank.stop()

    tell(tmp_path, story)
