"""Sends requests to the hub. Each request has FSPIOP headers, a signature, and a time limit for the whole exchange. The
client has one connection pool, and follows no redirects.
"""

import asyncio
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from types import TracebackType

import aiohttp
import structlog
from yarl import URL

from fspiop import jws, paths, versions
from fspiop.bodies import read
from fspiop.bodies.errors import ErrorPut
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import key_files, logs, tls
from kitovu_connector.config import Config
from kitovu_connector.hub_clock import HubClock
from kitovu_connector.message_forms import MessageForms
from kitovu_connector.sender_shares import Places
from kitovu_connector.tokens import NoToken, Tokens

log = structlog.get_logger(__name__)

ANSWER_AT_MOST = 64 * 1024
_REPLY_AT_MOST = 4 * 1024 * 1024  # enough for a page of the hub's statement, or for the public keys of a large scheme
# If a response has one of these 4xx statuses or error codes, the hub has not decided the request. Even if the hub has
# accepted the first copy of a request, the hub can reject a later copy because of its token or signature. The reason is
# that keys and tokens can change between the two copies.
NOT_A_WORD = frozenset({401, 403, 408, 421, 425, 429})
NOT_A_CODE = frozenset({ErrorCode.INVALID_SIGNATURE.code})


Wanted = Callable[[], bool | Awaitable[bool]]
"""Returns whether a request must still be sent."""


class Said(Enum):
    """The kind of the hub's response: the hub has accepted the request, has refused the request, or the response is
    unclear.
    """

    YES = "taken"
    NO = "refused"
    NOTHING = "unclear"


