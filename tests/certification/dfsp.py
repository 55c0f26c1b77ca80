"""A small DFSP for the tests of certification. It is correct, or has exactly one fault.

It serves the hub's callbacks, an outbound API like the connector's, and the calls for bulks of Mojaloop's SDK. It keeps
its state in memory.
"""

import asyncio
import json
import threading
import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from fspiop import ilp, jws, money, versions
from fspiop import time as fsptime
from fspiop.errors import FspiopError
from hub.local import net

CUSTOMER = "255799000001"
FAULTS = {
    "duplicates": "payee-duplicate",  # no answer to duplicates
    "debits": "payer-duplicate",  # a second debit when the order is repeated
    "fulfilment": "payee-transfer",  # a wrong fulfilment
    "unsigned": "signatures",  # callbacks without a signature
    "terms": "payee-quote",  # a wrong amount in terms
    "late": "payee-timeout",  # an answer after the expiry
    "credits": "payee-reserved",  # a credit before PATCH
    "errors": "errors",  # 500 for PUT .../error
    "names": "names",  # forbidden letters in names
    "source": "source",  # another FSPIOP-Source
}
"""Each fault, and the case that must find it."""
VARIANTS = {
    "changed_slowly": [],  # correct: 202 to a used id, and the error callback 2.5 seconds later
    "changed_unanswered": ["payee-changed"],  # 202 to a used id, and no callback
    "changed_code": ["payee-changed"],  # another error code for a used id
    "late_slowly": ["payee-timeout"],  # a fulfilment three seconds after an expired transfer
    "late_unheard": ["payee-timeout"],  # 500 for an expired transfer
    "terms_slowly": ["payee-bad-signature"],  # refuses a wrong signature, and gives terms three seconds later
    "signature_unheard": ["payee-bad-signature", "payer-bad-signature"],  # 500 for a wrong signature
    "signature_code": ["payee-bad-signature", "payer-bad-signature"],  # another error code for a wrong signature
    "debits_slowly": ["payer-rejection", "payer-timeout"],  # a second transfer three seconds after the end of the first
    "pays_unknown": ["payer-unknown"],  # asks for terms three seconds after the lookup has failed
    "late_credit": ["payer-late"],  # shows the payment as paid three seconds after a late callback
    # each payment, from the start
    "shows_paid": ["payer-bad-signature", "payer-late", "payer-rejection", "payer-timeout", "payer-unknown"],
}
"""Further variants of the DFSP, and the cases that must fail."""
_SLOWLY_S = 3.0
_SECRET = b"a secret of the test's DFSP"


