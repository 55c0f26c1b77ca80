"""A18: answers that are asked for and not read, to the real web server, where the portal and the DFSP API share it."""

import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from hub.audit import record
from hub.downloads import EACH
from hub.local import net
from portal.permissions import Role
from tests.attacks.web import Answer, head, send, served
from tests.portal.people import browser_of, person
from tests.world import World

DOWNLOADS = 60
THREADS = 128
QUEUE = "96"
POOL = "8"


def fill_audit_trail() -> None:
    """So much that no socket's buffers take a file of it."""
    for number in range(400):
        record("filled", subject=str(number), actor="test", after={"text": "x" * 50_000})


def cookie_of(user: User) -> str:
    return str(browser_of(user).cookies[settings.SESSION_COOKIE_NAME].value)


def request(path: str, cookie: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: hub\r\nCookie: {settings.SESSION_COOKIE_NAME}={cookie}\r\n\r\n".encode()


@contextmanager
def unread(port: int, count: int, *requests: bytes) -> Iterator[list[socket.socket]]:
    """Connections on which these are asked for and nothing is read."""
    with ExitStack() as stack:
        channels = []
        for _ in range(count):
            channel = stack.enter_context(socket.socket())
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            channel.settimeout(20)
            channel.connect((net.HOST, port))
            channel.sendall(b"".join(requests))
            channels.append(channel)
        time.sleep(3)
        yield channels


def poll(port: int) -> Answer:
    path = "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069"
    return send(port, head("GET", path, source="green") + b"\r\n\r\n")


def statuses(port: int, count: int = 40) -> Counter[int]:
    """What so many requests of DFSPs are answered, eight at once."""
    with ThreadPoolExecutor(8) as pool:
        return Counter(answer.status for answer in pool.map(lambda _: poll(port), range(count)))


@pytest.mark.thorough
def test_a18_downloads_that_nobody_reads_leave_dfsps_their_threads_and_connections(committed_world: World) -> None:
    fill_audit_trail()
    slow, other = (
        request("/portal/audit/entries.csv", cookie_of(person(Role.AUDITOR, name=n))) for n in ("asha", "juma")
    )
    with (
        served(threads=THREADS, WEB_QUEUE=QUEUE, DATABASE_POOL=POOL) as port,
        unread(port, DOWNLOADS, slow) as channels,
    ):
        assert statuses(port) == {202: 40}
        # Three of them have begun, and the others were told; somebody else's begins.
        begun = Counter(channel.recv(12) for channel in channels)
        assert begun.pop(b"HTTP/1.1 200") == EACH
        assert set(begun) <= {b"HTTP/1.1 429", b"HTTP/1.1 503"}
        assert begun.total() == DOWNLOADS - EACH
        assert send(port, other[:-2] + b"Connection: close\r\n\r\n").status == 200
        assert send(port, request("/portal/audit/", cookie_of(person(Role.AUDITOR, name="amina")))).status == 200
        for channel in channels:
            channel.close()
        time.sleep(1)
        with unread(port, EACH, slow) as again:
            assert [channel.recv(12) for channel in again] == [b"HTTP/1.1 200"] * EACH


@pytest.mark.thorough
def test_a18_files_that_nobody_reads_leave_dfsps_and_the_portal_their_threads(committed_world: World) -> None:
    script = request("/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js")
    with served(threads=THREADS, WEB_QUEUE=QUEUE) as port, unread(port, 2 * THREADS, *[script] * 5):
        assert statuses(port) == {202: 40}
        assert send(port, request("/portal/sign-in/")).status == 200
        assert send(port, request("/static/portal/portal.js")).status == 200
