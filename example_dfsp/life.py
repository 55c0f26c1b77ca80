"""Makes payments of all kinds, so that a demo has continuous traffic. The bank or the scheme refuses some of these
payments. The same seed gives the same random choices.

Each bank acts for its own customers, with the functions that the bank's web site also uses. The customers send money,
buy, request money, refund, pay in cash, take out cash, and get salaries. Some payments fail: an account accepts no
payments, no customer has the number, or the amount is above a limit.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence

import structlog

from example_dfsp.approvals import APPROVES
from example_dfsp.bank_application import Bank
from example_dfsp.books import Overdrawn
from example_dfsp.customers import Customer, Kind
from example_dfsp.fees import payer_fee
from example_dfsp.instructions import AboveThePayment, Instruction
from example_dfsp.requests_to_pay import FIXED_CODE, RequestMade
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
_REJECTS, _ANSWERS_AFTER_S, _ANSWERS_WITHIN_S = 0.2, 30.0, 60.0  # so that a person can answer first
_ELSEWHERE = 0.8  # the share of payments to another bank


class Life:
    """Makes the payments of one bank's customers. `everybody` contains the customers of all banks."""

    def __init__(self, bank: Bank, everybody: Sequence[Customer], *, rate: float, seed: int) -> None:
        self._bank, self._rate = bank, rate
        self._random = random.Random(f"{seed}/{bank.name}")  # noqa: S311 - a demo, not a secret
        self._mine = [customer for customer in everybody if customer.dfsp == bank.name]
        self._others = [customer for customer in everybody if customer.dfsp != bank.name]
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Waits until the bank's customers are registered at the scheme.

        After the registration, makes payments until the task is cancelled.
        """
        await self._bank.is_registered.wait()
        actions: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (40, self._transfer),
            (20, self._purchase),
            (10, self._request),
            (8, self._cash_in),
            (5, self._cash_out),
            (5, self._refund),
            (6, self._salary),
            (6, self._refused),
        ]
        weights = [weight for weight, _ in actions]
        try:
            while True:
                await asyncio.sleep(self._random.expovariate(self._rate))
                if len(self._running) < _MOST_AT_ONCE:
                    (_, action), *_ = self._random.choices(actions, weights)
                    self._start(action)
                    self._start(self._answer_requests)
        finally:
            for task in self._running:
                task.cancel()

    def _start(self, action: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.create_task(self._logged(action))
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
        payer = self._one("person")
        await self._confirmed(payer, "transfer", self._payee("person"), self._amount(500, 40_000))

    async def _purchase(self) -> None:
        shop = self._payee("shop", currency="TZS")
        await self._confirmed(self._one("person"), "merchant", shop, self._amount(500, 25_000), alias=shop.aliases[-1])

    async def _cash_in(self) -> None:
        await self._confirmed(
            self._one("agent"), "cash_in", self._payee("person", currency="TZS"), self._amount(2_000, 60_000)
        )

    async def _refused(self) -> None:
        payer, amount = self._one("person"), self._amount(500, 9_000)
        awkward = [customer for customer in (*self._others, *self._mine) if customer.manner in ("rejects", "limit")]
        payee = self._random.choice(awkward)
        if payee.manner == "limit":
            amount = parse_amount("600000")
        if self._random.random() < 0.4:
            await self._confirmed(payer, "transfer", payee, amount, alias=("MSISDN", _NOBODY))
        else:
            await self._confirmed(payer, "transfer", payee, amount)

    async def _confirmed(
        self, payer: Customer, kind: str, payee: Customer, amount: int, alias: tuple[str, str] | None = None
    ) -> None:
        id_type, id_value = alias or ("MSISDN", payee.msisdn)
        new = Instruction(
            reference=self._new_id(),
            kind=kind,  # type: ignore[arg-type]
            payer=payer.msisdn,
            payee_type=id_type,
            payee=id_value,
            amount=amount,
            currency=payer.currency,
            note=self._random.choice(_NOTES) if kind == "transfer" else "",
            bank_fee=payer_fee(kind, amount, payer.currency),
        )
        found = await self._bank.payments.ask(new)
        if found.state == "OFFERED":
            await self._bank.payments.confirm(found.reference)

    async def _request(self) -> None:
        await self._ask("transfer", self._one("person"), self._payee("person", currency="TZS"))

    async def _cash_out(self) -> None:
        payers = [customer for customer in self._others if customer.manner == APPROVES]
        if payers:
            made = await self._ask("cash_out", self._one("agent"), self._random.choice(payers))
            await asyncio.sleep(2)
            await self._bank.requests.enter_code(made.home_id, FIXED_CODE)

    async def _ask(self, kind: str, payee: Customer, payer: Customer) -> RequestMade:
        return await self._bank.requests.make(
            RequestMade(
                home_id=self._new_id(),
                kind=kind,
                payee=payee.msisdn,
                payer=payer.msisdn,
                amount=self._amount(1_000, 20_000),
                currency=payee.currency,
                note=self._random.choice(_NOTES) if kind == "transfer" else "",
            )
        )

    async def _answer_requests(self) -> None:
        """Answers requests to pay after some seconds, unless a person has answered the request in the browser."""
        before = time.time() - _ANSWERS_AFTER_S
        found = self._bank.requests.find_received(
            "state = 'OPEN' AND kind = 'transfer' AND created_at BETWEEN ? AND ? AND payee_fsp <> ?"
            " AND NOT EXISTS (SELECT 1 FROM instruction i WHERE i.request_id = request_received.request_id)",
            before - _ANSWERS_WITHIN_S,
            before,
            self._bank.name,
        )
        for asked in found[:1]:
            if self._random.random() < _REJECTS:
                await self._bank.approvals.reject(asked)
            else:
                await self._bank.approvals.approve(asked)

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
        if part:
            await self._direct("refund", sale.payee, sale.payer, part, refund_of=sale.transfer_id)

    async def _salary(self) -> None:
        payer = self._one(self._random.choice(["employer", "government"]))
        kind = "benefit" if payer.kind == "government" else "salary"
        await self._direct(
            kind, payer.msisdn, self._payee("person", currency="TZS").msisdn, self._amount(5_000, 90_000)
        )

    async def _direct(self, kind: str, payer: str, payee: str, amount: int, refund_of: str | None = None) -> None:
        customer = self._bank.customers.get(payer)
        assert customer is not None
        await self._bank.payments.pay(
            Instruction(
                reference=self._new_id(),
                kind=kind,  # type: ignore[arg-type]
                payer=payer,
                payee_type="MSISDN",
                payee=payee,
                amount=amount,
                currency=customer.currency,
                note="refund" if refund_of else kind,
                asks_first=False,
                refund_of=refund_of,
            )
        )

    # --- chance -------------------------------------------------------------------------------------------------------

    def _one(self, kind: Kind) -> Customer:
        return self._random.choice(
            [
                customer
                for customer in self._mine
                if customer.kind == kind and not customer.manner and customer.currency == "TZS"
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

    def _amount(self, least: int, most: int) -> int:
        """Returns a round amount between two bounds. Small amounts are more frequent than large amounts."""
        share = self._random.random() ** 2
        return parse_amount(str(round((least + share * (most - least)) / 100) * 100))

    def _new_id(self) -> str:
        return uuid.uuid4().hex  # not from the seed: a bank that starts again must not repeat its earlier payments
