"""Two banks without connectors and a hub. What a bank sends to its connector becomes calls to the other bank's core, as
the connectors and the hub would make them. A payment to another currency is converted, if the payer's bank allows it.
"""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from example_dfsp.all_pages import web_site
from example_dfsp.bank_application import Bank
from example_dfsp.books import Books
from example_dfsp.connector_calls import Answer, ConnectorCalls
from example_dfsp.customers import Customer
from example_dfsp.fxp import RATES
from hub.local.net import free_port
from kitovu_connector import format_amount, parse_amount
from tests.example_dfsp.test_all_pages import People

_UNIT, _CENT = 10_000, 100


class Wire:
    """The connector of one bank, and all that is behind it. `calls` has the URL of the other bank's core. `codes` are
    the one-time codes that were entered, by the requests' ids."""

    def __init__(self, name: str, other_name: str, calls: ConnectorCalls, codes: dict[str, str]) -> None:
        self._name, self._other, self._codes = name, other_name, codes
        self._core = calls.call
        calls.call = self.call  # type: ignore[method-assign]
        self._payments: dict[str, dict[str, Any]] = {}
        self._wanted: dict[str, dict[str, Any]] = {}
        self._requests: dict[str, dict[str, Any]] = {}

    async def call(self, method: str, path: str, body: Any = None) -> Answer:
        match (method, *path.strip("/").split("/")):
            case "POST", "payments":
                return await self._pay(body)
            case "GET", "payments", home_id:
                return self._shown(home_id)
            case "POST", "payments", home_id, "confirm":
                return await self._confirm(home_id)
            case "POST", "payments", home_id, "cancel":
                return self._end(home_id, "ABORTED", errorCode="4100")
            case "POST", "requests":
                return await self._ask(body)
            case "GET", "requests", home_id:
                return 200, self._requests[home_id]
            case "POST", "requests", home_id, "otp":
                self._codes[home_id] = body["otp"]
                return 202, {}
            case "POST", "receivedRequests", _, "reject":
                return 200, {}  # the payee's bank does not get this answer
        raise AssertionError(f"{method} {path} is not for a bank")

    # --- payments -----------------------------------------------------------------------------------------------------

    async def _pay(self, wanted: dict[str, Any]) -> Answer:
        home_id = wanted["homeTransactionId"]
        if home_id in self._payments:
            return self._shown(home_id)
        self._wanted[home_id] = wanted
        self._payments[home_id] = {
            "homeTransactionId": home_id,
            "transferId": str(uuid.uuid4()),
            "state": "LOOKUP",
            "isEnded": False,
            "waitsFor": None,
            "currency": wanted["currency"],
            "payeeFsp": self._other,
        }
        status, party = await self._core("GET", f"/parties/{wanted['to']['idType']}/{wanted['to']['idValue']}")
        if status != 200:
            return self._end(home_id, "ABORTED", errorCode=party["statusCode"], errorDescription=party["message"])
        terms: dict[str, Any] = {"payeeName": party["displayName"]}
        amount, currency = parse_amount(wanted["amount"]), wanted["currency"]
        if wanted.get("mayConvert") and currency not in party["supportedCurrencies"]:
            (target,) = party["supportedCurrencies"]
            amount, source = amount * RATES[currency, target] // _UNIT // _CENT * _CENT, amount
            terms["conversion"] = {
                "sourceAmount": format_amount(source),
                "sourceCurrency": currency,
                "targetAmount": format_amount(amount),
                "targetCurrency": target,
            }
            currency = target
        self._wanted[home_id] |= {"amount": format_amount(amount), "currency": currency}
        status, offered = await self._core("POST", "/quoterequests", self._wanted[home_id])
        if status != 200:
            return self._end(home_id, "ABORTED", errorCode=offered["statusCode"], errorDescription=offered["message"])
        expires_at = datetime.now(UTC) + timedelta(minutes=10)
        terms |= offered | {"transferAmount": format_amount(amount), "expirationDate": expires_at.isoformat()}
        self._payments[home_id] |= terms
        if wanted.get("confirm") is False:
            self._payments[home_id] |= {"state": "AGREED", "waitsFor": "TERMS"}
            return self._shown(home_id)
        return await self._transfer(home_id)

    async def _confirm(self, home_id: str) -> Answer:
        payment = self._payments[home_id]
        if payment["waitsFor"] == "TERMS" and self._wanted[home_id].get("otp"):
            payment |= {"state": "AUTHORIZATION", "waitsFor": None}
            return self._shown(home_id)
        return await self._transfer(home_id) if payment["waitsFor"] else self._shown(home_id)

    async def _transfer(self, home_id: str) -> Answer:
        payment, wanted = self._payments[home_id], self._wanted[home_id]
        payment |= {"state": "ACCEPTED", "waitsFor": None}
        transfer_id = payment["transferId"]
        money = {
            "transferId": transfer_id,
            "transactionId": transfer_id,
            "from": wanted["from"] | {"fspId": self._name},
            "homeRequestId": wanted.get("transactionRequestId"),
            "payeeFspFeeAmount": payment["payeeFspFeeAmount"],
            **{
                name: wanted[name]
                for name in ("to", "amount", "currency", "note", "transactionType", "subScenario", "refundInfo")
                if wanted.get(name) is not None
            },
        }
        status, said = await self._core("POST", "/transfers", money)
        if status != 200:
            return self._end(home_id, "ABORTED", errorCode=said["statusCode"], errorDescription=said["message"])
        status, said = await self._core("PUT", f"/transfers/{transfer_id}", money | {"transferState": "COMMITTED"})
        assert status == 200, said
        return self._end(home_id, "COMMITTED")

    def _end(self, home_id: str, state: str, **more: str) -> Answer:
        ended = {"errorCode": None, "errorDescription": None} | more
        self._payments[home_id] |= {"state": state, "isEnded": True, "waitsFor": None, **ended}
        return self._shown(home_id)

    def _shown(self, home_id: str) -> Answer:
        payment = self._payments.get(home_id)
        if payment is None:
            return 404, {"errorInformation": {"errorCode": "3200", "errorDescription": "no such payment"}}
        code = self._codes.get(self._wanted[home_id].get("transactionRequestId") or "")
        if payment["state"] == "AUTHORIZATION" and code is not None:
            payment |= {"waitsFor": "OTP", "otp": code}
        return 200, payment

    # --- requests to pay ----------------------------------------------------------------------------------------------

    async def _ask(self, wanted: dict[str, Any]) -> Answer:
        home_id = wanted["homeRequestId"]
        told = wanted | {
            "transactionRequestId": home_id,
            "to": wanted["to"] | {"fspId": self._name},
            "authenticationType": "OTP" if wanted["otp"] else None,
        }
        status, said = await self._core("POST", "/transactionrequests", told)
        answered = {"state": "ANSWERED", "answer": "RECEIVED", "payerFsp": self._other}
        failed = {"state": "FAILED", "errorCode": said.get("statusCode"), "errorDescription": said.get("message")}
        self._requests[home_id] = answered if status == 200 else failed
        return 200, self._requests[home_id]


@asynccontextmanager
async def two_banks(folder: Path, everybody: Sequence[Customer]) -> AsyncIterator[list[People]]:
    """The people of greenbank and of bluewallet."""
    names, codes = ["greenbank", "bluewallet"], dict[str, str]()
    ports = {name: (free_port(), free_port()) for name in names}
    async with AsyncExitStack() as opened:
        found = []
        for name, other in (names, names[::-1]):
            mine = [customer for customer in everybody if customer.dfsp == name]
            books = Books(folder / f"{name}.sqlite3")
            books._db.execute("PRAGMA synchronous=OFF")  # no test here loses its power supply
            bank = Bank(name, mine, books, f"http://127.0.0.1:{ports[other][0]}")
            Wire(name, other, bank.calls, codes)
            for application, port in zip((bank.application(), web_site(bank)), ports[name], strict=True):
                runner = web.AppRunner(application, access_log=None)
                await runner.setup()
                opened.push_async_callback(runner.cleanup)
                await web.TCPSite(runner, "127.0.0.1", port).start()
            found.append(People(bank, *ports[name]))
            opened.push_async_callback(found[-1].close)
        yield found
