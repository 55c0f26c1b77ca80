"""Frees threads that wait for slow request bodies. After `BODY_DEADLINE_S`, this module shuts the reading side of the
connection, so that the thread can serve other requests. granian has no time limit for bodies, and a WSGI thread waits
for the body of its request. A WSGI request does not identify its connection, because REMOTE_ADDR has no port. So this
module searches for the connection among all connections of the process.

While a body is overdue, this module examines the connections that come from the sender's address. If one of these
connections has waited for a response for longer than `BODY_DEADLINE_S`, this module shuts the connection. The waiting
thread then gets the incomplete body and responds, and granian closes the connection. No other request is disturbed.
Every other request gets its response before this deadline. On an idle connection, no client waits for a response.

This module works only on Linux (TCP_INFO), and does not work with a Unix socket. This module works only with HTTP/1, in
which a server sends no data before the response.
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
    "kitovu_web_slow_bodies_total", "Connections that the hub shut because the body of a request did not arrive"
)

_DESCRIPTORS = Path("/proc/self/fd")
_LOOK_EVERY_S = 1.0
_SUSPECT_AFTER_S = 1.0
_MARGIN_S = 4.0  # at this time after the deadline, the module has observed the connection for BODY_DEADLINE_S

# Linux's struct tcp_info. At offsets 44 and 52: the milliseconds since data was last sent and last received. At offsets
# 152 and 156: the numbers of data segments received and sent. New versions of Linux add fields only at the end.
_TCP_INFO = struct.Struct("44xI4xI96xII")


class Input:
    """A request's `wsgi.input`.

    Records when a thread began to wait for the body. The pieces of the body that arrive later do not change this time.
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
    """One connection to this process, as the kernel describes it. The kernel's times can be wrong by 10 ms."""

    address: str
    port: int
    sent_s: float
    """The seconds since this process last sent data on this connection. If it has sent no data, the seconds since the
    connection began."""
    received_s: float
    has_sent: bool
    has_received: bool
    channel: socket.socket

    @property
    def is_unanswered(self) -> bool:
        return self.received_s < self.sent_s or (self.has_received and not self.has_sent)

    def is_still(self, for_s: float) -> bool:
        """Returns whether the connection has neither received nor sent data for this number of seconds."""
        return min(self.sent_s, self.received_s) > for_s


class Waits:
    """Stores which threads wait for bodies, and which connections wait for a response. For each of these threads and
    connections, stores the time at which the wait began."""

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
            # this address. A connection that waits for a body can look idle. This happens if the last response and the
            # next request have the same time on the kernel's clock. It also happens if the server has sent "100
            # Continue".
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
        """Returns the connections that have waited for a response for longer than `BODY_DEADLINE_S`. Only a request
        with an overdue body waits for such a long time.
        """
        since: dict[tuple[str, int], float] = {}
        late = []
        for connection in found:
            if not connection.is_unanswered:
                continue
            key = connection.address, connection.port
            # After the module first recorded this connection, the process perhaps sent a response and got a new
            # request.
            first = max(self._unanswered.get(key, now), now - connection.sent_s)
            since[key] = min(first, now - connection.received_s)  # nothing was sent after the last data arrived
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
    """Returns the socket behind a copy of this file descriptor, or None if there is no socket. Another thread can close
    and reuse the original file descriptor at any time, but not the copy.
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
    """Returns the address in a uniform spelling, because sockets and the web server spell addresses differently."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(getattr(found, "ipv4_mapped", None) or found)


_waits = Waits()
