"""A18: bodies too large, endless, compressed or slow, to the real web server: refused, and the next one is served."""

import json
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from ledger.models import Transfer
from tests.api import messages
from tests.attacks.web import Answer, head, send, served
from tests.world import World

MESSAGE = 65_536
BULK = 5_242_880
MiB = 2**20
THREADS = 8  # of the web server


def start(*more: str, method: str = "POST", path: str = "/transfers") -> bytes:
    resource = path.split("/")[1]
    return head(method, path, "FSPIOP-Destination: blue", *more, resource=resource) + b"\r\n\r\n"


def code_of(answer: Answer) -> str:
    found: str = json.loads(answer.rest)["errorInformation"]["errorCode"]
    return found


def text_of(answer: Answer) -> str:
    found: str = json.loads(answer.rest)["errorInformation"]["errorDescription"]
    return found


def is_served(port: int) -> bool:
    body = json.dumps(messages.transfer()).encode()
    return send(port, start(f"Content-Length: {len(body)}") + body).status == 202


# Where a body may be as large as that of a bulk; it may be as large as a message's everywhere else.
BULKS = {
    ("POST", "/bulkTransfers"),
    ("PUT", "/bulkTransfers/b51ec534-ee48-4575-b6a9-ead2955b8069"),
    ("POST", "/bulkQuotes"),
    ("PUT", "/bulkQuotes/b51ec534-ee48-4575-b6a9-ead2955b8069"),
    ("POST", "/participants"),
}
MESSAGES = {
    ("POST", "/transfers"),
    ("PUT", "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069"),
    ("PUT", "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069/error"),
    ("GET", "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069"),
    ("POST", "/quotes"),
    ("POST", "/fxQuotes"),
    ("POST", "/fxTransfers"),
    ("POST", "/transactionRequests"),
    ("PUT", "/authorizations/b51ec534-ee48-4575-b6a9-ead2955b8069"),
    ("PUT", "/transactions/b51ec534-ee48-4575-b6a9-ead2955b8069"),
    ("POST", "/participants/MSISDN/1"),
    ("PUT", "/participants/b51ec534-ee48-4575-b6a9-ead2955b8069"),
    ("PUT", "/participants/MSISDN/1/error"),
    ("DELETE", "/participants/MSISDN/1"),
    ("PUT", "/parties/MSISDN/1"),
    ("GET", "/bulkTransfers/b51ec534-ee48-4575-b6a9-ead2955b8069"),
    ("PUT", "/bulkTransfers/b51ec534-ee48-4575-b6a9-ead2955b8069/error"),
    ("PUT", "/bulkQuotes/b51ec534-ee48-4575-b6a9-ead2955b8069/error"),
    ("PUT", "/services/FXP"),
}


def test_a18_one_octet_too_many_is_refused_by_its_length_alone(port: int) -> None:
    for places, most in ((MESSAGES, MESSAGE), (BULKS, BULK)):
        for method, path in places:
            refused = send(port, start(f"Content-Length: {most + 1}", method=method, path=path))
            assert (refused.status, code_of(refused)) == (400, "3104"), path
            assert text_of(refused) == f"Too large payload - at most {most} bytes"
    for length in ("9" * 18, "9" * 300):
        assert send(port, start(f"Content-Length: {length}")).status == 400
    assert is_served(port)


def test_a18_the_largest_body_is_read(port: int) -> None:
    body = json.dumps(messages.transfer()).encode()
    body += b" " * (MESSAGE - len(body))
    assert send(port, start(f"Content-Length: {MESSAGE}"), body).status == 202
    body = json.dumps(messages.bulk_transfer()).encode()
    body += b" " * (BULK - len(body))
    assert send(port, start(f"Content-Length: {BULK}", path="/bulkTransfers"), body).status == 202


def test_a18_the_administration_and_the_portal_have_limits_of_their_own(port: int) -> None:
    for path, most, status in (
        ("/api/ledger/v1/participants", MiB, 400),
        ("/api/settlement/v2/settlements", MiB, 400),
        ("/api/directory/v1/oracles", MiB, 400),
        ("/portal/sign-in/", MESSAGE, 413),
        ("/portal/settlement/1/statements/", MESSAGE, 413),  # of who is not signed in
        ("/admin/login/", MESSAGE, 413),
        ("/token", 4096, 413),
        ("/health", MESSAGE, 413),
    ):
        refused = send(port, start(f"Content-Length: {most + 1}", path=path))
        assert refused.status == status, path
    assert is_served(port)


