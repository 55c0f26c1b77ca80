"""A21: the answer to a callback as a weapon. It is read up to a cap, in time, never unpacked, and shown as text."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from hub import outbox
from hub.outbox.courier import Courier
from hub.outbox.models import Delivery, Message
from portal.permissions import Role
from tests.outbox.test_courier import courier, message, send_to, wait_until
from tests.portal.people import browser

__all__ = ["courier"]
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"


class Hostile:
    """A server below HTTP: what it writes to each connection, `speak` says."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.sent = 0
        self.speak: Callable[[socket.socket], None] = lambda line: None
        self.door = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.door.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self.door.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        try:
            self.heard.append(line.recv(65536))
            self.speak(line)
        except OSError:
            pass
        finally:
            line.close()

    def write(self, line: socket.socket, octets: bytes) -> None:
        line.sendall(octets)
        self.sent += len(octets)

    def endlessly(self, line: socket.socket, head: bytes, part: bytes, seconds: float = 20) -> None:
        """Until who listens has enough."""
        self.write(line, head)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.write(line, part)


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    made = Hostile()
    yield made
    made.door.close()


def send(hostile: Hostile, name: str = "blue") -> int:
    """Queues one callback to it; its number."""
    outbox.append([message(send_to(name, hostile.url), "/transfers/T")])
    return Message.objects.latest("id").pk


def failed(number: int) -> str:
    """What the courier says of it, once it has tried."""
    wait_until(lambda: not Message.objects.filter(pk=number, last_error="").exists())
    return Message.objects.values_list("last_error", flat=True).get(pk=number)


def test_a21_an_endless_body_is_not_read_to_its_end(courier: Courier, hostile: Hostile) -> None:
    head = b"HTTP/1.1 500 no\r\nContent-Type: text/html\r\nContent-Length: 100000000000\r\n\r\n"
    hostile.speak = lambda line: hostile.endlessly(line, head, b"x" * 65536)
    said = failed(send(hostile))
    assert len(said) <= 512
    assert hostile.sent < 32 * 1024 * 1024


def test_a21_endless_headers_are_not_read_to_their_end(courier: Courier, hostile: Hostile) -> None:
    hostile.speak = lambda line: hostile.endlessly(line, b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"y" * 8000 + b"\r\n")
    assert failed(send(hostile))
    assert hostile.sent < 32 * 1024 * 1024
    assert not Delivery.objects.exists()


def test_a21_a_body_that_is_packed_is_not_unpacked(courier: Courier, hostile: Hostile) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    head = f"HTTP/1.1 500 no\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    hostile.speak = lambda line: hostile.write(line, head + bomb)
    assert "000000" not in failed(send(hostile))
    assert b"accept-encoding" not in hostile.heard[0].lower()


def test_a21_what_is_no_http_is_a_failure_and_no_more(courier: Courier, hostile: Hostile) -> None:
    hostile.speak = lambda line: hostile.write(line, b"\x16\x03\x01" + b"\0" * 500)
    assert failed(send(hostile))
    assert not Delivery.objects.exists()


def test_a21_a_nul_in_an_answer_keeps_no_other_callback_from_being_settled(courier: Courier, hostile: Hostile) -> None:
    hostile.speak = lambda line: hostile.write(line, b"HTTP/1.1 500 no\r\nContent-Length: 3\r\n\r\na\0b")
    assert failed(send(hostile)) == "HTTP 500: a\ufffdb"


def test_a21_a_cookie_is_not_given_back(courier: Courier, hostile: Hostile) -> None:
    head = b"HTTP/1.1 503 later\r\nSet-Cookie: who=hub; Path=/\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
    hostile.speak = lambda line: hostile.write(line, head)
    send(hostile)
    wait_until(lambda: len(hostile.heard) >= 2)
    assert not any(b"cookie" in request.lower() for request in hostile.heard)


def test_a21_error_text_is_shown_and_never_run(courier: Courier, hostile: Hostile) -> None:
    head = f"HTTP/1.1 400 no\r\nContent-Length: {len(SCRIPT)}\r\n\r\n{SCRIPT}".encode()
    hostile.speak = lambda line: hostile.write(line, head)
    assert SCRIPT in failed(send(hostile))
    page = browser(Role.OPERATOR).get("/portal/callbacks/?state=all").content.decode()
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
