"""Sends the command line's requests to a running connector, in the same way as a core sends its requests."""

from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from kitovu_connector import tls
from kitovu_connector.callers import tokens_in
from kitovu_connector.config import Config
from kitovu_connector.foreign_texts import on_terminal

_ON_THIS_MACHINE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 (not an address to listen on)
_MARGIN_S = 10.0
_NOT_ABOUT_THE_REQUEST = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class NotRunning(Exception):
    """The error for a request whose result is not known. Either the connector does not answer on its outbound port, or
    it could not process the request, or it did not accept the program's token or certificate. The request, or an
    earlier equal request, may have begun a payment.
    """


class RequestRefused(Exception):
    """The error for a refused request. The error's text contains the error code and the reason from the connector."""

    def __init__(self, status: int, code: str, why: str) -> None:
        super().__init__(f"{code} {why}".strip())
        self.status, self.code, self.why = status, code, why


class CoreRequests:
    """One session with the connector of this configuration."""

    def __init__(self, config: Config) -> None:
        host = _ON_THIS_MACHINE.get(config.outbound_host, config.outbound_host)
        self.url = f"{'https' if config.outbound_cert else 'http'}://{host}:{config.outbound_port}"
        self._tls = tls.of_command_line(config)
        token = tokens_in(config.outbound_token_file)[0] if config.outbound_token_file else ""
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = aiohttp.ClientTimeout(total=config.answer_s + _MARGIN_S, sock_connect=3)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "CoreRequests":
        self._session = aiohttp.ClientSession(
            timeout=self._timeout, trust_env=False, connector=aiohttp.TCPConnector(ssl=self._tls)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def live(self) -> Mapping[str, Any]:
        """Sends GET /health/live. Raises NotRunning if the connector does not respond."""
        return await self._call("GET", "/health/live")

    async def party(self, alias: str) -> Mapping[str, Any]:
        """Returns the payee with this alias, such as MSISDN/255655001001."""
        return await self._call("GET", "/parties/" + "/".join(quote(part, safe="") for part in alias.split("/")))

    async def pay(self, payment: Mapping[str, Any]) -> Mapping[str, Any]:
        """Makes a payment. Returns the payment when it has ended or waits for the core. After some time, returns the
        payment in its present state.
        """
        return await self._call("POST", "/payments", payment)

    async def payment(self, home_id: str) -> Mapping[str, Any] | None:
        """Returns the payment with the core's own id `home_id`, or None if no such payment has begun."""
        try:
            return await self._call("GET", "/payments/" + quote(home_id, safe=""))
        except RequestRefused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None

    async def request(self, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        """Asks a payer for money. Returns the request when the payer's DFSP has answered."""
        return await self._call("POST", "/requests", wanted)

    async def request_now(self, home_id: str) -> Mapping[str, Any]:
        """Returns a request to pay in its present state."""
        return await self._call("GET", "/requests/" + quote(home_id, safe=""))

    async def enter_password(self, home_id: str, password: str) -> Mapping[str, Any]:
        """Sends the connector the one-time password that the payer has entered."""
        return await self._call("POST", f"/requests/{quote(home_id, safe='')}/otp", {"otp": password})

    async def incoming(self, transfer_id: str) -> Mapping[str, Any]:
        """Returns a transfer whose payee is a customer of this DFSP. The result also has the payer."""
        return await self._call("GET", "/transfers/" + quote(transfer_id, safe=""))

    async def payments(self, **wanted: str | int | None) -> AsyncIterator[Mapping[str, Any]]:
        """Reads a list of payments page by page. Yields at most `most` payments."""
        async for found in self._list("/payments", "payments", wanted):
            yield found

    async def transfers(self, **wanted: str | int | None) -> AsyncIterator[Mapping[str, Any]]:
        """Yields the outgoing and incoming transfers, page by page, like `payments`."""
        async for found in self._list("/transfers", "transfers", wanted):
            yield found

    async def conversions(self, **wanted: str | int | None) -> AsyncIterator[Mapping[str, Any]]:
        """Yields the conversions of both roles, page by page, like `payments`."""
        async for found in self._list("/conversions", "conversions", wanted):
            yield found

    async def _list(
        self, path: str, name: str, wanted: Mapping[str, str | int | None]
    ) -> AsyncIterator[Mapping[str, Any]]:
        query = {key: value for key, value in wanted.items() if value is not None}
        left = int(query.pop("most", 0) or 1_000_000_000)
        while True:
            page = await self._call("GET", f"{path}?{urlencode(query | {'limit': min(left, 1000)})}")
            for found in page[name]:
                yield found
            left -= len(page[name])
            if "next" not in page or left <= 0:
                return
            query.pop("since", None)
            query["after"] = page["next"]

    async def _call(self, method: str, path: str, body: object = None) -> Mapping[str, Any]:
        assert self._session is not None, "use as a context manager"
        raw = None if body is None else msgspec.json.encode(body)
        try:
            async with self._session.request(
                method, self.url + path, data=raw, headers={"Content-Type": "application/json"} | self._headers
            ) as response:
                status, text = response.status, await response.read()
        except aiohttp.ClientSSLError as error:
            raise NotRunning(f"no secure connection to {self.url}: {error}") from None
        except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError):
            raise NotRunning(f"no connector answers at {self.url}: start it with `kitovu-connector serve`") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotRunning(f"{self.url}: {str(error) or type(error).__name__}") from None
        try:
            found: dict[str, Any] = on_terminal(msgspec.json.decode(text, type=dict))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise NotRunning(f"something other than a connector answers at {self.url}: HTTP {status}") from None
        if status >= 400:
            information = found.get("errorInformation", {})
            code, why = information.get("errorCode", ""), information.get("errorDescription", f"HTTP {status}")
            if status >= 500 or status in _NOT_ABOUT_THE_REQUEST:
                raise NotRunning(f"{self.url}: {code} {why}")
            raise RequestRefused(status, code, why)
        return found