class TestDfsp:
    """One DFSP. `fault` is one of FAULTS or VARIANTS, "floods", or empty."""

    __test__ = False

    def __init__(self, name: str, hub_url: str, key: RSAPrivateKey, *, fault: str = "") -> None:
        self.name, self.hub_url, self.key, self.fault = name, hub_url, key, fault
        self.is_flooding = False
        self.port = net.free_port()
        self.keys: dict[str, list[RSAPublicKey]] = {}
        self.credited: set[str] = set()
        self.transfers: dict[str, dict[str, Any]] = {}  # by id: the request, the answer's path and body, the end
        self.transactions: dict[str, str] = {}  # transfer by transaction
        self.conditions: dict[str, dict[str, str]] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.waiting: dict[str, asyncio.Future[tuple[str, dict[str, Any]]]] = {}
        self.tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        return f"http://{net.HOST}:{self.port}"

    @property
    def sdk_url(self) -> str:
        return f"{self.url}/sdk"

    def application(self) -> web.Application:
        app = web.Application(client_max_size=5_000_000)
        app.router.add_post("/payments", self._order)
        app.router.add_get("/payments/{id}", self._show)
        app.router.add_post("/requests", self._request)
        app.router.add_post("/sdk/bulkQuotes", self._order_bulk_quotes)
        app.router.add_post("/sdk/bulkTransfers", self._order_bulk_transfers)
        app.router.add_route("*", "/{rest:.*}", self._take)
        return app

    # --- the hub's messages -------------------------------------------------------------------------------------------

    async def _take(self, request: web.Request) -> web.Response:
        raw = await request.read()
        path, method = request.raw_path, request.method
        if method != "GET":
            try:
                await self._verify(request, raw)
            except FspiopError as error:
                return self._refused_signature(method, path, raw, request.headers["fspiop-source"], error)
        body = json.loads(raw) if raw else {}
        source = request.headers["fspiop-source"]
        resource, *ids = path.strip("/").split("/")
        if method in ("PUT", "PATCH"):
            return self._told(method, resource, ids, body)
        if method == "POST" and resource == "transfers":
            known = self.transfers.get(body["transferId"])
            if known is not None and known["request"] != body:
                return self._refused_change(body["transferId"], source)
            if _is_late(body) and self.fault == "late_unheard":
                return web.Response(status=500)
        self._background(self._answer(method, resource, ids, body, source))
        return web.Response(status=202)

    def _refused_signature(self, method: str, path: str, raw: bytes, source: str, error: FspiopError) -> web.Response:
        if self.fault == "signature_unheard":
            return web.Response(status=500)
        if self.fault == "signature_code":
            return web.json_response(_error("3100", "wrong"), status=400)
        if self.fault == "terms_slowly" and (method, path) == ("POST", "/quotes"):
            self._later(self._quote(json.loads(raw), source))
        return web.json_response(error.body(), status=400)

    def _refused_change(self, transfer_id: str, source: str) -> web.Response:
        code = "3100" if self.fault == "changed_code" else "3106"
        refusal = _error(code, "modified request")
        if self.fault == "changed_unanswered":
            return web.Response(status=202)
        if self.fault == "changed_slowly":
            self._later(self.put(f"/transfers/{transfer_id}/error", refusal, source), 2.5)
            return web.Response(status=202)
        return web.json_response(refusal, status=400)

    async def _verify(self, request: web.Request, raw: bytes) -> None:
        source, signature = request.headers["fspiop-source"], request.headers.get("fspiop-signature", "")
        headers = {name.lower(): value for name, value in request.headers.items()}
        for is_last in (False, True):
            try:
                keys = self.keys.get(source, [])
                jws.verify(signature, raw, keys=keys, method=request.method, uri=request.raw_path, headers=headers)
                return
            except FspiopError:
                if is_last:
                    raise
                await self._fetch_keys()

    async def _fetch_keys(self) -> None:
        async with self.session.get(
            f"{self.hub_url}/dfsp/v1/signingKeys",
            headers={
                "accept": "application/json",
                "date": fsptime.http_date(datetime.now(UTC)),
                "fspiop-source": self.name,
            },
        ) as response:
            if response.status != 200:  # the hub is busy; the known keys stay
                return
            listed = await response.json()
        found: dict[str, list[RSAPublicKey]] = {}
        for each in listed["keys"]:
            found.setdefault(each["participant"], []).append(jws.load_public_key(each["key"].encode()))
        self.keys = found

    def _told(self, method: str, resource: str, ids: list[str], body: dict[str, Any]) -> web.Response:
        is_error = ids[-1] == "error"
        key = ids[1] if resource == "parties" else ids[0]
        waiting = self.waiting.pop(f"{resource}/{key}", None) if method == "PUT" else None
        if waiting is not None and not waiting.done():
            waiting.set_result(("error" if is_error else "told", body))
        if waiting is None and (method, resource) == ("PUT", "transfers") and self.fault == "late_credit":
            self._later(self._show_as_paid(key))
        if method == "PATCH" and body.get("transferState") == "COMMITTED" and key in self.transfers:
            self.credited.add(key)
        return web.Response(status=500 if is_error and self.fault == "errors" else 200)

    async def _show_as_paid(self, transfer_id: str) -> None:
        for order in self.orders.values():
            if order.get("transferId") == transfer_id:
                order["state"] = "COMMITTED"

    async def _answer(self, method: str, resource: str, ids: list[str], body: dict[str, Any], source: str) -> None:
        if (method, resource) == ("GET", "parties"):
            await self._party(ids, source)
        elif (method, resource) == ("GET", "transactions"):
            await self._state(ids[0], source)
        elif resource == "quotes":
            await self._quote(body, source)
        elif resource == "transfers":
            await self._transfer(body, source)
        elif resource == "transactionRequests":
            answer = {"transactionRequestState": "RECEIVED"}
            await self.put(f"/transactionRequests/{body['transactionRequestId']}", answer, source)
        elif resource == "bulkQuotes":
            results = [{"quoteId": q["quoteId"], **self._terms(q["amount"])} for q in body["individualQuotes"]]
            answer = {"expiration": _moment(60), "individualQuoteResults": results}
            await self.put(f"/bulkQuotes/{body['bulkQuoteId']}", answer, source)
        elif resource == "bulkTransfers":
            results = [
                {"transferId": each["transferId"], "fulfilment": self.conditions[each["condition"]]["fulfilment"]}
                for each in body["individualTransfers"]
            ]
            answer = {
                "bulkTransferState": "COMPLETED",
                "completedTimestamp": _moment(-0.05),
                "individualTransferResults": results,
            }
            await self.put(f"/bulkTransfers/{body['bulkTransferId']}", answer, source)

    async def _party(self, ids: list[str], source: str) -> None:
        path = f"/parties/{'/'.join(ids)}"
        if self.fault == "floods" and not self.is_flooding:
            self.is_flooding = True
            self._background(self._flood())
        if ids[1] != CUSTOMER:
            await self.put(f"{path}/error", _error("3204", "Party not found"), source)
            return
        name = "Asha <Juma>" if self.fault == "names" else "Asha"
        party = {
            "partyIdInfo": {"partyIdType": ids[0], "partyIdentifier": ids[1], "fspId": self.name},
            "personalInfo": {"complexName": {"firstName": name, "lastName": "Juma"}},
        }
        await self.put(path, {"party": party}, source)

    def _terms(self, amount: dict[str, str]) -> dict[str, Any]:
        ten_thousandths = money.parse_amount(amount["amount"])
        packet = ilp.encode_payment(
            ilp.IlpPayment(
                amount=money.minor_units(ten_thousandths, amount["currency"]),
                account=f"g.{self.name}",
                data=str(uuid.uuid4()).encode(),
            )
        )
        fulfilment = ilp.fulfilment_for(packet, _SECRET)
        condition = ilp.condition_for(fulfilment)
        self.conditions[condition] = {"fulfilment": fulfilment}
        moved = money.format_amount(2 * ten_thousandths) if self.fault == "terms" else amount["amount"]
        return {
            "transferAmount": {"amount": moved, "currency": amount["currency"]},
            "payeeReceiveAmount": amount,
            "ilpPacket": packet,
            "condition": condition,
        }

    async def _quote(self, body: dict[str, Any], source: str) -> None:
        path = f"/quotes/{body['quoteId']}"
        if self.fault == "floods":  # it gives no answer, so that its cases take longer
            return
        if body["payee"]["partyIdInfo"]["partyIdentifier"] != CUSTOMER:
            await self.put(f"{path}/error", _error("5107", "no such customer"), source)
            return
        terms = self._terms(body["amount"])
        self.conditions[terms["condition"]]["transaction"] = body["transactionId"]
        await self.put(path, terms | {"expiration": _moment(60)}, source)

    async def _transfer(self, body: dict[str, Any], source: str) -> None:
        transfer_id = body["transferId"]
        known = self.transfers.get(transfer_id)
        if known is not None:
            if self.fault != "duplicates":
                await self.put(*known["answer"], source)
            return
        path = f"/transfers/{transfer_id}"
        is_late = _is_late(body)
        if is_late and self.fault == "late_slowly":
            await asyncio.sleep(_SLOWLY_S)
        terms = self.conditions.get(body["condition"])
        if terms is None or (is_late and self.fault not in ("late", "late_slowly")):
            answer = (f"{path}/error", _error("3303", "Transfer expired"))
        else:
            fulfilment = terms["fulfilment"]
            if self.fault == "fulfilment":
                fulfilment = ilp.fulfilment_for(body["ilpPacket"], b"another secret")
            answer = (
                path,
                {"transferState": "RESERVED", "fulfilment": fulfilment, "completedTimestamp": _moment(-0.05)},
            )
            if "transaction" in terms:
                self.transactions[terms["transaction"]] = transfer_id
            if self.fault == "credits":
                self.credited.add(transfer_id)
        self.transfers[transfer_id] = {"request": body, "answer": answer}
        await self.put(*answer, source)

    async def _state(self, transaction_id: str, source: str) -> None:
        transfer_id = self.transactions.get(transaction_id)
        path = f"/transactions/{transaction_id}"
        if transfer_id is None:
            await self.put(f"{path}/error", _error("3207", "Transaction ID not found"), source)
            return
        state = "COMPLETED" if transfer_id in self.credited else "PENDING"
        await self.put(path, {"transactionState": state}, source)

    # --- its own messages ---------------------------------------------------------------------------------------------

    async def put(self, path: str, body: dict[str, Any], to: str) -> None:
        await self.send("PUT", path, body, to)

    async def send(self, method: str, path: str, body: dict[str, Any] | None, to: str | None) -> int:
        resource = path.split("/")[1]
        raw = b"" if body is None else json.dumps(body).encode()
        source = "otherbank" if self.fault == "source" and path.startswith("/quotes/") else self.name
        headers = {
            "content-type": versions.content_type(resource, "1.1"),
            "date": fsptime.http_date(datetime.now(UTC)),
            "fspiop-source": source,
        }
        if to is not None:
            headers["fspiop-destination"] = to
        if method in ("GET", "POST"):
            headers["accept"] = versions.accept(resource, 1)
        if raw and not (self.fault == "unsigned" and method == "PUT"):
            headers |= {"fspiop-uri": path, "fspiop-http-method": method}
            headers["fspiop-signature"] = jws.sign(
                raw, key=self.key, method=method, uri=path, source=source, destination=to, date=headers["date"]
            )
        async with self.session.request(method, self.hub_url + path, data=raw or None, headers=headers) as response:
            return response.status

    async def _flood(self) -> None:
        """Sends callbacks that nobody has asked for, as fast as the hub answers."""
        headers = {
            "content-type": versions.content_type("quotes", "1.1"),
            "date": fsptime.http_date(datetime.now(UTC)),
            "fspiop-source": self.name,
            "fspiop-destination": "certifier",
        }

        async def put() -> None:
            url = f"{self.hub_url}/quotes/{uuid.uuid4()}"
            async with self.session.put(url, data=b'"' + 16_000 * b"x" + b'"', headers=headers) as response:
                await response.read()

        while self.is_flooding:
            await asyncio.gather(*(put() for _ in range(20)), return_exceptions=True)

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None, to: str | None, key: str) -> Any:
        self.waiting[key] = future = asyncio.get_running_loop().create_future()
        await self.send(method, path, body, to)
        return await asyncio.wait_for(future, 60)

    # --- its outbound API ---------------------------------------------------------------------------------------------

    async def _order(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        home_id = wanted["homeTransactionId"]
        if home_id not in self.orders or self.fault == "debits":
            self.orders[home_id] = {"homeTransactionId": home_id, "state": "NEW", "isEnded": False}
            await self.pay(wanted, self.orders[home_id])
        return web.json_response(self.orders[home_id])

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self.orders[request.match_info["id"]])

    async def pay(self, wanted: dict[str, Any], order: dict[str, Any]) -> None:
        order["state"] = "COMMITTED" if self.fault == "shows_paid" else "ABORTED"
        payee, amount = wanted["to"], {"amount": wanted["amount"], "currency": wanted["currency"]}
        path = f"/parties/{payee['idType']}/{payee['idValue']}"
        kind, told = await self._ask("GET", path, None, None, f"parties/{payee['idValue']}")
        if kind == "told":
            info = told["party"]["partyIdInfo"]
            kind, told = await self._agree(wanted, info, amount)
            if kind == "told":
                await self._send_transfer(info["fspId"], told, order)
        elif self.fault == "pays_unknown":
            info = {"partyIdType": payee["idType"], "partyIdentifier": payee["idValue"], "fspId": "certifier"}
            self._later(self._agree(wanted, info, amount))
        order["isEnded"] = True

    async def _agree(self, wanted: dict[str, Any], payee: dict[str, Any], amount: dict[str, str]) -> Any:
        quote_id = str(uuid.uuid4())
        kind: dict[str, Any] = {"scenario": wanted.get("transactionType", "TRANSFER")}
        kind |= {"initiator": "PAYER", "initiatorType": "CONSUMER"}
        if "refundInfo" in wanted:
            kind["refundInfo"] = wanted["refundInfo"]
        body = {
            "quoteId": quote_id,
            "transactionId": str(uuid.uuid4()),
            "payee": {"partyIdInfo": payee},
            "payer": {
                "partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": CUSTOMER, "fspId": self.name},
            },
            "amountType": "RECEIVE",
            "amount": amount,
            "transactionType": kind,
        }
        return await self._ask("POST", "/quotes", body, payee["fspId"], f"quotes/{quote_id}")

    async def _send_transfer(self, payee_fsp: str, terms: dict[str, Any], order: dict[str, Any]) -> None:
        transfer_id = str(uuid.uuid4())
        body = {
            "transferId": transfer_id,
            "payerFsp": self.name,
            "payeeFsp": payee_fsp,
            "amount": terms["transferAmount"],
            "ilpPacket": terms["ilpPacket"],
            "condition": terms["condition"],
            "expiration": _moment(3),
        }
        order["transferId"] = transfer_id
        kind, told = await self._ask("POST", "/transfers", body, payee_fsp, f"transfers/{transfer_id}")
        if kind == "error" and self.fault == "debits_slowly":
            second = body | {"transferId": str(uuid.uuid4()), "expiration": _moment(_SLOWLY_S + 10)}
            self._later(self.send("POST", "/transfers", second, payee_fsp))
        if kind == "told" and told["transferState"] == "COMMITTED":
            order["state"] = "COMMITTED"

    async def _request(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        body = {
            "transactionRequestId": str(uuid.uuid4()),
            "payee": {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": CUSTOMER, "fspId": self.name}},
            "payer": {
                "partyIdType": "MSISDN",
                "partyIdentifier": wanted["from"]["idValue"],
                "fspId": "certifier",
            },
            "amount": {"amount": wanted["amount"], "currency": wanted["currency"]},
            "transactionType": {"scenario": "PAYMENT", "initiator": "PAYEE", "initiatorType": "BUSINESS"},
        }
        await self.send("POST", "/transactionRequests", body, "certifier")
        return web.json_response(
            {"homeRequestId": wanted["homeRequestId"], "state": "SENT", "isEnded": False}, status=202
        )

    # --- its bulks ----------------------------------------------------------------------------------------------------

    async def _order_bulk_quotes(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        told = await self._agree_bulk(wanted["bulkQuoteId"], wanted["individualQuotes"])
        return web.json_response({"bulkQuoteId": wanted["bulkQuoteId"], **told})

    async def _order_bulk_transfers(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        transfers = [
            {
                "transferId": each["transferId"],
                "transferAmount": {"amount": each["amount"], "currency": each["currency"]},
                "ilpPacket": each["ilpPacket"],
                "condition": each["condition"],
            }
            for each in wanted["individualTransfers"]
        ]
        told = await self._pay_bulk(wanted["bulkTransferId"], wanted["bulkQuoteId"], transfers)
        results = [{**each, "transferState": "COMMITTED"} for each in told["individualTransferResults"]]
        return web.json_response({"bulkTransferId": wanted["bulkTransferId"], "individualTransferResults": results})

    async def pay_bulk(self, payee: str, amount: str, currency: str) -> None:
        """Pays a bulk of two items, as a person orders it in the DFSP's own system."""
        item = {"to": {"idType": "MSISDN", "idValue": payee}, "amount": amount, "currency": currency}
        bulk_quote_id = str(uuid.uuid4())
        told = await self._agree_bulk(bulk_quote_id, [item | {"quoteId": str(uuid.uuid4())} for _ in range(2)])
        transfers = [
            {
                "transferId": str(uuid.uuid4()),
                "transferAmount": each["transferAmount"],
                "ilpPacket": each["ilpPacket"],
                "condition": each["condition"],
            }
            for each in told["individualQuoteResults"]
        ]
        await self._pay_bulk(str(uuid.uuid4()), bulk_quote_id, transfers)

    async def _agree_bulk(self, bulk_quote_id: str, items: list[dict[str, Any]]) -> Any:
        kind = {"scenario": "TRANSFER", "initiator": "PAYER", "initiatorType": "BUSINESS"}
        payer = {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": CUSTOMER, "fspId": self.name}}
        quotes = [
            {
                "quoteId": each["quoteId"],
                "transactionId": str(uuid.uuid4()),
                "payee": {
                    "partyIdInfo": {
                        "partyIdType": each["to"]["idType"],
                        "partyIdentifier": each["to"]["idValue"],
                        "fspId": "certifier",
                    }
                },
                "amountType": "RECEIVE",
                "amount": {"amount": each["amount"], "currency": each["currency"]},
                "transactionType": kind,
            }
            for each in items
        ]
        body = {"bulkQuoteId": bulk_quote_id, "payer": payer, "individualQuotes": quotes}
        _, told = await self._ask("POST", "/bulkQuotes", body, "certifier", f"bulkQuotes/{bulk_quote_id}")
        return told

    async def _pay_bulk(self, bulk_id: str, bulk_quote_id: str, transfers: list[dict[str, Any]]) -> Any:
        body = {
            "bulkTransferId": bulk_id,
            "bulkQuoteId": bulk_quote_id,
            "payerFsp": self.name,
            "payeeFsp": "certifier",
            "individualTransfers": transfers,
            "expiration": _moment(20),
        }
        _, told = await self._ask("POST", "/bulkTransfers", body, "certifier", f"bulkTransfers/{bulk_id}")
        return told

    # --- its life -----------------------------------------------------------------------------------------------------

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _later(self, work: Coroutine[Any, Any, Any], seconds: float = _SLOWLY_S) -> None:
        async def wait_and_work() -> None:
            await asyncio.sleep(seconds)
            await work

        self._background(wait_and_work())

    async def open(self) -> None:
        self.session = aiohttp.ClientSession(
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            timeout=aiohttp.ClientTimeout(total=30),
        )
        self.runner = web.AppRunner(self.application(), access_log=None)
        await self.runner.setup()
        await web.TCPSite(self.runner, net.HOST, self.port).start()

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await self.session.close()
        await self.runner.cleanup()


class Loop:
    """An event loop in a thread, in which DFSPs work."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(60)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


def _is_late(transfer: dict[str, Any]) -> bool:
    return fsptime.parse_datetime(transfer["expiration"]) <= datetime.now(UTC)


def _error(code: str, text: str) -> dict[str, Any]:
    return {"errorInformation": {"errorCode": code, "errorDescription": text}}


def _moment(seconds: float) -> str:
    return fsptime.format_datetime(datetime.now(UTC) + timedelta(seconds=seconds))
