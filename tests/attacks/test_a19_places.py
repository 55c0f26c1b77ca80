"""A19: what one DFSP keeps open at once, to the real web server: whatever it is, the others' payments are served."""

import base64
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from hub.local import net
from hub.participants import credentials
from tests.api import messages
from tests.attacks.web import Answer, head, running, send
from tests.world import World

OPEN, QUEUE, THREADS = 5, 12, 24
"""One DFSP's open requests, less than half of the queue, as the hub's settings require."""


@contextmanager
def process(**settings: str) -> Iterator[int]:
    more = {"DFSP_OPEN_REQUESTS": str(OPEN), "WEB_QUEUE": str(QUEUE)} | settings
    with running(threads=THREADS, **more) as web:
        yield web.port


def post(port: int, source: str) -> Answer:
    body = json.dumps(messages.transfer(payerFsp=source)).encode()
    start = head("POST", "/transfers", "FSPIOP-Destination: blue", f"Content-Length: {len(body)}", source=source)
    return send(port, start + b"\r\n\r\n" + body)


@contextmanager
def kept_open(port: int, request: bytes, count: int) -> Iterator[None]:
    """Sends these requests, each on its own connection, and reads no answer."""
    with ExitStack() as held:
        for _ in range(count):
            held.enter_context(socket.create_connection((net.HOST, port))).sendall(request)
            time.sleep(0.1)
        yield


def test_a19_refusals_that_are_paused_count_as_open_requests_of_their_dfsp(committed_world: World) -> None:
    with process(DFSP_STATE_RATE="1", DFSP_PAUSE_MS="8000") as port:
        body_to_come = head("POST", "/transfers", "FSPIOP-Destination: blue", "Content-Length: 500") + b"\r\n\r\n"
        query = head("GET", "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069") + b"\r\n\r\n"
        with kept_open(port, body_to_come, OPEN - 1), kept_open(port, query, QUEUE):
            assert post(port, "red").status == 202


def test_a19_requests_for_tokens_count_as_open_requests_of_their_dfsp(committed_world: World) -> None:
    client = credentials.add_client(committed_world.account("green").participant, actor="test")
    basic = base64.b64encode(f"{client.credential.label}:{client.secret}".encode()).decode()
    form_to_come = "\r\n".join(
        [
            "POST /token HTTP/1.1",
            "Host: hub.example",
            f"Authorization: Basic {basic}",
            "Content-Type: application/x-www-form-urlencoded",
            "Content-Length: 29\r\n\r\n",
        ]
    ).encode()
    with process() as port, kept_open(port, form_to_come, QUEUE):
        assert post(port, "red").status == 202
