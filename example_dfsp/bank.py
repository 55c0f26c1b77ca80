"""The bank's core, which serves the bank's connector (GET /parties, POST /quoterequests, …) and staff."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import aiohttp
import structlog
from aiohttp import web

from example_dfsp.books import Books, Conflict, Incoming, Outgoing, Overdrawn, Standing
from example_dfsp.customers import LIMIT, Customer
from kitovu_connector.amounts import AmountError, format_amount, parse_amount

FEE_PER_10_000 = 0
CURRENCY = "TZS"  # the currency of all accounts in this bank
PASSWORD = "123456"  # noqa: S105 (the one-time password of every customer, for demonstrations)
_NO_SUCH_PAYMENT = "3200"
_SAYS_NOTHING = frozenset({408, 409, 425, 429})  # 4xx statuses that do not show whether a payment exists

log = structlog.get_logger(__name__)


class Bank:
    """One bank. `connector_url` is its connector's outbound API."""

    def __init__(self, name: str, customers: list[Customer], books: Books, connector_url: str) -> None:
        self.name, self._books, self._connector_url = name, books, connector_url.rstrip("/")
        self._customers = {customer.msisdn: customer for customer in customers}
        self._session: aiohttp.ClientSession | None = None
        self._paying: set[asyncio.Task[web.Response]] = set()
        for customer in customers:
            books.open_account(customer.msisdn, customer.balance)

    def application(self) -> web.Application:
        """Returns the aiohttp application.

        Only the connector and the bank's staff may be able to reach the application's address.
        """
        app = web.Application(middlewares=[_conflicts])
        app.router.add_get("/parties/MSISDN/{msisdn}", self._party)
        app.router.add_post("/quoterequests", self._terms)
        app.router.add_post("/transfers", self._reserve)
        app.router.add_put("/transfers/{id}", self._end)
        app.router.add_post("/transactionrequests", self._request)
        app.router.add_post("/register", self._register)
        app.router.add_post("/pay", self._pay)
        app.router.add_get("/books", self._show_books)
        app.router.add_get("/health", self._health)
        app.on_startup.append(self._open)
        app.on_cleanup.append(self._close)
        return app

    async def _open(self, _: web.Application) -> None:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=90), connector=aiohttp.TCPConnector(limit=100)
        )

    async def _close(self, _: web.Application) -> None:
        assert self._session is not None
        await self._session.close()

    # --- for the connector ------------------------------------------------------------------------------------------

    async def _party(self, request: web.Request) -> web.Response:
        customer = self._customers.get(request.match_info["msisdn"])
        if customer is None:
            return _no(404, "3204", "no such customer")
        return web.json_response({"displayName": customer.name})

    async def _terms(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        customer = self._customers.get(wanted["to"]["idValue"])
        amount = parse_amount(wanted["amount"])
        if customer is None:
            return _no(400, "5107", "no such customer")
        if wanted["currency"] != CURRENCY:
            return _no(400, "5106", f"accounts here are in {CURRENCY}")
        if customer.manner == "limit" and amount > LIMIT:
            return _no(400, "5200", "the amount exceeds this account's limit")
        fee = amount * FEE_PER_10_000 // 10_000
        return web.json_response(
            {"payeeReceiveAmount": format_amount(amount - fee), "payeeFspFeeAmount": format_amount(fee)}
        )

    async def _reserve(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        customer = self._customers.get(wanted["to"]["idValue"])
        if customer is None or customer.manner == "rejects":
            return _no(400, "5104", "this account accepts no payments")
        if customer.manner == "silent":
            return web.Response(status=503)
        if wanted["currency"] != CURRENCY:
            return _no(400, "5106", f"accounts here are in {CURRENCY}")
        try:
            await asyncio.to_thread(self._books.expect, _announced(wanted["transferId"], wanted))
        except Conflict as error:
            return _no(409, "5104", str(error))  # final: the connector rejects the transfer with this text
        return web.json_response({"homeTransactionId": wanted["transferId"]})

    async def _end(self, request: web.Request) -> web.Response:
        told, transfer_id = await request.json(), request.match_info["id"]
        if told["transferState"] == "COMMITTED":
            await asyncio.to_thread(self._books.credit, _announced(transfer_id, told))
        else:
            await asyncio.to_thread(self._books.forget, transfer_id)
        return web.json_response({})

    # --- for the bank's staff ---------------------------------------------------------------------------------------

    async def _register(self, _: web.Request) -> web.Response:
        """Registers every customer's phone number at the hub."""
        for msisdn in self._customers:
            status, said = await self._connector("POST", "/aliases", {"idType": "MSISDN", "idValue": msisdn})
            if status != 201:
                return _no(502, "1001", f"a phone number was not registered: {said}")
        return web.json_response({"registered": len(self._customers)})

    async def _pay(self, request: web.Request) -> web.Response:
        """Pays {reference, payer, payee, amount, currency, note}.

        If a request is repeated with its reference, the bank pays only once.

        A request with a used reference and different content gets 409.
        """
        try:
            wanted = await request.json()
            reference, amount = wanted["reference"], parse_amount(wanted["amount"])
            payee, currency = wanted["payee"], wanted["currency"]
            payer = self._customers.get(wanted["payer"])
        except AmountError as error:
            return _no(400, "4000", f"amount: {error}")
        except (ValueError, TypeError) as error:
            return _no(400, "4000", f"not a JSON object: {error}")
        except KeyError as error:
            return _no(400, "4000", f"{error.args[0]} is missing")
        if payer is None:
            return _no(400, "4000", "no such customer")
        if currency != CURRENCY or amount == 0:
            return _no(400, "4000", f"the amount must be greater than 0, in {CURRENCY}")
        content = Outgoing(payer.msisdn, payee, amount, currency, wanted.get("note") or "")
        return await self._hold_and_send(reference, content, payer, {"amount": wanted["amount"]})

    async def _hold_and_send(
        self, reference: str, content: Outgoing, payer: Customer, more: dict[str, object]
    ) -> web.Response:
        """Reserves the payer's money, then has the connector pay. `more` are further fields of POST /payments."""
        try:
            standing: Standing = await asyncio.to_thread(self._books.hold, reference, content)
        except Overdrawn:
            return _no(400, "4200", "the balance does not suffice")
        if standing.was_never_sent:
            return _no(400, standing.error_code or "4000", "the connector refused the payment; use a new reference")
        status, said = await self._connector(
            "POST",
            "/payments",
            {
                "homeTransactionId": reference,
                "from": {"idType": "MSISDN", "idValue": payer.msisdn, "displayName": payer.name},
                "to": {"idType": "MSISDN", "idValue": content.payee},
                "currency": content.currency,
                "note": content.note or None,
            }
            | more,
        )
        if status == 200 and said.get("waitsFor") == "OTP":
            answer = "confirm" if said["otp"] == PASSWORD else "cancel"
            status, said = await self._connector("POST", f"/payments/{quote(reference, safe='')}/{answer}", None)
        if status == 200 and said["state"] == "COMMITTED":
            moved = parse_amount(said["transferAmount"])
            await asyncio.to_thread(self._books.settle, reference, said["transferId"], moved)
        elif status == 200 and said["state"] == "ABORTED":
            await asyncio.to_thread(self._books.refund, reference, said["transferId"], said["errorCode"])
        elif 400 <= status < 500 and status not in _SAYS_NOTHING and await self._was_never_begun(reference):
            await asyncio.to_thread(self._books.refund, reference, None, _code_of(said))
        return web.json_response(said, status=status)

    async def _request(self, request: web.Request) -> web.Response:
        """Takes a payee's request to pay. Every customer of this bank approves it at once.

        With a one-time password, the customer enters PASSWORD at the payee's device.
        """
        asked = await request.json()
        payer = self._customers.get(asked["from"]["idValue"])
        if payer is None:
            return _no(404, "3204", "no such customer")
        if asked["currency"] != CURRENCY:
            return _no(400, "4103", f"accounts here are in {CURRENCY}")
        content = Outgoing(
            payer.msisdn, asked["to"]["idValue"], parse_amount(asked["amount"]), CURRENCY, asked.get("note") or ""
        )
        more: dict[str, object] = {
            "amount": asked["amount"],
            "amountType": "RECEIVE",
            "transactionType": asked["transactionType"],
            "initiator": asked["initiator"],
            "initiatorType": asked["initiatorType"],
            "transactionRequestId": asked["transactionRequestId"],
            "otp": asked.get("authenticationType") == "OTP",
        }
        reference = f"request-{asked['transactionRequestId']}"
        task = asyncio.create_task(self._hold_and_send(reference, content, payer, more))
        self._paying.add(task)
        task.add_done_callback(self._paying.discard)
        return web.json_response({"transactionRequestState": "RECEIVED"})

    async def _was_never_begun(self, reference: str) -> bool:
        """Returns whether the connector reports that the payment does not exist.

        Without this report from the connector, the payment may yet be made.
        """
        status, said = await self._connector("GET", f"/payments/{quote(reference, safe='')}", None)
        return status == 404 and _code_of(said) == _NO_SUCH_PAYMENT

    async def _show_books(self, _: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(self._books.export))

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "OK"})

    async def _connector(self, method: str, path: str, body: dict[str, object] | None) -> tuple[int, dict[str, Any]]:
        assert self._session is not None
        try:
            async with self._session.request(method, self._connector_url + path, json=body) as response:
                return response.status, json.loads(await response.read() or b"{}")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return 503, {"error": f"no response from the connector: {type(error).__name__}"}


def _announced(transfer_id: str, told: dict[str, Any]) -> Incoming:
    amount, fee = parse_amount(told["amount"]), parse_amount(told["payeeFspFeeAmount"])
    return Incoming(transfer_id, told["to"]["idValue"], amount, fee)


def _code_of(said: dict[str, Any]) -> str:
    return str(said.get("errorInformation", {}).get("errorCode", "4000"))


@web.middleware
async def _conflicts(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Returns 409 if the books have different content for a reference or an id. Then nothing was posted."""
    try:
        return await handler(request)
    except Conflict as error:
        log.error("other_content_in_books", path=request.path, why=str(error))
        return _no(409, "3106", str(error))


def _no(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"statusCode": code, "message": message}, status=status)
