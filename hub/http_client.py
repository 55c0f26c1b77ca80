"""Sends HTTP requests with libcurl from an event loop. Each event loop has one `Curl` object for all destinations.

A deadline limits the whole HTTP exchange, even if the bytes arrive slowly. The client ignores redirects and cookies,
and uses no proxy. It reads each response up to a size limit, and does not decompress responses. It opens sockets only
to addresses that `hub.egress` allows.
"""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import pycurl
from django.conf import settings

from hub import egress

_MOST_KEPT_CONNECTIONS = 1024
_KEEP_S = 30  # time after which an idle connection is closed
_UNSAID = ("Accept", "Content-Type", "Expect", "User-Agent")  # headers that libcurl adds unless they are disabled


class NotConnected(OSError):
    """Raised if the hub could not open a connection, and therefore sent no request."""


class NotConnectedInTime(NotConnected, TimeoutError):
    """Raised if the hub could not open a connection before the deadline."""


class NotPermitted(NotConnected):
    """Raised if `hub.egress` does not allow connections to the URL's address."""


_BEFORE_CONNECTED = {
    pycurl.E_COULDNT_RESOLVE_HOST,
    pycurl.E_COULDNT_CONNECT,
    pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_PEER_FAILED_VERIFICATION,
}


@dataclass(slots=True)
class Reply:
    """A response, with the part of its body that was read."""

    status: int
    body: bytes
    is_whole: bool
    retry_after_s: float | None


class _Exchange:
    """A libcurl handle. The handle sends one request at a time, and can be used again for later requests."""

    def __init__(self) -> None:
        self.handle = handle = pycurl.Curl()
        self.future: asyncio.Future[Reply]
        self._parts: list[bytes] = []
        self._room = 0
        self._refusal = ""
        handle.setopt(pycurl.NOSIGNAL, 1)
        handle.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        handle.setopt(pycurl.FOLLOWLOCATION, 0)
        handle.setopt(pycurl.PROXY, "")
        handle.setopt(pycurl.MAXAGE_CONN, _KEEP_S)
        handle.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        handle.setopt(pycurl.WRITEFUNCTION, self._write)
        handle.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
        self._trust()

    def _trust(self) -> None:
        """Sets the trusted authorities and the hub's client certificate."""
        own = settings.CALLBACK_CA_FILE
        for option, place in (
            (pycurl.CAINFO, own or egress.SYSTEM_AUTHORITIES.cafile),
            (pycurl.CAPATH, None if own else egress.SYSTEM_AUTHORITIES.capath),
        ):
            if place:
                self.handle.setopt(option, place)
            else:
                self.handle.unsetopt(option)  # otherwise libcurl would trust its built-in authorities
        if settings.CALLBACK_CLIENT_CERT_FILE:
            self.handle.setopt(pycurl.SSLCERT, settings.CALLBACK_CLIENT_CERT_FILE)
            self.handle.setopt(pycurl.SSLKEY, settings.CALLBACK_CLIENT_KEY_FILE or settings.CALLBACK_CLIENT_CERT_FILE)

    def prepare(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float, most: int
    ) -> None:
        """Sets the method, URL, headers and body of the next request. Raises ValueError if a header contains a line
        break."""
        handle = self.handle
        handle.setopt(pycurl.URL, url.encode("ascii"))
        if body:
            handle.setopt(pycurl.POSTFIELDS, body)
        else:
            handle.setopt(pycurl.HTTPGET, 1)
        handle.setopt(pycurl.CUSTOMREQUEST, method)
        handle.setopt(pycurl.HTTPHEADER, _lines(headers))
        handle.setopt(pycurl.TIMEOUT_MS, max(1, int(timeout_s * 1000)))
        self._parts, self._room, self._refusal = [], most, ""

    def reply(self) -> Reply:
        """Returns the server's response to the current request."""
        handle = self.handle
        retry_after = handle.getinfo(pycurl.RETRY_AFTER)
        return Reply(handle.getinfo(pycurl.RESPONSE_CODE), b"".join(self._parts), self._room >= 0, retry_after or None)

    def failure(self, number: int, text: str) -> OSError:
        """Returns an exception with the reason why there is no response."""
        if number == pycurl.E_OPERATION_TIMEDOUT:
            is_connected = self.handle.getinfo(pycurl.PRETRANSFER_TIME) > 0
            return TimeoutError(text) if is_connected else NotConnectedInTime(text)
        if self._refusal:
            return NotPermitted(self._refusal)
        kind = NotConnected if number in _BEFORE_CONNECTED else OSError
        return kind(text or pycurl.Curl().errstr())

    @property
    def is_cut(self) -> bool:
        """Whether only a part of the body was read, because the body exceeded the size limit."""
        return self._room < 0

    def _write(self, part: bytes) -> int:
        self._parts.append(part[: self._room])
        self._room -= len(part)
        return -1 if self._room < 0 else len(part)

    def _open_socket(self, purpose: int, address: Any) -> socket.socket | int:
        family, kind, protocol, where = address
        host, port = str(where[0]), int(where[1])
        if not egress.may_connect(host, port):
            self._refusal = f"this hub does not connect to {host} port {port}"
            return pycurl.SOCKET_BAD
        return socket.socket(family, kind, protocol)


