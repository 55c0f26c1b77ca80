"""A bank's core as the reference client's backend API describes it: it knows nothing of Kitovu, and notes every call.

Amounts and identifiers steer it: see `REFUSED` and `UNKNOWN`.
"""

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.reference.operations import Ended

REFUSED = "5006"
"""An amount for which every call that moves money is refused, with a status of 500 as the reference's own cores do."""
NO_TERMS = "5007"
"""An amount for which there are no terms."""
UNKNOWN = "99"
"""The beginning of identifiers that are nobody's."""
RATE = 2
KES_ONLY = "2557770"
"""The beginning of customers who are paid in KES only."""


class Core:
    """One core. `calls` are method, path and body, in order; `answered` has the status of each that was answered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls: list[tuple[str, str, Any]] = []
        self.answered: list[Ended] = []
        self.transfers: dict[str, str] = {}
        self.bulks: dict[str, Any] = {}
        self.fails: dict[str, Callable[[], web.Response]] = {}
        self.port = 0

    def application(self) -> web.Application:
        """Returns the aiohttp application."""
        app = web.Application(middlewares=[self._note])
        routes = app.router
        routes.add_get("/", self._health)
        for path in ("/{type}/{id}", "/{type}/{id}/{sub_id}"):
            routes.add_get("/parties" + path, self._party)
            routes.add_get("/participants" + path, self._owner)
        routes.add_post("/quoterequests", self._quote)
        routes.add_post("/transfers", self._reserve)
        routes.add_get("/transfers/{id}", self._transfer)
        routes.add_put("/transfers/{id}", self._end)
        routes.add_post("/transactionrequests", self._request)
        routes.add_get("/otp/{id}", self._password)
        routes.add_put("/requestToPay/{id}", self._done)
        routes.add_post("/bulkQuotes", self._bulk_quote)
        routes.add_get("/bulkQuotes/{id}", self._bulk_quote_again)
        routes.add_post("/bulkTransfers", self._bulk_reserve)
        routes.add_get("/bulkTransfers/{id}", self._bulk_again)
        routes.add_put("/bulkTransactions/{id}", self._done)
        routes.add_post("/fxQuotes", self._fx_quote)
        routes.add_post("/fxTransfers", self._fx_reserve)
        routes.add_put("/fxTransfers/{id}", self._done)
        routes.add_patch("/fxTransfers/{id}", self._done)
        return app

    def bodies(self, method: str, beginning: str) -> list[Any]:
        """The bodies of the calls with this method and beginning of a path."""
        return [body for asked, path, body in self.calls if asked == method and path.startswith(beginning)]

    @web.middleware
    async def _note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        raw = await request.read()
        self.calls.append((request.method, request.path, json.loads(raw) if raw else None))
        fail = self.fails.get(f"{request.method} /{request.path.split('/')[1]}")
        answer: web.StreamResponse = fail() if fail is not None else await handler(request)
        self.answered.append((request.method, request.path, answer.status))
        return answer

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _party(self, request: web.Request) -> web.Response:
        found = request.match_info
        if found["id"].startswith(UNKNOWN):
            return no(404, "3204", "Party not found")
        party = {
            "type": "CONSUMER",
            "idType": found["type"],
            "idValue": found["id"],
            "displayName": f"Party {found['id'][-3:]}",
            "firstName": "Party",
            "lastName": self.name,
            "dateOfBirth": "1970-01-01",
        }
        if found["id"].startswith(KES_ONLY):
            party["supportedCurrencies"] = ["KES"]  # type: ignore[assignment]
        return web.json_response(party)

    async def _owner(self, request: web.Request) -> web.Response:
        if request.match_info["id"].startswith(UNKNOWN):
            return no(404, "3204", "Party not found")
        return web.json_response({"fspId": self.name})

    async def _quote(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if asked["amount"] == NO_TERMS:
            return no(500, "5101", "No terms for this amount")
        return web.json_response({"quoteId": asked["quoteId"], "transactionId": asked["transactionId"], **terms(asked)})

    async def _reserve(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if asked["amount"] == REFUSED:
            return no(500, "5001", "Transfer refused by the payee backend")
        self.transfers[asked["transferId"]] = "RESERVED"
        return web.json_response({"homeTransactionId": "home-1", "transferState": "RESERVED"})

    async def _transfer(self, request: web.Request) -> web.Response:
        state = self.transfers.get(request.match_info["id"])
        if state is None:
            return no(500, "3208", "Transfer ID not found")
        return web.json_response({"homeTransactionId": "home-1", "transferState": state})

    async def _end(self, request: web.Request) -> web.Response:
        told = await request.json()
        self.transfers[request.match_info["id"]] = told["finalNotification"]["transferState"]
        return web.Response()

    async def _request(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if asked["amount"] == REFUSED:
            return no(500, "4101", "The payer refuses requests")
        return web.json_response(
            {"transactionId": asked["transactionRequestId"], "transactionRequestState": "RECEIVED"}
        )

    async def _password(self, request: web.Request) -> web.Response:
        return web.json_response({"otpValue": "123456"})

    async def _done(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _bulk_quote(self, request: web.Request) -> web.Response:
        asked = await request.json()
        results = [
            {"quoteId": quote["quoteId"], "errorResponse": {"statusCode": "5101", "message": "no"}}
            if quote["amount"] == NO_TERMS
            else {"quoteId": quote["quoteId"], **terms(quote)}
            for quote in asked["individualQuotes"]
        ]
        found = {"bulkQuoteId": asked["bulkQuoteId"], "individualQuoteResults": results}
        self.bulks[asked["bulkQuoteId"]] = found
        return web.json_response(found)

    async def _bulk_quote_again(self, request: web.Request) -> web.Response:
        found = self.bulks.get(request.match_info["id"])
        return no(404, "3209", "unknown") if found is None else web.json_response(found)

    async def _bulk_reserve(self, request: web.Request) -> web.Response:
        asked = await request.json()
        results = [
            {"transferId": item["transferId"], "errorResponse": {"statusCode": "5001", "message": "no"}}
            if item["amount"] == REFUSED
            else {"transferId": item["transferId"]}
            for item in asked["individualTransfers"]
        ]
        found = {"homeTransactionId": "bulk-1", "individualTransferResults": results}
        self.bulks[asked["bulkTransferId"]] = found
        return web.json_response(found)

    async def _bulk_again(self, request: web.Request) -> web.Response:
        found = self.bulks.get(request.match_info["id"])
        return no(404, "3210", "unknown") if found is None else web.json_response(found)

    async def _fx_quote(self, request: web.Request) -> web.Response:
        asked = await request.json()
        found = asked["conversionTerms"]
        source, target = dict(found["sourceAmount"]), dict(found["targetAmount"])
        if source.get("amount") == NO_TERMS:
            return no(500, "5101", "No rate for this amount")
        if source.get("amount"):
            target["amount"] = str(int(source["amount"]) * RATE)
        else:
            source["amount"] = str(int(target["amount"]) // RATE)
        known = {"sourceAmount": source, "targetAmount": target, "charges": []}
        return web.json_response({"homeTransactionId": "fx-1", "conversionTerms": found | known})

    async def _fx_reserve(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if asked["sourceAmount"]["amount"] == REFUSED:
            return no(500, "5001", "Conversion refused by the FXP backend")
        return web.json_response({"homeTransactionId": "fx-1", "conversionState": "RESERVED"})


def terms(asked: dict[str, Any]) -> dict[str, Any]:
    """The amounts of terms with a fee of 1, which the payee pays."""
    amount, currency = int(asked["amount"]), asked["currency"]
    sent = asked["amountType"] == "SEND"
    values = {
        "transferAmount": amount if sent else amount + 1,
        "payeeReceiveAmount": amount - 1 if sent else amount,
        "payeeFspFeeAmount": 1,
    }
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= {name: str(value), f"{name}Currency": currency}
    return found


def no(status: int, code: str, message: str) -> web.Response:
    """A refusal."""
    return web.json_response({"statusCode": code, "message": message}, status=status)
