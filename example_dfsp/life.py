"""Makes payments of all kinds, so that a demo has continuous traffic. The bank or the scheme refuses some of these
payments. The same seed gives the same random choices.

Each bank acts for its own customers, with the functions that the bank's web site also uses. The customers send money,
buy, request money, refund, pay in cash, take out cash, and get salaries. Some payments fail: an account accepts no
payments, no customer has the number, or the amount is above a limit.

The payments move money from employers and agents to other people and to shops. So that the traffic never ends, a
teller takes cash from a customer whose balance is low, and pays out cash to a customer whose balance is high.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import structlog

from example_dfsp.approvals import APPROVES
from example_dfsp.arrivals import Arrival
from example_dfsp.bank_application import Bank
from example_dfsp.books import Overdrawn
from example_dfsp.cash_entries import CounterEntry
from example_dfsp.customers import CURRENCY, Customer, Kind
from example_dfsp.fees import payer_fee
from example_dfsp.instructions import AboveThePayment, Instruction
from example_dfsp.requests_to_pay import FIXED_CODE, RequestMade, RequestReceived
from example_dfsp.sessions import STAFF
from kitovu_connector import parse_amount

log = structlog.get_logger(__name__)

_NOTES = (
    "lunch",
    "rent",
    "school fees",
    "bus fare",
    "asante sana",
    "water bill",
    "seeds",
    "medicine",
    "harambee",
    "chai",
)
_MOST_AT_ONCE = 20
_NOBODY = "255699999999"
_REJECTS, _ANSWERS_AFTER_S, _ANSWERS_WITHIN_S = 0.2, 30.0, 3600.0  # so that a person can answer first
_REVIEW_S = 600.0  # a person who has opened a request in the browser has this time to answer
_CODE_AFTER_S = 2.0
_ELSEWHERE = 0.8  # the share of payments to another bank
_IN_TZS = {"TZS": 1, "KES": 20}  # the approximate value of one unit of a currency
_LOW, _HIGH = 0.5, 2.0  # a teller restores a customer's first balance if the balance leaves these shares of it


class Life:
    """Makes the payments of one bank's customers. `everybody` contains the customers of all banks."""

    def __init__(self, bank: Bank, everybody: Sequence[Customer], *, rate: float, seed: int) -> None:
        self._bank, self._rate = bank, rate
        self._random = random.Random(f"{seed}/{bank.name}")  # noqa: S311 - a demo, not a secret
        self._mine = [customer for customer in everybody if customer.dfsp == bank.name]
        self._others = [customer for customer in everybody if customer.dfsp != bank.name]
        self._running: set[asyncio.Task[None]] = set()
        self._answering: set[str] = set()  # the ids of requests
        self._actions: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (40, self._transfer),
            (20, self._purchase),
            (10, self._request),
            (8, self._cash_in),
            (8, self._cash_out),
            (5, self._refund),
            (6, self._salary),
            (6, self._refused),
            (5, self._counter),
        ]

    async def run(self) -> None:
        """Waits until the bank's customers are registered at the scheme.

        After the registration, makes payments until the task is cancelled.
        """
        await self._bank.is_registered.wait()
        try:
            while True:
                await asyncio.sleep(self._random.expovariate(self._rate))
                if len(self._running) < _MOST_AT_ONCE:
                    self._start(self.act())
        finally:
            for task in self._running:
                task.cancel()

    async def act(self) -> None:
        """Does one random action of a customer, and answers one request to pay."""
        (_, action), *_ = self._random.choices(self._actions, [weight for weight, _ in self._actions])
        await asyncio.gather(self._logged(action), self._logged(self._answer_request))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _logged(self, action: Callable[[], Awaitable[None]]) -> None:
        try:
            await action()
        except (Overdrawn, AboveThePayment):
            pass  # the bank refuses the payment, as it would refuse a person's payment
        except Exception:
            log.exception("life_stumbled", action=getattr(action, "__name__", ""))

    # --- the actions of customers -------------------------------------------------------------------------------------

    async def _transfer(self) -> None:
        payer = self._one("person", currency=None)
        payee = self._payee("person")
        await self._confirmed(payer, "transfer", payee.aliases[0], self._amount(500, 40_000, payer.currency))

    async def _purchase(self) -> None:
        payer, shop = self._one("person", currency=None), self._payee("shop", CURRENCY)
        await self._confirmed(payer, "merchant", shop.aliases[-1], self._amount(500, 25_000, payer.currency))

    async def _cash_in(self) -> None:
        payee = self._payee("person", CURRENCY)
        await self._confirmed(self._one("agent"), "cash_in", payee.aliases[0], self._amount(2_000, 60_000))

    async def _refused(self) -> None:
        payer, amount = self._one("person"), self._amount(500, 9_000)
        awkward = [customer for customer in (*self._others, *self._mine) if customer.manner in ("rejects", "limit")]
        payee = self._random.choice(awkward)
        if payee.manner == "limit":
            amount = parse_amount("600000")
        alias = ("MSISDN", _NOBODY) if self._random.random() < 0.4 else payee.aliases[0]
        await self._confirmed(payer, "transfer", alias, amount)

    async def _confirmed(
        self, payer: Customer, kind: str, payee: tuple[str, str], amount: int, refunded: Arrival | None = None
    ) -> None:
        new = Instruction(
            reference=self._new_id(),
            kind=kind,  # type: ignore[arg-type]
            payer=payer.msisdn,
            payee_type=payee[0],
            payee=payee[1],
            amount=amount,
            currency=payer.currency,
            note=self._random.choice(_NOTES) if kind == "transfer" else "",
            bank_fee=payer_fee(kind, amount, payer.currency),
            refund_of=refunded.transfer_id if refunded else None,
        )
        found = await self._bank.payments.ask(new)
        if found.state == "OFFERED":
            await self._bank.payments.confirm(found.reference)

    async def _request(self) -> None:
        await self._ask("transfer", self._one("person"), self._payee("person", CURRENCY))

    async def _cash_out(self) -> None:
        payers = [customer for customer in self._others if customer.manner == APPROVES]
        if payers:
            made = await self._ask("cash_out", self._one("agent"), self._random.choice(payers))
            await asyncio.sleep(_CODE_AFTER_S)
            await self._bank.requests.enter_code(made.home_id, FIXED_CODE)

    async def _ask(self, kind: str, payee: Customer, payer: Customer) -> RequestMade:
        return await self._bank.requests.make(
            RequestMade(
                home_id=self._new_id(),
                kind=kind,
                payee=payee.msisdn,
                payer=payer.msisdn,
                amount=self._amount(1_000, 20_000) if kind == "transfer" else self._amount(2_000, 60_000),
                currency=payee.currency,
                note=self._random.choice(_NOTES) if kind == "transfer" else "",
            )
        )

    async def _answer_request(self) -> None:
        """Answers the oldest request to pay after some seconds, unless a person is answering it in the browser."""
        now = time.time()
        found = self._bank.requests.find_received(
            "state = 'OPEN' AND kind = 'transfer' AND created_at BETWEEN ? AND ? AND NOT EXISTS (SELECT 1"
            " FROM instruction i WHERE i.request_id = request_received.request_id"
            " AND (i.state IN ('SENT', 'PAID') OR (i.state <> 'FAILED' AND i.created_at > ?))) ORDER BY created_at",
            now - _ANSWERS_WITHIN_S,
            now - _ANSWERS_AFTER_S,
            now - _REVIEW_S,
            limit=_MOST_AT_ONCE,
        )
        waiting = [asked for asked in found if asked.request_id not in self._answering]
        for asked in waiting[:1]:
            self._answering.add(asked.request_id)
            try:
                await self._answer(asked)
            finally:
                self._answering.discard(asked.request_id)

    async def _answer(self, asked: RequestReceived) -> None:
        """Pays or rejects a request. Rejects a request that cannot be paid, so that no request stays open."""
        approvals = self._bank.approvals
        try:
            is_paid = self._random.random() >= _REJECTS and approvals.begun(asked) is None
            is_paid = is_paid and (await approvals.approve(asked)).state != "FAILED"
        except Overdrawn:
            is_paid = False
        if not is_paid:
            await approvals.reject(asked)

    async def _refund(self) -> None:
        sold = self._bank.arrivals.find(
            "a.scenario = 'PAYMENT' AND i.state = 'COMMITTED' AND NOT EXISTS"
            " (SELECT 1 FROM instruction r WHERE r.refund_of = a.transfer_id) ORDER BY a.arrived_at DESC",
            limit=20,
        )
        if not sold:
            await self._purchase()
            return
        sale = self._random.choice(sold)
        part = sale.amount if self._random.random() < 0.6 else sale.amount // 2 // 10_000 * 10_000
        shop = self._bank.customers.get(sale.payee)
        if part and shop is not None:
            await self._confirmed(shop, "refund", (sale.payer_type, sale.payer), part, sale)

    async def _salary(self) -> None:
        payer = self._one(self._random.choice(["employer", "government"]))
        kind = "benefit" if payer.kind == "government" else "salary"
        await self._bank.payments.pay(
            Instruction(
                reference=self._new_id(),
                kind=kind,  # type: ignore[arg-type]
                payer=payer.msisdn,
                payee_type="MSISDN",
                payee=self._payee("person", CURRENCY).msisdn,
                amount=self._amount(5_000, 90_000),
                currency=payer.currency,
                note="",
                asks_first=False,
            )
        )

    async def _counter(self) -> None:
        """Restores the first balance of a customer whose balance is too low or too high."""
        shares = {
            customer: self._bank.books.balance_of(customer.msisdn) / customer.balance
            for customer in self._mine
            if customer.balance and customer.currency in _IN_TZS
        }
        strayed = [customer for customer, share in shares.items() if not _LOW <= share <= _HIGH]
        if strayed:
            customer = min(strayed, key=shares.__getitem__)
            amount = customer.balance - self._bank.books.balance_of(customer.msisdn)
            entry = CounterEntry(
                self._new_id(), customer.msisdn, amount, customer.currency, "", STAFF["teller"], time.time()
            )
            await asyncio.to_thread(self._bank.counter.post, entry)

    # --- chance -------------------------------------------------------------------------------------------------------

    def _one(self, kind: Kind, currency: str | None = CURRENCY) -> Customer:
        return self._random.choice(
            [
                customer
                for customer in self._mine
                if customer.kind == kind and not customer.manner and currency in (None, customer.currency)
            ]
        )

    def _payee(self, kind: Kind, currency: str | None = None) -> Customer:
        place = self._others if self._random.random() < _ELSEWHERE else self._mine
        return self._random.choice(
            [
                customer
                for customer in place
                if customer.kind == kind and not customer.manner and currency in (None, customer.currency)
            ]
        )

    def _amount(self, least: int, most: int, currency: str = CURRENCY) -> int:
        """Returns a round amount between two bounds in TZS, or an equal amount in another currency. Small amounts are
        more frequent than large amounts."""
        share = self._random.random() ** 2
        return parse_amount(str(round((least + share * (most - least)) / 100) * 100 // _IN_TZS[currency]))

    def _new_id(self) -> str:
        return uuid.uuid4().hex  # not from the seed: a bank that starts again must not repeat its earlier payments