def test_a18_many_small_values_are_refused_before_they_are_made(port: int) -> None:
    for path, most in (
        ("/transfers", MESSAGE),
        ("/quotes", MESSAGE),
        ("/bulkTransfers", BULK),
        ("/participants", BULK),
    ):
        body = b'{"a":[' + b"[]," * (most // 3 - 5) + b"[]]}"
        refused = send(port, start(f"Content-Length: {len(body)}", path=path), body)
        assert (refused.status, code_of(refused)) == (400, "3104"), path
        assert text_of(refused) == f"Too large payload - at most {most // 32} values"
    body = b'{"a":[' + b"[]," * (MiB // 3 - 5) + b"[]]}"
    refused = send(port, start(f"Content-Length: {len(body)}", path="/api/ledger/v1/participants"), body)
    assert (refused.status, code_of(refused)) == (400, "3104")


def test_a18_chunks_are_not_read_beyond_the_limit(port: int) -> None:
    chunk = b"%x\r\n%s\r\n" % (MiB, b" " * MiB)
    for path in ("/transfers", "/bulkTransfers", "/api/ledger/v1/participants"):
        refused = send(port, start("Transfer-Encoding: chunked", path=path), *[chunk] * 64)
        assert refused.status in (0, 400)  # 0: the server has hung up on a sender that does not listen
        if refused.status:
            assert code_of(refused) == "3104"
    assert is_served(port)
    assert Transfer.objects.count() == 1


def test_a18_a_compressed_body_is_refused(port: int) -> None:
    for coding in ("gzip", "deflate", "br", "GZIP", "identity, gzip"):
        body = json.dumps(messages.transfer()).encode()
        refused = send(port, start(f"Content-Length: {len(body)}", f"Content-Encoding: {coding}") + body)
        assert (refused.status, code_of(refused)) == (400, "3101")
    assert not Transfer.objects.exists()


def test_a18_a_body_that_is_cut_off_is_not_taken_for_the_whole(port: int) -> None:
    body = json.dumps(messages.transfer()).encode()
    with socket.create_connection(("127.0.0.1", port)) as channel:
        channel.sendall(start(f"Content-Length: {len(body) + 100}") + body)
        channel.shutdown(socket.SHUT_WR)
        channel.settimeout(10)
        answer = channel.recv(65536)
    assert b" 202 " not in answer
    assert not Transfer.objects.exists()


def send_slowly(channel: socket.socket, first: bytes, part: bytes) -> None:
    """An octet at a time, until the server hangs up."""
    with suppress(OSError):
        channel.sendall(first)
        while part:
            time.sleep(0.25)
            channel.sendall(part)


# What a sender says that does not end: heads, and what comes after them a quarter of a second apart.
SLOW: dict[str, tuple[bytes, bytes]] = {
    "silent": (start("Content-Length: 1000") + b"{", b""),
    "a trickle": (start("Content-Length: 1000") + b"{", b" "),
    "silent, in chunks": (start("Transfer-Encoding: chunked") + b"1\r\n{\r\n", b""),
    "a trickle, in chunks": (start("Transfer-Encoding: chunked"), b"1\r\n \r\n"),
    "silent once it may go on": (start("Content-Length: 1000", "Expect: 100-continue"), b""),
    "a question for a token": (
        start("Content-Length: 30", "Content-Type: application/x-www-form-urlencoded", path="/token"),
        b"",
    ),
    "an administrator's": (start("Content-Length: 1000", path="/api/ledger/v1/participants"), b" "),
    "a form": (start("Content-Length: 1000", path="/portal/sign-in/"), b"a"),
}


@pytest.mark.thorough
def test_a18_a_body_that_does_not_come_holds_its_thread_no_longer_than_it_may(committed_world: World) -> None:
    """As many as the server has threads: after the deadline all of them are free, and each sender was told."""
    with served(BODY_DEADLINE_S="2", REQUEST_DEADLINE_S="1") as port:
        for name, (first, part) in SLOW.items():
            slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(THREADS)]
            idle = socket.create_connection(("127.0.0.1", port))  # has been answered once, and waits for nothing
            body = json.dumps(messages.transfer()).encode()
            idle.sendall(start(f"Content-Length: {len(body)}") + body)
            assert b" 202 " in idle.recv(65536)
            try:
                for channel in slow:
                    threading.Thread(target=send_slowly, args=(channel, first, part), daemon=True).start()
                time.sleep(0.5)
                end = time.monotonic() + 20
                while not is_served(port):  # busy, or waited with the others: it sends the same again
                    assert time.monotonic() < end, name
                    time.sleep(0.2)
                for channel in slow:
                    channel.settimeout(10)
                    assert told(channel) in (b"408", b"401", b"400", b"403", b""), name
            finally:
                for channel in [*slow, idle]:
                    channel.close()


def told(channel: socket.socket) -> bytes:
    """The status of the answer, once the server has hung up; nothing where it hung up without one."""
    received = b""
    with suppress(ConnectionResetError):
        while octets := channel.recv(65536):
            received += octets
    statuses = [line.split(b" ")[1] for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    return statuses[-1] if statuses else b""


@pytest.mark.thorough
def test_a18_who_is_answered_is_not_taken_for_one_whose_body_does_not_come(committed_world: World) -> None:
    """A connection from the same address that asks again and again outlives those that are shut."""
    with served(BODY_DEADLINE_S="6", REQUEST_DEADLINE_S="5") as port:
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        asking = socket.create_connection(("127.0.0.1", port))
        try:
            for channel, (first, part) in zip(slow, (SLOW["silent"], SLOW["a trickle"]), strict=True):
                threading.Thread(target=send_slowly, args=(channel, first, part), daemon=True).start()
            statuses: list[Any] = []
            end = time.monotonic() + 12
            while time.monotonic() < end:
                body = json.dumps(messages.transfer()).encode()
                asking.sendall(start(f"Content-Length: {len(body)}") + body)
                statuses.append(asking.recv(65536).split(b" ")[1])
                time.sleep(0.2)
            for channel in slow:
                channel.settimeout(5)
                assert told(channel) == b"408"
        finally:
            for channel in [*slow, asking]:
                channel.close()
    assert set(statuses) == {b"202"}
