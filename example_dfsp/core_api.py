"""The core's API for the bank's connector: customers, terms, transfers and requests to pay.

Only the connector and the staff's scripts may have access to this API, because calls of the API credit customers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web

from example_dfsp.approvals import APPROVES, Approvals
from example_dfsp.arrivals import Arrivals, arrival_of
from example_dfsp.books import Books, Conflict
from example_dfsp.customers import LIMIT, Customer, Customers
from example_dfsp.fees import shop_fee
from example_dfsp.requests_to_pay import RequestRefused, RequestsToPay
from kitovu_connector import format_amount, parse_amount

log = structlog.get_logger(__name__)


class CoreApi:
    """Serves the connector."""

    def __init__(
        self,
        customers: Customers,
        books: Books,
        arrivals: Arrivals,
        requests: RequestsToPay,
        approvals: Approvals,
    ) -> None:
        self._customers, self._books, self._arrivals = customers, books, arrivals
        self._requests, self._approvals = requests, approvals

    def add_to(self, app: web.Application) -> None:
        """Adds the API's calls to an aiohttp application."""
        app.router.add_get("/parties/{id_type}/{id_value}", self._party)
        app.router.add_post("/quoterequests", self._terms)
        app.router.add_post("/transfers", self._reserve)
        app.router.add_put("/transfers/{id}", self._end)
        app.router.add_post("/transactionrequests", self._request)

    async def _party(self, request: web.Request) -> web.Response:
        customer = self._customers.of_alias(request.match_info["id_type"], request.match_info["id_value"])
        if customer is None:
            return no(404, "3204", "no such customer")
        return web.json_response({"displayName": customer.name, "supportedCurrencies": [customer.currency]})

    async def _terms(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        customer = self._payee(wanted)
        amount = parse_amount(wanted["amount"])
        if customer is None:
            return no(400, "5107", "no such customer")
        if wanted["currency"] != customer.currency:
            return no(400, "5106", f"the customer's account is in {customer.currency}")
        if customer.manner == "limit" and amount > LIMIT:
            return no(400, "5200", "the amount exceeds this account's limit")
        fee = shop_fee(amount) if customer.kind == "shop" and wanted.get("transactionType") == "PAYMENT" else 0
        receives = amount if wanted.get("amountType") == "RECEIVE" else amount - fee
        return web.json_response(
            {"payeeReceiveAmount": format_amount(receives), "payeeFspFeeAmount": format_amount(fee)}
        )

    async def _reserve(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        customer = self._payee(wanted)
        if customer is None or customer.manner == "rejects":
            return no(400, "5104", "this account accepts no payments")
        if customer.manner == "silent":
            return web.Response(status=503)
        if wanted["currency"] != customer.currency:
            return no(400, "5106", f"the customer's account is in {customer.currency}")
        arrival = arrival_of(wanted["transferId"], customer.msisdn, wanted)
        try:
            await asyncio.to_thread(self._arrivals.expect, arrival)
        except Conflict as error:
            return no(409, "5104", str(error))  # final: the connector rejects the transfer with this text
        return web.json_response({"homeTransactionId": wanted["transferId"]})

    async def _end(self, request: web.Request) -> web.Response:
        told, transfer_id = await request.json(), request.match_info["id"]
        if told["transferState"] != "COMMITTED":
            await asyncio.to_thread(self._arrivals.forget, transfer_id)
            return web.json_response({})
        await asyncio.to_thread(self._credit, transfer_id, told)
        return web.json_response({})

    def _credit(self, transfer_id: str, told: dict[str, Any]) -> None:
        customer = self._payee(told)
        with self._books.transaction():
            msisdn = customer.msisdn if customer else told["to"]["idValue"]
            self._arrivals.credit(arrival_of(transfer_id, msisdn, told))
            arrival = self._arrivals.get(transfer_id)
            if arrival is not None and arrival.home_request_id is not None:
                self._requests.paid(arrival.home_request_id, transfer_id)

    async def _request(self, request: web.Request) -> web.Response:
        """Stores a request to pay that another bank has sent. The customer approves or rejects the request later."""
        told = await request.json()
        payer = self._customers.of_alias(told["from"]["idType"], told["from"]["idValue"])
        try:
            await asyncio.to_thread(self._requests.take, told, payer, parse_amount(told["amount"]))
        except RequestRefused as error:
            return no(400, error.code, error.text)
        if payer is not None and payer.manner == APPROVES:
            self._approvals.approve_soon(told["transactionRequestId"])
        return web.json_response({"transactionRequestState": "RECEIVED"})

    def _payee(self, told: dict[str, Any]) -> Customer | None:
        return self._customers.of_alias(told["to"]["idType"], told["to"]["idValue"])


@web.middleware
async def conflicts(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Responds with 409 if the books have different content under the reference or id of the request. In this case, the
    books have posted nothing."""
    try:
        return await handler(request)
    except Conflict as error:
        log.error("other_content_in_books", path=request.path, why=str(error))
        return no(409, "3106", str(error))


@web.middleware
async def no_browsers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuses requests that a browser sends for a web page, because calls of this API credit customers."""
    if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
        return no(403, "4000", "these calls are for the connector and the bank's staff, and not for web pages")
    return await handler(request)


def no(status: int, code: str, message: str) -> web.Response:
    """Returns a refusal in the form that the connector reads."""
    return web.json_response({"statusCode": code, "message": message}, status=status)