def _lines(headers: Mapping[str, str]) -> list[bytes]:
    lines = [f"{name}: {value}".encode("latin-1") for name, value in headers.items()]
    said = {name.lower() for name in headers}
    lines += [f"{name}:".encode() for name in _UNSAID if name.lower() not in said]
    if any(b"\n" in line or b"\r" in line or b"\0" in line for line in lines):
        raise ValueError("a header must be one line")
    return lines


class Curl:
    """Sends requests, and keeps connections open for later requests. Create and use each object of this class in a
    single event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle: list[_Exchange] = []
        self._busy: dict[pycurl.Curl, _Exchange] = {}
        self._watched: dict[int, int] = {}  # for each socket: the events that libcurl waits for
        self._timer: asyncio.TimerHandle | None = None
        self._multi = multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        multi.setopt(pycurl.M_MAXCONNECTS, _MOST_KEPT_CONNECTIONS)

    async def __aenter__(self) -> Self:
        """Returns the `Curl` object. The first request to a server opens a connection."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes all open connections."""
        self.close()

    def close(self) -> None:
        """Closes all connections; open requests get no response."""
        for exchange in list(self._busy.values()):
            self._finish(exchange, pycurl.E_ABORTED_BY_CALLBACK, "this hub closed the connection")
        for exchange in self._idle:
            exchange.handle.close()
        self._idle.clear()
        self._multi.close()
        self._set_timer(-1)

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", *, timeout_s: float, most: int
    ) -> Reply:
        """Sends one request. Returns the response, with at most `most` bytes of its body. Raises OSError if there was
        no response: TimeoutError after `timeout_s` seconds, and NotPermitted if `hub.egress` does not allow the
        address. Raises ValueError if a header of the request contains a line break.
        """
        exchange = self._idle.pop() if self._idle else _Exchange()
        try:
            exchange.prepare(method, url, headers, body, timeout_s, most)
        except BaseException:
            exchange.handle.close()
            raise
        exchange.future = future = self._loop.create_future()
        self._busy[exchange.handle] = exchange
        self._multi.add_handle(exchange.handle)
        try:
            return await future
        except asyncio.CancelledError:
            # After a response, another request perhaps already uses this libcurl handle.
            if exchange.handle in self._busy and exchange.future is future:
                del self._busy[exchange.handle]
                self._multi.remove_handle(exchange.handle)
                exchange.handle.close()
            raise

    # --- callbacks for libcurl --------------------------------------------------------------------------------------

    def _watch(self, what: int, fd: int, multi: Any, data: Any) -> None:
        before = self._watched.pop(fd, 0)
        now = 0 if what == pycurl.POLL_REMOVE else what
        if now:
            self._watched[fd] = now
        if now & pycurl.POLL_IN and not before & pycurl.POLL_IN:
            self._loop.add_reader(fd, self._act, fd, pycurl.CSELECT_IN)
        elif before & pycurl.POLL_IN and not now & pycurl.POLL_IN:
            self._loop.remove_reader(fd)
        if now & pycurl.POLL_OUT and not before & pycurl.POLL_OUT:
            self._loop.add_writer(fd, self._act, fd, pycurl.CSELECT_OUT)
        elif before & pycurl.POLL_OUT and not now & pycurl.POLL_OUT:
            self._loop.remove_writer(fd)

    def _set_timer(self, milliseconds: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if milliseconds >= 0:
            self._timer = self._loop.call_later(milliseconds / 1000, partial(self._act, pycurl.SOCKET_TIMEOUT, 0))

    def _act(self, fd: int, what: int) -> None:
        if fd == pycurl.SOCKET_TIMEOUT:
            self._timer = None
        self._multi.socket_action(fd, what)
        while True:
            waiting, done, failed = self._multi.info_read()
            for handle in done:
                self._finish(self._busy[handle])
            for handle, number, text in failed:
                self._finish(self._busy[handle], number, text)
            if not waiting:
                return

    def _finish(self, exchange: _Exchange, number: int = pycurl.E_OK, text: str = "") -> None:
        self._multi.remove_handle(exchange.handle)
        del self._busy[exchange.handle]
        self._idle.append(exchange)
        future = exchange.future
        if future.done():
            return
        if number == pycurl.E_OK or exchange.is_cut:
            future.set_result(exchange.reply())
        else:
            future.set_exception(exchange.failure(number, text))
