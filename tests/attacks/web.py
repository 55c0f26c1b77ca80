"""A real web server on the tests' database, and requests to it written octet by octet."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from django.db import connection

from fspiop.time import http_date
from hub.local import net

_GRANIAN = Path(sys.executable).with_name("granian")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status and reason of the first response, all that came after its head, and whether it ended."""

    status: int
    reason: str
    rest: bytes
    is_closed: bool


@contextmanager
def served(*, threads: int = 8, **settings: str) -> Iterator[int]:
    """granian as it runs in production, but one process; gives its port."""
    with running(threads=threads, **settings) as web:
        yield web.port


@dataclass(frozen=True, slots=True)
class Web:
    """A web server, and its one process that serves."""

    port: int
    parent: int

    @property
    def memory(self) -> int:
        """The octets that the process has of the machine's memory."""
        (child,) = Path(f"/proc/{self.parent}/task/{self.parent}/children").read_text().split()
        lines = Path(f"/proc/{child}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


@contextmanager
def running(*, threads: int = 8, **settings: str) -> Iterator[Web]:
    """The same, with its process."""
    found = connection.settings_dict
    place = quote(str(found["HOST"]), safe="")
    user = f"{found['USER']}:{quote(str(found['PASSWORD']))}@" if found["USER"] else ""
    url = f"postgres://{user}{place}:{found['PORT']}/{found['NAME']}"
    port = net.free_port()
    command = [
        str(_GRANIAN),
        "--interface",
        "wsgi",
        "--http",
        "1",
        "--host",
        net.HOST,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    environment = os.environ | {"DATABASE_URL": url, "DFSP_STATE_RATE": "0", "DFSP_FAULTY_BYTES": "0"} | settings
    web = subprocess.Popen(
        [*command, "--blocking-threads", str(threads), "hub.wsgi:application"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield Web(port, web.pid)
    finally:
        web.terminate()
        try:
            web.wait(15)
        except subprocess.TimeoutExpired:
            web.kill()
            web.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if send(port, b"GET /nothing HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n").status:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError("the web server did not answer within a minute")


def head(method: str, path: str, *more: str, source: str = "green", resource: str = "transfers") -> bytes:
    """A request's head without its end: right headers, and `more`."""
    kind = f"application/vnd.interoperability.{resource}+json"
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: hub.example",
        f"Date: {http_date(datetime.now(UTC))}",
        f"FSPIOP-Source: {source}",
        f"Content-Type: {kind};version=1.1",
        f"Accept: {kind};version=1",
        *more,
    ]
    return "\r\n".join(lines).encode("latin-1")


def send(port: int, *parts: bytes, pause: float = 0, timeout: float = 20) -> Answer:
    """Sends these octets, with pauses between the parts, and reads until the server ends or has answered once."""
    with socket.create_connection((net.HOST, port), timeout=timeout) as channel:
        try:
            for part in parts:
                channel.sendall(part)
                time.sleep(pause)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server has said no already; what it said is still to be read
        return _read(channel)


def _read(channel: socket.socket) -> Answer:
    received, is_closed = b"", False
    try:
        while not _is_whole(received):
            octets = channel.recv(65536)
            if not octets:
                is_closed = True
                break
            received += octets
    except ConnectionResetError:
        is_closed = True
    if not received:
        return Answer(0, "", b"", is_closed)
    status_line, _, rest = received.partition(b"\r\n")
    _, status, reason = (status_line + b"  ").split(b" ", 2)
    return Answer(int(status), reason.strip().decode(), rest.partition(b"\r\n\r\n")[2], is_closed)


def _is_whole(received: bytes) -> bool:
    head_text, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head_text.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return False
