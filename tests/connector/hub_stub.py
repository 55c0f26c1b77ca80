"""A hub of one conversation: it answers a connector over real sockets as an honest hub does, and notes what is asked.

`Scheme` is the connector of green, that hub, and whoever else knows green's inbound port and has a key and a
certificate of the scheme of its own.
"""

import asyncio
import copy
import functools
import json
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from fspiop import ilp, jws
from fspiop.time import format_datetime, http_date
from hub.local.net import free_port
from kitovu_connector.backend import IncomingMoney, PartyDetails, Terms, TermsWanted
from kitovu_connector.config import Config
from kitovu_connector.connector import Connector
from kitovu_connector.events import Handler
from kitovu_connector.group_commit import Connection, Database
from kitovu_connector.payment_and_quote_records import Store
from kitovu_connector.payment_order import Order, PartyRef
from kitovu_connector.payment_states import Payment
from kitovu_connector.record_store import Records
from tests import proofs
from tests.keys import CONDITION, FULFILMENT, PACKET
from tests.proofs import key_of

AUTHORITY = proofs.Authority("scheme")
PAYEE = "255655001001"
PROOFS = ("signatures", "pinned", "both", "nothing")
"""How a connector knows the hub: by its signature, by its certificate's name, by both, or not at all."""


class _Inline:
    """A database whose reads run at once, on a connection of their own."""

    def __init__(self, database: Database) -> None:
        self._conn, self.instance = database.new_reader(), database.instance

    async def read(self, job: Callable[[Connection], Any]) -> Any:
        return job(self._conn)

    read_many = read


class Stored:
    """The stored records, for a test that must not wait between two looks."""

    def __init__(self, of: "Store | Records[Any]") -> None:
        self._of: Any = copy.copy(of)
        self._of._db = _inline(of._db)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*values: Any) -> Any:
            try:
                getattr(self._of, name)(*values).send(None)
            except StopIteration as end:
                return end.value
            raise AssertionError("it waits")

        return call


_inline = functools.lru_cache(maxsize=8)(_Inline)
stored = Stored


