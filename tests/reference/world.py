"""One hub at work, three DFSPs behind connectors of this process, each with a core of the reference client's API.

green pays, blue is paid, fxp converts TZS to KES. A test calls a connector's outbound API as a front end would.
"""

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from aiohttp import web

from hub.local import net
from kitovu_connector.config import Config
from kitovu_connector.connector import Connector
from kitovu_connector.reference_api.backend import ReferenceBackend
from tests.reference import answers
from tests.reference.core import KES_ONLY, UNKNOWN, Core
from tests.reference.operations import Ended

T = TypeVar("T")
CURRENCIES = {"green": ("TZS",), "blue": ("TZS", "KES"), "fxp": ("TZS", "KES")}
ASHA, BARAKA, KESI = "255712001001", "255655001001", KES_ONLY + "01001"
"""Customers: the first of green, the others of blue. The last is paid in KES only."""
GHOST = UNKNOWN + "655001001"
"""An alias of blue that blue's core does not know."""


@dataclass
class Answer:
    """What a front end gets."""

    status: int
    body: Any


@dataclass
class Dfsp:
    """One DFSP: its core, its connector, and its front end's calls."""

    name: str
    config: Config
    core: Core
    world: "World" = field(repr=False)
    connector: Connector | None = None
    backend: ReferenceBackend | None = None
    answered: list[Ended] = field(default_factory=list)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        port: int | None = None,
    ) -> Answer:
        """One call of the connector's outbound API."""
        port = port or self.config.reference_port
        answer = self._call(port, method, path, body, {"Content-Type": "application/json"} | (headers or {}))
        self.answered.append((method, path, answer.status))
        operation = answers.operation_of(method, path)
        if operation is not None and port == self.config.reference_port:
            fault = answers.fault_of(operation, answer.status, answer.body)
            assert fault is None, f"{operation}: {fault}: {answer}"
        return answer

    def _call(self, port: int, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        url = f"http://127.0.0.1:{port}{quote(path, safe='/?=&+@')}"
        raw = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, raw, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return Answer(response.status, json.loads(response.read() or b"null"))
        except urllib.error.HTTPError as error:
            return Answer(error.code, json.loads(error.read() or b"null"))

    def set(self, **settings: Any) -> None:
        """Other settings for the calls that follow."""
        self.world.do(self._restart(settings))

    async def _restart(self, settings: dict[str, Any]) -> None:
        await self.stop()
        self.config = replace(self.config, **settings)
        await self.start()

    async def start(self) -> None:
        """Starts the connector on the state that it left."""
        self.backend = ReferenceBackend(f"http://127.0.0.1:{self.core.port}", timeout_s=5.0)
        await self.backend.__aenter__()
        self.connector = Connector(self.config, self.backend)
        await self.connector.__aenter__()

    async def stop(self) -> None:
        """Ends the connector wherever it stands: what it does not have on disk is lost, as at a kill."""
        assert self.connector is not None
        assert self.backend is not None
        await self.connector.__aexit__(None, None, None)
        await self.backend.__aexit__(None, None, None)

    def has_open_transfers(self) -> bool:
        """Tells whether the connector has yet to tell its core how some incoming transfer ended."""
        assert self.connector is not None
        return bool(self.world.do(self.connector._store.unfinished_incoming()))

    def restart(self) -> None:
        """Ends the connector and starts it again."""
        self.world.do(self._restart({}))


class World:
    """All of them, in a thread of their own."""

    def __init__(self, hub_url: str, folder: Path) -> None:
        self.hub_url = hub_url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runners: list[web.AppRunner] = []
        self.dfsps = {name: self._dfsp(name, folder / name) for name in CURRENCIES}

    def __getattr__(self, name: str) -> Dfsp:
        return self.dfsps[name]

    def _dfsp(self, name: str, folder: Path) -> Dfsp:
        inbound, outbound, reference = (net.free_port() for _ in range(3))
        config = Config(
            dfsp=name,
            hub_url=self.hub_url,
            state=folder / "state",
            ilp_secret=f"a secret of {name}'s",
            inbound_port=inbound,
            outbound_port=outbound,
            reference_port=reference,
            inbound_is_private=True,
            reference_api=True,
            backend_api="reference",
            answer_s=25.0,
            agree_s=15.0,
            callback_s=3.0,
            transfer_expiry_s=20.0,
        )
        return Dfsp(name, config, Core(name), self)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs work in the thread of the connectors."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(60)

    def start(self) -> None:
        """Starts the cores and the connectors, and onboards them at the hub."""
        self._thread.start()
        for dfsp in self.dfsps.values():
            self.do(self._serve(dfsp))
            self.do(dfsp.start())
        self._onboard()
        accounts = {"green": [ASHA], "blue": [BARAKA, KESI, GHOST]}
        for name, values in accounts.items():
            body = [{"idType": "MSISDN", "idValue": value} for value in values]
            answer = self.dfsps[name].call("POST", "/accounts", body)
            assert answer.status == 200, answer
            assert not any("error" in found for found in answer.body["response"]), answer

    def stop(self) -> None:
        """Ends them all."""
        for dfsp in self.dfsps.values():
            if dfsp.connector is not None:
                self.do(dfsp.stop())
        for runner in self._runners:
            self.do(runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self, dfsp: Dfsp) -> None:
        runner = web.AppRunner(dfsp.core.application(), access_log=None)
        await runner.setup()
        dfsp.core.port = net.free_port()
        await web.TCPSite(runner, "127.0.0.1", dfsp.core.port).start()
        self._runners.append(runner)

    # --- the hub's operator -------------------------------------------------------------------------------------------

    def _onboard(self) -> None:
        for currency in ("TZS", "KES"):
            for kind in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
                self.operate("POST", "/participants/Hub/accounts", {"type": kind, "currency": currency})
        for name, currencies in CURRENCIES.items():
            for currency in currencies:
                self.operate("POST", "/participants", {"name": name, "currency": currency})
                limit = {"type": "NET_DEBIT_CAP", "value": 1_000_000}
                initial = {"currency": currency, "limit": limit, "initialPosition": 0}
                self.operate("POST", f"/participants/{name}/initialPositionAndLimits", initial)
            url = f"http://127.0.0.1:{self.dfsps[name].config.inbound_port}"
            self.operate("POST", f"/participants/{name}/endpoints", {"type": "FSPIOP_CALLBACK_URL", "value": url})
            for account in self.operate("GET", f"/participants/{name}/accounts"):
                if account["ledgerAccountType"] == "SETTLEMENT":
                    funds = {
                        "transferId": str(uuid.uuid4()),
                        "externalReference": "opening",
                        "action": "recordFundsIn",
                        "reason": "cover",
                        "amount": {"amount": "1000000", "currency": account["currency"]},
                    }
                    self.operate("POST", f"/participants/{name}/accounts/{account['id']}", funds)
        self.operate("POST", "/participants/fxp/currencyPairs", {"sourceCurrency": "TZS", "targetCurrency": "KES"})

    def operate(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the hub's administration API."""
        raw = None if body is None else json.dumps(body).encode()
        url = f"{self.hub_url}/api/ledger/v1{path}"
        request = urllib.request.Request(url, raw, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read() or b"null")

    def position(self, name: str, currency: str = "TZS") -> float:
        """Where a DFSP stands at the hub."""
        accounts = self.operate("GET", f"/participants/{name}/accounts")
        return next(
            float(account["value"])
            for account in accounts
            if account["ledgerAccountType"] == "POSITION" and account["currency"] == currency
        )


def until(holds: Any, seconds: float = 15.0) -> Any:
    """The first true value of a function, or what it gave last."""
    end = time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def transfer(**changes: Any) -> dict[str, Any]:
    """POST /transfers of green's front end."""
    return {
        "homeTransactionId": str(uuid.uuid4()),
        "from": {"idType": "MSISDN", "idValue": ASHA, "displayName": "Asha Juma", "type": "CONSUMER"},
        "to": {"idType": "MSISDN", "idValue": BARAKA},
        "amountType": "SEND",
        "currency": "TZS",
        "amount": "100",
        "transactionType": "TRANSFER",
        "note": "lunch",
    } | changes


def to(value: str, **more: Any) -> dict[str, Any]:
    """A payee."""
    return {"idType": "MSISDN", "idValue": value, **more}
