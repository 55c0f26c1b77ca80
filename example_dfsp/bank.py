"""The bank's core: what its connector asks (GET /parties, POST /quoterequests, …) and what its own people do."""

import asyncio
import json
from typing import Any

import aiohttp
from aiohttp import web

from connector.amounts import format_amount, parse_amount
from example_dfsp.books import Books, Overdrawn
from example_dfsp.customers import LIMIT, Customer

FEE_PER_10_000 = 0


class Bank:
    """One bank. `connector_url` is its connector's outbound API."""

    def __init__(self, name: str, customers: list[Customer], books: Books, connector_url: str) -> None:
        self.name, self._books, self._connector_url = name, books, connector_url.rstrip("/")
        self._customers = {customer.msisdn: customer for customer in customers}
        self._session: aiohttp.ClientSession | None = None
        for customer in customers:
            books.open_account(customer.msisdn, customer.balance)

    def application(self) -> web.Application:
        """The aiohttp application; it belongs on an address that only the connector and the bank's people reach."""
        app = web.Application()
        app.router.add_get("/parties/MSISDN/{msisdn}", self._party)
        app.router.add_post("/quoterequests", self._terms)
        app.router.add_post("/transfers", self._reserve)
        app.router.add_put("/transfers/{id}", self._end)
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

    # --- what the connector asks ------------------------------------------------------------------------------------

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
        if customer.manner == "limit" and amount > LIMIT:
            return _no(400, "5200", "this account may not receive so much")
        fee = amount * FEE_PER_10_000 // 10_000
        return web.json_response(
            {"payeeReceiveAmount": format_amount(amount - fee), "payeeFspFeeAmount": format_amount(fee)}
        )

    async def _reserve(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        customer = self._customers.get(wanted["to"]["idValue"])
        if customer is None or customer.manner == "rejects":
            return _no(400, "5104", "this account takes no money")
        if customer.manner == "silent":
            return web.Response(status=503)
        await asyncio.to_thread(
            self._books.expect,
            wanted["transferId"],
            customer.msisdn,
            parse_amount(wanted["amount"]),
            parse_amount(wanted["payeeFspFeeAmount"]),
        )
        return web.json_response({"homeTransactionId": wanted["transferId"]})

    async def _end(self, request: web.Request) -> web.Response:
        end = self._books.credit if (await request.json())["transferState"] == "COMMITTED" else self._books.forget
        await asyncio.to_thread(end, request.match_info["id"])
        return web.json_response({})

    # --- what the bank's people do ----------------------------------------------------------------------------------

    async def _register(self, _: web.Request) -> web.Response:
        """Registers every customer's phone number at the hub."""
        for msisdn in self._customers:
            status, said = await self._connector("POST", "/aliases", {"idType": "MSISDN", "idValue": msisdn})
            if status != 201:
                return _no(502, "1001", f"a phone number was not registered: {said}")
        return web.json_response({"registered": len(self._customers)})

    async def _pay(self, request: web.Request) -> web.Response:
        """Pays {reference, payer, payee, amount, currency, note}; the same reference again is the same payment."""
        wanted = await request.json()
        reference, amount = wanted["reference"], parse_amount(wanted["amount"])
        payer = self._customers.get(wanted["payer"])
        if payer is None:
            return _no(400, "4000", "no such customer")
        try:
            await asyncio.to_thread(self._books.hold, reference, payer.msisdn, amount)
        except Overdrawn:
            return _no(400, "4200", "the balance does not suffice")
        status, said = await self._connector(
            "POST",
            "/payments",
            {
                "homeTransactionId": reference,
                "from": {"idType": "MSISDN", "idValue": payer.msisdn, "displayName": payer.name},
                "to": {"idType": "MSISDN", "idValue": wanted["payee"]},
                "amount": wanted["amount"],
                "currency": wanted["currency"],
                "note": wanted.get("note") or None,
            },
        )
        if status == 200:
            await asyncio.to_thread(
                self._books.settle,
                reference,
                said["transferId"],
                is_paid=said["state"] == "COMMITTED",
                error_code=said["errorCode"],
            )
        return web.json_response(said, status=status)

    async def _show_books(self, _: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(self._books.export))

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "OK"})

    async def _connector(self, method: str, path: str, body: dict[str, object]) -> tuple[int, dict[str, Any]]:
        assert self._session is not None
        try:
            async with self._session.request(method, self._connector_url + path, json=body) as response:
                return response.status, json.loads(await response.read() or b"{}")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return 503, {"error": f"the connector does not answer: {type(error).__name__}"}


def _no(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"statusCode": code, "message": message}, status=status)