def rows_of(connector: Connector, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a statement, in the connector's SQLite file."""
    return [tuple(row) for row in _inline(connector._store.database)._conn.execute(sql).fetchall()]


class Core:
    """A bank with one customer, who takes anything."""

    def __init__(self) -> None:
        self.asked: list[TermsWanted] = []
        self.reserved: list[IncomingMoney] = []
        self.credited: list[str] = []
        self.released: list[str] = []

    async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        return PartyDetails("Asha")

    async def give_terms(self, wanted: TermsWanted) -> Terms:
        self.asked.append(wanted)
        return Terms(receive_amount=wanted.amount)

    async def reserve(self, incoming: IncomingMoney) -> None:
        self.reserved.append(incoming)

    async def commit(self, incoming: IncomingMoney) -> None:
        self.credited.append(incoming.transfer_id)

    async def release(self, transfer_id: str) -> None:
        self.released.append(transfer_id)


@dataclass
class Scheme:
    """What a test acts with. `state` is what the hub knows of green's transfer."""

    config: Config
    folder: Path
    core: Core = field(default_factory=Core)
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)  # by green: method, path, body
    state: str = "RESERVED"
    says_at: datetime | None = None  # the Date of what the hub says; None is now
    answers: set[str] = field(default_factory=lambda: {"participants", "parties", "quotes", "transfers"})
    is_busy: bool = False  # and takes no transfers
    figures: dict[str, Any] = field(default_factory=dict)  # what the hub answers to a GET of its own API, by the path
    refuses: dict[str, tuple[int, str]] = field(default_factory=dict)  # status and code by "METHOD /resource[/error]"
    held: dict[str, asyncio.Event] = field(default_factory=dict)  # what it answers only then, by "METHOD /resource"
    handed_out: dict[str, list[str]] = field(  # the keys that the hub hands out, each by the name of `key_of`
        default_factory=lambda: {name: [name] for name in ("Hub", "blue", "red")}
    )
    tells: Callable[[str], dict[str, Any]] = field(default_factory=lambda: told)  # PUT /transfers in this state
    handlers: list[Handler] = field(default_factory=list)  # of events, from the next start on
    connector: Connector = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def count(self, method: str, beginning: str) -> int:
        """How often green asked this."""
        return sum(asked == method and path.startswith(beginning) for asked, path, _ in self.asked)

    def bodies(self, method: str, path: str) -> list[dict[str, Any]]:
        return [body for asked, where, body in self.asked if (asked, where) == (method, path)]

    async def until(self, method: str, beginning: str, times: int = 1) -> None:
        """Waits until green has asked this so often."""
        for _ in range(200):
            if self.count(method, beginning) >= times:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{method} {beginning} was not asked: {self.asked}")

    # --- the hub ------------------------------------------------------------------------------------------------------

    async def take(self, request: web.Request) -> web.Response:
        raw = await request.read()
        body = json.loads(raw) if raw else {}
        self.asked.append((request.method, request.path, body))
        ours = {"Date": http_date(datetime.now(UTC))}  # by the hub's clock, whatever the connector's is
        first, last = request.path.split("/")[1], "/error" if request.path.endswith("/error") else ""
        if waits := self.held.get(f"{request.method} /{first}"):
            await waits.wait()
        if found := self.refuses.get(f"{request.method} /{first}{last}"):
            status, code = found
            return web.json_response(error(code), status=status, headers=ours)
        if request.path in self.figures:
            return web.json_response(self.figures[request.path], headers=ours)
        if request.path == "/dfsp/v1/signingKeys":
            return self._hand_out(request.headers.get("If-None-Match"), ours)
        task = asyncio.create_task(self._answer(request.method, request.path, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.is_busy and (request.method, request.path) == ("POST", "/transfers"):
            return web.Response(status=503, headers=ours)
        return web.Response(status=202 if request.method in ("GET", "POST") else 200, headers=ours)

    def _hand_out(self, tag: str | None, ours: dict[str, str]) -> web.Response:
        ours |= {"ETag": f'"{self.handed_out}"'}
        if tag == ours["ETag"]:
            return web.Response(status=304, headers=ours)
        listed = [
            {"participant": name, "keyId": key, "key": proofs.public_pem(key_of(key))}
            for name, keys in self.handed_out.items()
            for key in keys
        ]
        return web.json_response({"keys": listed}, headers=ours)

    async def _answer(self, method: str, path: str, body: dict[str, Any]) -> None:
        resource = path.split("/")[1]
        if resource not in self.answers:
            return
        match method, resource:
            case "GET", "participants":
                await self.hub_says("PUT", path, {"fspId": "blue"})
            case _, "participants" if "aliases" in self.answers:
                await self.hub_says("PUT", path, {"fspId": "green"})
            case "GET", "parties":
                await self.hub_passes_on("PUT", path, {"party": {"partyIdInfo": _alias() | {"fspId": "blue"}}})
            case "POST", "quotes":
                await self.hub_passes_on("PUT", f"/quotes/{body['quoteId']}", terms(transferAmount=body["amount"]))
            case "GET", "transfers" if self.state == "UNKNOWN":
                await self.hub_says("PUT", path + "/error", error("3208"))
            case "GET", "transfers":
                await self.hub_says("PUT", path, self.tells(self.state))

    async def hub_says(self, method: str, path: str, body: Any) -> int:
        """In its own name, over its own connection."""
        return await self.send(method, path, body, source="Hub", signer="Hub", shows="hub")

    async def hub_passes_on(self, method: str, path: str, body: Any, source: str = "blue") -> int:
        """What a DFSP signed, over the hub's connection."""
        return await self.send(method, path, body, source=source, signer=source, shows="hub")

    # --- anybody ------------------------------------------------------------------------------------------------------

    async def straight(self, method: str, path: str, body: Any, source: str) -> int:
        """What a DFSP sends to green past the hub, with all that is its own: its name, its key, its certificate."""
        return await self.send(method, path, body, source=source, signer=source, shows=source)

    async def send(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        source: str,
        signer: str,
        shows: str,
        destination: str = "green",
        is_iso20022: bool = False,
    ) -> int:
        """One message to green's inbound port; its answer's status."""
        raw = b"" if body is None else json.dumps(body).encode()
        moment = (self.says_at if source == "Hub" else None) or datetime.now(UTC)
        resource = path.split("/")[1]
        media_type = f"application/vnd.interoperability.{resource}+json;version="
        if is_iso20022:
            media_type = media_type.replace("interoperability.", "interoperability.iso20022.")
        major, version = (
            ("2", "2.0") if is_iso20022 or resource in ("services", "fxQuotes", "fxTransfers") else ("1", "1.1")
        )
        headers = {
            "Content-Type": media_type + version,
            "Date": http_date(moment),
            "FSPIOP-Source": source,
            "FSPIOP-Destination": destination,
        }
        if method in ("GET", "POST"):
            headers["Accept"] = media_type + major
        if raw and self.config.verify_jws:
            text = jws.sign(
                raw,
                key=key_of(signer),
                method=method,
                uri=path,
                source=source,
                destination=destination,
                date=headers["Date"],
            )
            headers |= {"FSPIOP-Signature": text, "FSPIOP-URI": path, "FSPIOP-HTTP-Method": method}
        scheme, context = "http", None
        if self.config.is_pinned:
            scheme, context = "https", self._shows(shows)
        url = f"{scheme}://localhost:{self.config.inbound_port}{path}"
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context or True)) as session,
            session.request(method, url, data=raw or None, headers=headers) as answer,
        ):
            await answer.read()
            return answer.status

    def _shows(self, name: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.load_cert_chain(*_certificate(self.folder, name))
        return context

    # --- green --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Green's connector, on the state that it left."""
        self.connector = Connector(self.config, self.core)
        for handler in self.handlers:
            self.connector.on_event(handler)
        await self.connector.__aenter__()

    async def stop(self) -> None:
        """Wherever it stands: what it does not have on disk is lost, as at a kill."""
        await self.connector.__aexit__(None, None, None)

    async def pay(self, home_id: str = "P1", **more: Any) -> Payment:
        """Begins a payment of green's customer and waits until the hub has its transfer."""
        order = Order(
            home_id=home_id,
            payer=PartyRef(id_type="MSISDN", id_value="255712001001", name="Asha"),
            payee=PartyRef(id_type="MSISDN", id_value=PAYEE),
            amount=1_000_000,
            currency="TZS",
            **more,
        )
        sent = self.count("POST", "/transfers")
        await self.connector._payer.send(order)
        await self.until("POST", "/transfers", sent + 1)
        return self.payment(home_id)

    def payment(self, home_id: str = "P1") -> Payment:
        """As it stands."""
        found = stored(self.connector._store).payment(home_id)
        assert found is not None
        return found

    async def ended(self, home_id: str = "P1", seconds: float = 5.0) -> Payment:
        """As it stands once it has ended, or after so long."""
        return await self.connector._payer.wait_for_end(home_id, seconds) or self.payment(home_id)


def _alias() -> dict[str, str]:
    return {"partyIdType": "MSISDN", "partyIdentifier": PAYEE}


def terms(**changes: Any) -> dict[str, Any]:
    moment = format_datetime(datetime.now(UTC) + timedelta(minutes=1))
    found = {"transferAmount": {"currency": "TZS", "amount": "100"}, "expiration": moment}
    return found | {"ilpPacket": PACKET, "condition": CONDITION} | changes


def told(state: str, **more: Any) -> dict[str, Any]:
    """PUT /transfers/{ID}."""
    more = ({"fulfilment": FULFILMENT} if state == "COMMITTED" else {}) | more
    if state == "ABORTED":
        more = {"extensionList": {"extension": [{"key": "cause", "value": "5104: no, thanks"}]}} | more
    return {"transferState": state, "completedTimestamp": format_datetime(datetime.now(UTC))} | more


def error(code: str) -> dict[str, Any]:
    return {"errorInformation": {"errorCode": code, "errorDescription": "no"}}


def quote(**changes: Any) -> dict[str, Any]:
    """POST /quotes, by blue, for green's customer."""
    return {
        "quoteId": str(uuid.uuid4()),
        "transactionId": str(uuid.uuid4()),
        "payer": {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": "255655001001", "fspId": "blue"}},
        "payee": {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": "255712001001", "fspId": "green"}},
        "amountType": "SEND",
        "amount": {"currency": "TZS", "amount": "100"},
        "transactionType": {"scenario": "TRANSFER", "initiator": "PAYER", "initiatorType": "CONSUMER"},
    } | changes


def transfer(offered: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """POST /transfers, by blue, on terms that green has given."""
    return {
        "transferId": str(uuid.uuid4()),
        "payerFsp": "blue",
        "payeeFsp": "green",
        "amount": offered["transferAmount"],
        "ilpPacket": offered["ilpPacket"],
        "condition": offered["condition"],
        "expiration": format_datetime(datetime.now(UTC) + timedelta(seconds=20)),
    } | changes


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """The lines of this event."""
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    return [line for line in lines if line["event"] == event]


def _certificate(folder: Path, name: str) -> tuple[str, str]:
    """Files of this name's certificate and key."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.tls"
    if not certificate.exists():
        certificate.write_text(proofs.pem_of(AUTHORITY.issue(name, host="localhost" if name == "localhost" else None)))
        key.write_text(proofs.private_pem(key_of(name)))
    return str(certificate), str(key)


def _ports() -> list[int]:
    """Three different ones."""
    found: set[int] = set()
    while len(found) < 3:
        found.add(free_port())
    return list(found)


def config_of(folder: Path, proof: str, **more: Any) -> Config:
    """Green's, with a hub that is known by `proof`."""
    hub, inbound, outbound = _ports()
    settings: dict[str, Any] = {
        "dfsp": "green",
        "hub_url": f"http://127.0.0.1:{hub}",
        "state": folder / "state",
        "ilp_secret": "a secret of green's",
        "inbound_host": "localhost",
        "inbound_port": inbound,
        "outbound_port": outbound,
        "ask_again_s": 1.0,
    }
    if proof in ("signatures", "both"):
        keys = {}
        for name in ("Hub", "blue", "red"):
            (folder / f"{name}.pub").write_text(proofs.public_pem(key_of(name)))
            keys[name] = (str(folder / f"{name}.pub"),)
        settings |= {"verify_jws": True, "jws_keys": keys}
    if proof in ("pinned", "both"):
        (folder / "ca.pem").write_text(proofs.pem_of(AUTHORITY.certificate))
        certificate, key = _certificate(folder, "localhost")
        settings |= {"inbound_cert": certificate, "inbound_key": key}
        settings |= {"inbound_client_ca": str(folder / "ca.pem"), "inbound_client_name": "hub"}
    return Config(**(settings | more))


@asynccontextmanager
async def scheme(folder: Path, proof: str, **more: Any) -> AsyncIterator[Scheme]:
    """The hub and green's connector, at work."""
    config = config_of(folder, proof, **more)
    found = Scheme(config, folder)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", found.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(config.hub_url.rpartition(":")[2])).start()
    await found.start()
    try:
        yield found
    finally:
        await found.stop()
        await runner.cleanup()


assert ilp.fulfils(FULFILMENT, CONDITION)
