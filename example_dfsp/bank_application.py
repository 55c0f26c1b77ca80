"""One example bank: connects the books, the customers and the connector, and answers the API calls of the staff's
scripts."""

import asyncio
from typing import Any

import structlog
from aiohttp import web

from example_dfsp.approvals import Approvals
from example_dfsp.arrivals import Arrivals
from example_dfsp.books import Books, Overdrawn
from example_dfsp.cash_entries import Counter
from example_dfsp.connector_calls import ConnectorCalls
from example_dfsp.core_api import CoreApi, conflicts, no, no_browsers
from example_dfsp.customers import Customer, Customers
from example_dfsp.instructions import Instruction, Instructions
from example_dfsp.own_payments import OwnPayments
from example_dfsp.payment_batches import Batches
from example_dfsp.payments import Payments
from example_dfsp.requests_to_pay import RequestsToPay
from kitovu_connector.amounts import AmountError, format_amount, parse_amount

log = structlog.get_logger(__name__)


class Bank:
    """One bank. `connector_url` is the URL at which the bank's connector serves its outbound API."""

    def __init__(self, name: str, customers: list[Customer], books: Books, connector_url: str) -> None:
        self.name, self.books = name, books
        self.is_registered = asyncio.Event()  # set when the aliases of all customers are registered
        self.customers = Customers(customers)
        self.calls = ConnectorCalls(connector_url)
        with books.transaction():
            for customer in customers:
                books.open_account(customer.msisdn, customer.balance, customer.currency)
        self.instructions = Instructions(books)
        self.arrivals = Arrivals(books)
        self.requests = RequestsToPay(name, self.customers, books, self.calls)
        own = OwnPayments(name, self.customers, self.instructions, self.arrivals, self.requests)
        self.counter = Counter(books)
        self.payments = Payments(self.customers, self.instructions, self.calls, own)
        self.payments.code_of, self.payments.reject_request = self.requests.code_of, self.requests.reject

        self.approvals = Approvals(self.instructions, self.payments, self.requests)
        self.batches = Batches(books, self.instructions, self.payments)

    def application(self) -> web.Application:
        """Returns the aiohttp application for the connector and the staff's scripts.

        Other programs must not be able to reach the application's address.
        """
        app = web.Application(middlewares=[no_browsers, conflicts])
        CoreApi(self.customers, self.books, self.arrivals, self.requests, self.approvals).add_to(app)
        app.router.add_post("/register", self._register)
        app.router.add_post("/pay", self._pay)
        app.router.add_get("/books", self._show_books)
        app.router.add_get("/health", self._health)
        app.on_startup.append(self._open)
        app.on_cleanup.append(self._close)
        return app

    async def _open(self, _: web.Application) -> None:
        await self.calls.open()
        self.payments.resume()
        self.requests.resume()
        self.batches.resume()

    async def _close(self, _: web.Application) -> None:
        await self.approvals.close()
        await self.batches.close()
        await self.payments.close()
        await self.requests.close()
        await self.calls.close()

    async def _register(self, _: web.Request) -> web.Response:
        """Registers every customer's aliases at the hub."""
        for customer in self.customers.all:
            for id_type, id_value in customer.aliases:
                status, said = await self.calls.call("POST", "/aliases", {"idType": id_type, "idValue": id_value})
                if status != 201:
                    return no(502, "1001", f"an alias was not registered: {said}")
        self.is_registered.set()
        return web.json_response({"registered": len(self.customers.all)})

    async def _pay(self, request: web.Request) -> web.Response:
        """Makes the payment that the request's body describes: {reference, payer, payee, amount, currency, note}.

        If the caller repeats a request with the same reference, the bank pays only once.

        The response is 409 if the reference was already used with different content.
        """
        try:
            wanted = await request.json()
            reference, amount = wanted["reference"], parse_amount(wanted["amount"])
            payee, currency = wanted["payee"], wanted["currency"]
            payer = self.customers.get(wanted["payer"])
        except AmountError as error:
            return no(400, "4000", f"amount: {error}")
        except (ValueError, TypeError) as error:
            return no(400, "4000", f"not a JSON object: {error}")
        except KeyError as error:
            return no(400, "4000", f"{error.args[0]} is missing")
        if payer is None:
            return no(400, "4000", "no such customer")
        if currency != payer.currency or amount == 0:
            return no(400, "4000", f"the amount must be greater than 0, in {payer.currency}")
        wanted_payment = Instruction(
            reference=reference,
            kind="transfer",
            payer=payer.msisdn,
            payee_type="MSISDN",
            payee=payee,
            amount=amount,
            currency=currency,
            note=wanted.get("note") or "",
            asks_first=False,
        )
        try:
            return await self._answer_for(await self.payments.pay(wanted_payment))
        except Overdrawn:
            return no(400, "4200", "the balance does not suffice")

    async def _answer_for(self, found: Instruction) -> web.Response:
        if found.state == "FAILED" and found.transfer_id is None:
            code, text = found.error_code or "4000", found.error_text or "the connector refused the payment"
            shown: dict[str, Any] = {"errorInformation": {"errorCode": code, "errorDescription": text}}
            return web.json_response(shown, status=400)
        if self.customers.of_alias(found.payee_type, found.payee) is not None:
            return web.json_response(_own_shown(found), status=200 if found.is_ended else 202)
        status, said = await self.calls.payment(found.reference)
        if status == 404:  # the connector has not stored the payment yet
            status, said = 503, {"error": "the connector does not have the payment yet"}
        return web.json_response(said, status=status)

    async def _show_books(self, _: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(self.check))

    def check(self) -> dict[str, Any]:
        """Returns the content of the books, and a sentence for each fault in the books or the payments."""
        found = self.books.export()
        found["faults"] = self.faults()
        return found

    def faults(self) -> list[str]:
        """Returns a sentence for each broken rule of the books or the payments. The list is empty if no rule is
        broken."""
        return [*self.books.faults(), *self.instructions.faults()]

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "OK"})


def _own_shown(found: Instruction) -> dict[str, Any]:
    """Returns the answer about a payment between two customers of this bank, in the form of the connector's answers."""
    states = {"PAID": "COMMITTED", "FAILED": "ABORTED"}
    return {
        "homeTransactionId": found.reference,
        "transferId": found.transfer_id,
        "state": states.get(found.state, "ACCEPTED"),
        "isEnded": found.is_ended,
        "payeeName": found.payee_name,
        "transferAmount": format_amount(found.amount),
        "errorCode": found.error_code,
        "errorDescription": found.error_text,
    }