@dataclass(frozen=True, slots=True)
class Answer:
    """The hub's response to one request."""

    said: Said
    code: str = ""
    text: str = ""
    is_turned_away: bool = False
    """The request did not reach the hub's API: the credentials, the signature or the URL are wrong.

    An earlier copy of the request may have reached the API. A repeated request gets an equal response until people have
    corrected the cause.
    """


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete response from the hub's own API for DFSPs."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HubClient:
    """Sends requests to the hub for one DFSP."""

    last_answer_at: float = 0.0
    """The time of the hub's latest HTTP response, by this machine's monotonic clock. 0 before the first response."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._base = config.hub_url.rstrip("/")
        self._forms = MessageForms(config)
        self._key = key_files.signing_key(config)
        self.clock = HubClock(config.clock_margin_s)
        # RS256 takes a millisecond of CPU and releases the GIL, so a separate thread computes the signature.
        self._signing = ThreadPoolExecutor(1, thread_name_prefix="sign")
        self._session: aiohttp.ClientSession | None = None
        self._places = Places(config.connections)
        self._tls: ssl.SSLContext | bool = True
        self._tokens = Tokens(config) if config.token_url or config.hub_token_file else None

    async def __aenter__(self) -> "HubClient":
        self._tls = tls.outward(self._config)
        connector = aiohttp.TCPConnector(limit=self._config.connections, ssl=self._tls, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self._config.request_s, sock_connect=3),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),  # a callback has no Accept header
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
        self._signing.shutdown(wait=False, cancel_futures=True)

    def use_files(self) -> None:
        """Reads the present content of the files signing_key, client_cert and client_key. Raises ConfigError for a
        faulty file.
        """
        key = key_files.signing_key(self._config)
        if isinstance(self._tls, ssl.SSLContext):
            tls.use_client_certificate(self._tls, self._config)
        self._key = key

    async def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        destination: str | None = None,
        caused_by: str | None = None,
    ) -> Answer:
        """Sends one request, without repetition. `path` is percent-encoded, and begins with the name of the resource.
        `body` has the plain form. `caused_by` is the DFSP that caused the request, or None for this DFSP itself. The
        connector divides its connections among the DFSPs that cause requests.
        """
        assert self._session is not None, "use as a context manager"
        if not paths.is_sendable(path):  # an id that is not encoded could turn the path into a different request
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "the path has a character that must be percent-encoded")
        try:
            async with self._places.of(caused_by or self._config.dfsp, self._config.request_s):
                return await self._send(method, path, body, destination)
        except TimeoutError:
            why = "no connection was free in time"
            log.warning("not_sent_to_hub", method=method, resource=path.split("/")[1], caused_by=caused_by, why=why)
            return _unclear(why)

    async def _send(self, method: str, path: str, body: bytes, destination: str | None) -> Answer:
        body = self._forms.sent(method, path, body, destination=destination, now=self.clock.at_hub())
        headers = await self._headers(method, path, body, destination)
        url = URL(self._base + path, encoded=True)
        try:
            status, raw = await self._once(method, url, body, headers)
            if status == 401 and self._tokens is not None and self._tokens.refused(_token_of(headers)):
                # The token was revoked, or the hub's clock is ahead. The client sends the request again with a new
                # token.
                status, raw = await self._once(method, url, body, headers)
            answer = _answer_of(status, raw)
        except NoToken as error:
            answer = _turned_away(status=401, text=str(error)) if error.is_refused else _unclear(str(error))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            answer = _unclear(type(error).__name__)
        if answer.said is not Said.YES:
            _, resource, *ids = path.partition("?")[0].split("/")
            log.warning(
                "refused_by_hub" if answer.said is Said.NO or answer.is_turned_away else "no_answer_from_hub",
                method=method,
                resource=resource,
                id=ids[0] if len(ids) in (1, 2) and ids[1:] in ([], ["error"]) else None,
                code=answer.code or None,
                why=logs.without_numbers(answer.text),
            )
        return answer

    async def _once(self, method: str, url: URL, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        assert self._session is not None
        if self._tokens is not None:
            headers["Authorization"] = f"Bearer {await self._tokens.token(self._session)}"
        asked_at = time.time()
        async with self._session.request(
            method, url, data=body or None, headers=headers, allow_redirects=False
        ) as response:
            self.clock.measure(response.headers.get("Date"), asked_at, time.time())
            self.last_answer_at = time.monotonic()
            return response.status, await read_at_most(response, ANSWER_AT_MOST)

    async def call(
        self, method: str, path: str, body: bytes = b"", *, further: Mapping[str, str] | None = None
    ) -> Reply:
        """Sends one request to the hub's own API for DFSPs. The request has the same credentials and signature as a
        message.

        If the request could not be sent or had no response, raises NoToken or an error of aiohttp.
        """
        assert self._session is not None, "use as a context manager"
        headers = {"Accept": "application/json", "Date": self.clock.date(), "FSPIOP-Source": self._config.dfsp}
        if body:
            headers |= {"Content-Type": "application/json"} | await self._signature(body, method, path, None, headers)
        headers |= further or {}
        if self._tokens is not None:
            headers["Authorization"] = f"Bearer {await self._tokens.token(self._session)}"
        asked_at = time.time()
        async with self._session.request(
            method, URL(self._base + path, encoded=True), data=body or None, headers=headers, allow_redirects=False
        ) as response:
            self.clock.measure(response.headers.get("Date"), asked_at, time.time())
            self.last_answer_at = time.monotonic()
            return Reply(response.status, response.headers.copy(), await read_at_most(response, _REPLY_AT_MOST))

    async def send_until_taken(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        destination: str | None = None,
        caused_by: str | None = None,
        still_wanted: Wanted,
    ) -> Answer:
        """Sends the same request repeatedly, until the hub accepts or refuses the request, or until `still_wanted`
        returns False.
        """
        pause = 0.25
        while True:
            answer = await self.send(method, path, body, destination=destination, caused_by=caused_by)
            if answer.said is not Said.NOTHING or not await _is_true(still_wanted()):
                return answer
            await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311 - jitter, not a secret
            pause = min(pause * 2, 8.0)
            if not await _is_true(still_wanted()):
                return answer

    async def _headers(self, method: str, path: str, body: bytes, destination: str | None) -> dict[str, str]:
        resource = path.split("/", 2)[1].split("?", 1)[0]
        headers = {
            # A GET has no body, but it has a Content-Type, because the hub reads the FSPIOP dialect of the request from
            # this header.
            "Content-Type": versions.content_type(resource, self._forms.version(resource)),
            "Date": self.clock.date(),
            "FSPIOP-Source": self._config.dfsp,
        }
        if destination is not None:
            headers["FSPIOP-Destination"] = destination
        if method in ("GET", "POST", "DELETE"):
            headers["Accept"] = self._forms.accept(resource)
        if body:
            headers |= await self._signature(body, method, path, destination, headers)
        return headers

    async def _signature(
        self, body: bytes, method: str, path: str, destination: str | None, headers: Mapping[str, str]
    ) -> dict[str, str]:
        """Returns the headers of the signature, or None if this connector does not sign messages."""
        if self._key is None:
            return {}
        signature = await asyncio.get_running_loop().run_in_executor(
            self._signing, self._sign, body, method, path, destination, headers["Date"]
        )
        return {"FSPIOP-URI": path, "FSPIOP-HTTP-Method": method, "FSPIOP-Signature": signature}

    def _sign(self, body: bytes, method: str, path: str, destination: str | None, date: str) -> str:
        assert self._key is not None
        source = self._config.dfsp
        return jws.sign(body, key=self._key, method=method, uri=path, source=source, destination=destination, date=date)


async def read_at_most(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Reads at most `limit` bytes of a response's body, so that a large response cannot fill the memory."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size >= limit:
            response.close()
            break
    return b"".join(parts)[:limit]


def _answer_of(status: int, raw: bytes) -> Answer:
    if 200 <= status < 300:
        return Answer(Said.YES)
    try:
        information = read(ErrorPut, raw).error_information
    except FspiopError:
        # A 4xx response without FSPIOP's error body may come from a proxy in front of the hub, so this response does
        # not count as the hub's answer.
        return _turned_away(status, f"HTTP {status}") if _is_wrong(status) else _unclear(f"HTTP {status}")
    assert isinstance(information.error_code, str)
    if 400 <= status < 500 and status not in NOT_A_WORD and information.error_code not in NOT_A_CODE:
        return Answer(Said.NO, information.error_code, information.error_description)
    return Answer(Said.NOTHING, information.error_code, information.error_description, _is_wrong(status))


def _unclear(text: str) -> Answer:
    return Answer(Said.NOTHING, text=text)


def _turned_away(status: int, text: str) -> Answer:
    error = ErrorCode.CLIENT_ERROR if status in (401, 403) else ErrorCode.DESTINATION_COMMUNICATION_ERROR
    return Answer(Said.NOTHING, error.code, f"the hub's address responded: {text}", is_turned_away=True)


def _is_wrong(status: int) -> bool:
    """Returns whether people must correct the cause of this HTTP status.

    Other statuses, such as 429 and 503, have a temporary cause.
    """
    return 400 <= status < 500 and status not in NOT_A_WORD - {401, 403}


def _token_of(headers: dict[str, str]) -> str:
    return headers["Authorization"].removeprefix("Bearer ")


async def _is_true(given: bool | Awaitable[bool]) -> bool:
    return given if isinstance(given, bool) else await given
