"""A18: bodies too large, endless or compressed, to the real web server: refused, and the next request is served."""

import json
from collections.abc import Iterator

import pytest

from ledger.models import Transfer
from tests.api import messages
from tests.attacks.web import Answer, head, send, served
from tests.world import World

LIMIT = 5_242_880
MiB = 2**20


@pytest.fixture
def port(committed_world: World) -> Iterator[int]:
    with served() as found:
        yield found


def start(*more: str) -> bytes:
    return head("POST", "/transfers", "FSPIOP-Destination: blue", *more) + b"\r\n\r\n"


def code_of(answer: Answer) -> str:
    found: str = json.loads(answer.rest)["errorInformation"]["errorCode"]
    return found


def is_served(port: int) -> bool:
    body = json.dumps(messages.transfer()).encode()
    return send(port, start(f"Content-Length: {len(body)}") + body).status == 202


def test_a18_one_octet_too_many_is_refused_by_its_length_alone(port: int) -> None:
    refused = send(port, start(f"Content-Length: {LIMIT + 1}"))
    assert (refused.status, code_of(refused)) == (400, "3104")
    for length in ("9" * 18, "9" * 300):
        assert send(port, start(f"Content-Length: {length}")).status == 400
    assert is_served(port)


def test_a18_the_largest_body_is_read(port: int) -> None:
    body = json.dumps(messages.transfer()).encode()
    body += b" " * (LIMIT - len(body))
    assert send(port, start(f"Content-Length: {LIMIT}"), body).status == 202


def test_a18_chunks_are_not_read_beyond_the_limit(port: int) -> None:
    chunk = b"%x\r\n%s\r\n" % (MiB, b" " * MiB)
    refused = send(port, start("Transfer-Encoding: chunked"), *[chunk] * 64)
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


def test_a18_a_body_that_comes_slowly_holds_up_nobody_else(port: int) -> None:
    import socket

    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]  # of 8 threads
    try:
        for channel in slow:
            channel.sendall(start("Content-Length: 1000") + b"{")
        assert is_served(port)
    finally:
        for channel in slow:
            channel.close()
    assert is_served(port)
    assert Transfer.objects.count() == 2
