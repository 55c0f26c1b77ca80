"""Makes a thread stop waiting for a slow request body. After `BODY_DEADLINE_S`, shuts the connection for reading, so
that the thread can serve other requests.

granian does not limit how slowly a body arrives, and a WSGI thread waits for the body. A WSGI request does not name its
connection, because REMOTE_ADDR has no port. So this module searches for the connection in the kernel's list of the
process's connections.

While a body is overdue, this module examines the connections that come from the sender's address. This module shuts
each connection on which the process has sent nothing for longer than any request takes. The waiting thread then
receives the incomplete body and responds, and granian closes the connection. Shutting a connection disturbs no other
request. Requests in progress get their responses earlier, and on an idle connection no client waits for a response.

This module works only on Linux (TCP_INFO), and does not work with a Unix socket. This module works only with HTTP/1. In
HTTP/1, a server sends no data before the response.
"""

import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import prometheus_client
import structlog
from django.conf import settings

log = structlog.get_logger("api")

SHUT_CONNECTIONS = prometheus_client.Counter(
    "kitovu_web_slow_bodies_total", "Connections shut because a request's body did not arrive"
)

_DESCRIPTORS = Path("/proc/self/fd")
_LOOK_EVERY_S = 1.0
_SUSPECT_AFTER_S = 1.0
_MARGIN_S = 4.0  # after the deadline; by then the module has observed the connection for BODY_DEADLINE_S

# Linux's struct tcp_info: milliseconds since data was last sent and received, at 44 and 52; numbers of data segments
# received and sent, at 152 and 156. The struct grows only at its end.
_TCP_INFO = struct.Struct("44xI4xI96xII")


