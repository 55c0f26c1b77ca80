"""The certifier's side of the FSPIOP API: sends messages to the hub, and accepts the hub's callbacks.

A message can also go directly to the DFSP's endpoint, exactly as a courier delivers it. The certifier delivers a
message directly if no hub would forward the message, for example because of a wrong signature.
"""

import asyncio
import base64
import json
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import structlog
from aiohttp import web
from django.conf import settings
from yarl import URL

from fspiop import jws, versions
from fspiop.time import http_date
from hub.api.authentication import TOKEN
from hub.http_client import Curl
from hub.outbox.addresses import Addresses
from hub.outbox.claims import Claimed
from hub.participants.models import Participant
from portal.certification.certifier_participant import Certifier
from portal.certification.message_limits import MessageLimit
from portal.certification.recorded_requests import error_in, in_database

log = structlog.get_logger("certification")

VERSION = "1.1"
_REQUEST_S = 10.0
_RENEW_AT_S = 60.0
_MOST_BYTES = 5_242_880
_MOST_OF_AN_ANSWER = 65_536
_MOST_SHOWN = 300  # bytes of an answer
_AT_ONCE = 8  # the messages of one DFSP that the certifier handles at the same time


@dataclass(frozen=True, slots=True)
class Received:
    """A message that the hub delivered to the certifier."""

    at: float
    method: str
    path: str
    source: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found = json.loads(self.body) if self.body else {}
        return found if isinstance(found, dict) else {}

    @property
    def ids(self) -> list[str]:
        return self.path.partition("?")[0].split("/")[2:]


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to a message of the certifier. If there was no response, the status is 0. `code` is the code of the
    error in the body."""

    status: int
    text: str
    code: str = ""

    @property
    def is_taken(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_refusal(self) -> bool:
        return 400 <= self.status < 500

    def __str__(self) -> str:
        return self.text or f"HTTP {self.status}"


Handler = Callable[[Received], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Guest:
    """A DFSP whose messages the endpoint accepts. A DFSP can send many messages at the same time, but the certifier
    handles only a few of these messages at the same time, so that the messages of other DFSPs do not wait."""

    handler: Handler
    limit: MessageLimit
    places: asyncio.Semaphore


class Endpoint:
    """The HTTP server for the hub's callbacks. The path of this server contains a secret, so only the hub can call this
    server."""

    def __init__(self) -> None:
        self._secret = secrets.token_urlsafe(24)
        self._guests: dict[str, _Guest] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> "Endpoint":
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_route("*", f"/{self._secret}/{{rest:.*}}", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        host, _, port = settings.CERTIFIER_LISTEN.rpartition(":")
        site = web.TCPSite(self._runner, host, int(port))
        await site.start()
        base = settings.CERTIFIER_URL.rstrip("/") or f"http://{host}:{self._runner.addresses[0][1]}"
        self.url = f"{base}/{self._secret}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    def on(self, dfsp: str, handler: Handler, limit: MessageLimit) -> None:
        """Passes the messages of this DFSP to a handler. Messages of the hub itself need no handler."""
        self._guests[dfsp] = _Guest(handler, limit, asyncio.Semaphore(_AT_ONCE))

    def off(self, dfsp: str) -> None:
        """Ignores all further messages of this DFSP."""
        self._guests.pop(dfsp, None)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        path = request.raw_path.partition(self._secret)[2]
        received = Received(time.time(), request.method, path, headers.get("fspiop-source", ""), headers, body)
        guest = self._guests.get(received.source)
        if guest is not None:
            guest.limit.count(len(body))
            if guest.limit.is_exceeded.is_set():
                return web.Response(status=403)
            task = asyncio.create_task(self._handle(guest, received))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return web.Response(status=202 if request.method in ("GET", "POST") else 200)

    async def _handle(self, guest: _Guest, received: Received) -> None:
        try:
            async with guest.places:
                await guest.handler(received)
        # the hub has already received the HTTP response; after this error the certifier sends no answer, so the case
        # ends
        except Exception:
            log.exception("message_not_handled", method=received.method, path=received.path)


class Sender:
    """Sends the certifier's messages."""

    def __init__(self, certifier: Certifier) -> None:
        self.name = certifier.participant.name
        self._certifier = certifier
        self._base = settings.CERTIFIER_HUB_URL.rstrip("/")
        self._addresses = Addresses()
        self._token, self._token_ends = "", 0.0
        self._renewing = asyncio.Lock()

    async def __aenter__(self) -> "Sender":
        self._curl = Curl()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=_tls()),
            timeout=aiohttp.ClientTimeout(total=_REQUEST_S),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        self._curl.close()

    def headers(self, method: str, path: str, body: bytes, destination: str) -> dict[str, str]:
        """Returns the headers of a message, including the signature."""
        resource = path.split("/")[1].partition("?")[0]
        headers = {
            "content-type": versions.content_type(resource, VERSION),
            "date": http_date(datetime.now(UTC)),
            "fspiop-source": self.name,
            "fspiop-destination": destination,
        }
        if method in ("GET", "POST"):
            headers["accept"] = versions.accept(resource, 1)
        if method != "GET":
            headers |= {"fspiop-uri": path, "fspiop-http-method": method}
            headers["fspiop-signature"] = jws.sign(
                body,
                key=self._certifier.key,
                method=method,
                uri=path,
                source=self.name,
                destination=destination,
                date=headers["date"],
            )
        return headers

    async def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Sends a message to the hub. Returns the hub's response."""
        try:
            if TOKEN in settings.PARTICIPANT_AUTH:
                headers = headers | {"authorization": f"Bearer {await self._valid_token()}"}
            url = URL(self._base + path, encoded=True)
            async with self._session.request(method, url, data=body or None, headers=headers) as response:
                text = (await response.content.read(2000)).decode(errors="replace")
                return Answer(response.status, text)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Answer(0, f"{type(error).__name__}: {error}")

    async def _valid_token(self) -> str:
        async with self._renewing:
            if time.monotonic() > self._token_ends:
                pair = base64.b64encode(f"{self._certifier.client}:{self._certifier.secret}".encode()).decode()
                async with self._session.post(
                    f"{self._base}/token",
                    data={"grant_type": "client_credentials"},
                    headers={"authorization": f"Basic {pair}"},
                ) as response:
                    granted = await response.json(content_type=None)
                    if response.status != 200:
                        raise OSError(f"no token: HTTP {response.status}")
                self._token = granted["access_token"]
                self._token_ends = time.monotonic() + max(granted["expires_in"] - _RENEW_AT_S, 1.0)
            return self._token

    async def call(self, method: str, url: str, body: dict[str, Any] | None, *, timeout_s: float) -> tuple[int, Any]:
        """If the hub is allowed to connect to the address of the DFSP's outbound API, calls this API. Returns the
        status and the JSON of the response."""
        raw = b"" if body is None else json.dumps(body).encode()
        headers = {"accept": "application/json", "content-type": "application/json"}
        try:
            reply = await self._curl.request(method, url, headers, raw, timeout_s=timeout_s, most=_MOST_OF_AN_ANSWER)
            return reply.status, json.loads(reply.body)
        except (TimeoutError, OSError, ValueError) as error:
            return 0, f"{type(error).__name__}: {error}"

    async def deliver(self, dfsp: Participant, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Delivers a message to the DFSP's endpoint, in the same way as a courier. Returns the DFSP's response."""
        message = Claimed(
            id=0,
            destination_id=dfsp.pk,
            method=method,
            path=path,
            headers=headers,
            body=body,
            subject="",
            kind="certification",
            signed_by_hub=False,
            reply_to_id=None,
            error_path=None,
            attempts=1,
            age_s=0.0,
            lease=datetime.now(UTC),
            endpoints_version=dfsp.endpoints_version,
        )
        url = (await in_database(self._addresses.urls_for, [message]))[0]
        if url is None:
            return Answer(0, "no endpoint is registered")
        timeout_s = settings.OUTBOX_TIMEOUT_S
        try:
            reply = await self._curl.request(method, url, headers, body, timeout_s=timeout_s, most=_MOST_OF_AN_ANSWER)
        except TimeoutError:
            return Answer(0, f"no response within {timeout_s} s")
        except (OSError, ValueError) as error:
            return Answer(0, f"{type(error).__name__}: {error}")
        if 200 <= reply.status < 300:
            return Answer(reply.status, "")
        said = reply.body[:_MOST_SHOWN].decode(errors="replace")
        return Answer(reply.status, f"HTTP {reply.status}: {said}", error_in(reply.body)[0])


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.CALLBACK_CA_FILE or None)
    if settings.CERTIFIER_CLIENT_CERT_FILE:
        key = settings.CERTIFIER_CLIENT_KEY_FILE or None
        context.load_cert_chain(settings.CERTIFIER_CLIENT_CERT_FILE, key)
    return context