class Input:
    """A request's `wsgi.input`.

    An object with the time at which a thread began to wait for a body. When a piece of the body arrives, the recorded
    time does not change.
    """

    __slots__ = ("_address", "_began", "_input", "_port")

    def __init__(self, environ: dict[str, Any]) -> None:
        self._input = environ["wsgi.input"]
        self._began = 0.0
        self._address = environ.get("REMOTE_ADDR", "")
        self._port = environ.get("SERVER_PORT", "")

    def read(self, size: int = -1) -> bytes:
        return self._wait_for(self._input.read, size)

    def readline(self, size: int = -1) -> bytes:
        return self._wait_for(self._input.readline, size)

    def _wait_for(self, read: Callable[..., bytes], size: int) -> bytes:
        wait = object()
        self._began = self._began or time.monotonic()
        _waits.begin(wait, self._began, self._address, self._port)
        try:
            return read(size) if size >= 0 else read()
        finally:
            _waits.end(wait)


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection to this process, from the kernel's data. The resolution of the kernel's clock can be 10 ms."""

    address: str
    port: int
    sent_s: float
    """Seconds since data was last sent on this connection, or since the connection began if none was sent."""
    received_s: float
    has_sent: bool
    has_received: bool
    channel: socket.socket

    @property
    def is_unanswered(self) -> bool:
        return self.received_s < self.sent_s or (self.has_received and not self.has_sent)

    def is_still(self, for_s: float) -> bool:
        """Returns whether the connection has neither received nor sent data for this long."""
        return min(self.sent_s, self.received_s) > for_s


class Waits:
    """All threads that wait for bodies, and all connections without a response. For each thread and each connection,
    the object stores when the wait began."""

    def __init__(self, *, is_watching: bool = True) -> None:
        self._is_watching = is_watching and hasattr(socket, "TCP_INFO") and _DESCRIPTORS.exists()
        self._open: dict[object, tuple[float, str, str]] = {}
        self._unanswered: dict[tuple[str, int], float] = {}
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()

    def begin(self, wait: object, began: float, address: str, port: str) -> None:
        """Records that a request has been waiting for its body since `began`. `address` is the sender's address, and
        `port` is the port of this process."""
        self._open[wait] = (began, address, port)
        if self._thread is None and self._is_watching:
            self._start()

    def end(self, wait: object) -> None:
        """Records that a request no longer waits for its body."""
        del self._open[wait]

    def _start(self) -> None:
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look_for_ever, name="slow-bodies", daemon=True)
                self._thread.start()

    def _look_for_ever(self) -> None:
        while True:
            time.sleep(_LOOK_EVERY_S)
            try:
                self.look()
            except OSError as error:
                log.warning("slow_bodies_not_looked_at", error=str(error))

    def look(self) -> None:
        """Shuts the connections with overdue bodies."""
        now = time.monotonic()
        waits = [(now - began, _plain(address), port) for began, address, port in self._open.copy().values()]
        ports = {int(port) for waited, _, port in waits if waited > _SUSPECT_AFTER_S and port.isdecimal()}
        if not ports:
            self._unanswered.clear()
            return
        deadline_s = settings.BODY_DEADLINE_S
        overdue = {address for waited, address, _ in waits if waited > deadline_s}
        with connections_to(ports) as found:
            late = [each for each in self._unanswered_too_long(found, now) if each.address in overdue]
            # If an address has more overdue requests than late connections, the module also shuts idle connections of
            # this address. A connection that waits for a body can look idle: if a response and the next request fall
            # into one tick of the kernel's clock, their order is unknown. A request with "100 Continue" also looks
            # idle.
            unknown = Counter(address for waited, address, _ in waits if waited > deadline_s + _MARGIN_S)
            unknown.subtract(each.address for each in late)
            for connection in found:
                is_still = not connection.is_unanswered and connection.is_still(deadline_s)
                if is_still and unknown[connection.address] > 0:
                    unknown[connection.address] -= 1
                    late.append(connection)
            for connection in late:
                _shut(connection)

    def _unanswered_too_long(self, found: list[Connection], now: float) -> list[Connection]:
        """Returns the connections that have waited for a response for longer than a body may take.

        Only a request with an overdue body waits longer than a body may take.
        """
        since: dict[tuple[str, int], float] = {}
        late = []
        for connection in found:
            if not connection.is_unanswered:
                continue
            key = connection.address, connection.port
            # Perhaps the connection has had a response and a new request since it was first recorded.
            first = max(self._unanswered.get(key, now), now - connection.sent_s)
            since[key] = min(first, now - connection.received_s)  # nothing was sent since the last data arrived
            if now - since[key] > settings.BODY_DEADLINE_S:
                late.append(connection)
        self._unanswered = since
        return late


def _shut(connection: Connection) -> None:
    with suppress(OSError):
        connection.channel.shutdown(socket.SHUT_RD)
    SHUT_CONNECTIONS.inc()
    log.warning("slow_body_shut", address=connection.address, port=connection.port)


@contextmanager
def connections_to(ports: set[int]) -> Iterator[list[Connection]]:
    """Finds the connections that this process has accepted at these ports."""
    found: list[Connection] = []
    try:
        for name in os.listdir(_DESCRIPTORS):
            channel = _channel_of(int(name))
            if channel is None:
                continue
            connection = _connection_of(channel, ports)
            if connection is None:
                channel.close()
            else:
                found.append(connection)
        yield found
    finally:
        for connection in found:
            connection.channel.close()  # the copied descriptor


def _channel_of(descriptor: int) -> socket.socket | None:
    """Returns a copy of a file descriptor.

    A moment later, the original file descriptor can refer to another file. The copy always refers to the same file.
    """
    try:
        copy = os.dup(descriptor)
    except OSError:
        return None
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        return None


def _connection_of(channel: socket.socket, ports: set[int]) -> Connection | None:
    try:
        if channel.family not in (socket.AF_INET, socket.AF_INET6) or channel.getsockname()[1] not in ports:
            return None
        address, port = channel.getpeername()[:2]
        told = channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:  # a listening or closed socket
        return None
    if len(told) < _TCP_INFO.size:
        return None
    sent_ms, received_ms, segments_in, segments_out = _TCP_INFO.unpack(told)
    return Connection(
        address=_plain(address),
        port=port,
        sent_s=sent_ms / 1000,
        received_s=received_ms / 1000,
        has_sent=segments_out > 0,
        has_received=segments_in > 0,
        channel=channel,
    )


def _plain(address: str) -> str:
    """Returns an address in one spelling, because the socket and the web server use different spellings."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(getattr(found, "ipv4_mapped", None) or found)


_waits = Waits()
