"""A19: a flood by one DFSP, to the real web server: of transfers, of polling, of bad signatures, of requests that do
not end. It is told 429 and when to come again; the others notice nothing."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from hub.participants import credentials
from ledger.models import Account, Transfer
from tests.api import messages
from tests.attacks.web import Answer, head, send, served
from tests.proofs import key_of, public_pem
from tests.world import World

RATE = 5  # so low that a slow machine floods well beyond it
FLOOD = 150
THREADS = 8  # of the web server


@pytest.fixture(scope="module")
def web_server(django_db_setup: None) -> Iterator[int]:
    """With a low rate, for all tests of this module that need no more settings."""
    with served(DFSP_RATE=str(RATE), DFSP_PAUSE_MS="0") as found:
        yield found


@pytest.fixture
def port(committed_world: World, web_server: int) -> int:
    time.sleep(1.1)  # a second's worth may be sent again, whatever the test before this one has sent
    return web_server


def post(port: int, source: str = "green", *more: str) -> Answer:
    body = json.dumps(messages.transfer(payerFsp=source)).encode()
    start = head("POST", "/transfers", "FSPIOP-Destination: blue", *more, f"Content-Length: {len(body)}", source=source)
    return send(port, start + b"\r\n\r\n" + body)


def poll(port: int, source: str = "green") -> Answer:
    path = "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069"
    return send(port, head("GET", path, source=source) + b"\r\n\r\n")


def flood(attack: Any) -> tuple[Counter[int], float, Answer]:
    """As many as come in a row, by four connections at once: statuses, how long it took, one that was refused."""
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: attack(), range(FLOOD)))
    refused = next((answer for answer in answers if answer.status == 429), answers[0])
    return Counter(answer.status for answer in answers), time.monotonic() - began, refused


def assert_held(statuses: Counter[int], took: float, refused: Answer, *, taken: int) -> None:
    """No more were taken than the rate of that time and a second's worth at once; all others are told 2005."""
    assert set(statuses) == {taken, 429}
    assert RATE <= statuses[taken] <= RATE * (took + 1) + 1
    assert json.loads(refused.rest)["errorInformation"] == {
        "errorCode": "2005",
        "errorDescription": "Server busy - too many requests a second",
    }


def test_a19_a_flood_of_transfers_is_held_and_others_are_served(port: int) -> None:
    statuses, took, refused = flood(lambda: post(port))
    assert_held(statuses, took, refused, taken=202)
    assert Transfer.objects.count() == statuses[202]
    # While green may not, red may, and as much as ever.
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(flood, lambda: post(port))
        assert [post(port, "red").status for _ in range(RATE)] == [202] * RATE
        assert 429 in again.result()[0]


def test_a19_polling_is_held_alike(port: int) -> None:
    statuses, took, refused = flood(lambda: poll(port))
    assert_held(statuses, took, refused, taken=202)
    assert poll(port, "red").status == 202


def test_a19_who_is_held_is_told_when_to_come_again_and_then_served(port: int) -> None:
    statuses, _, _ = flood(lambda: poll(port))
    assert 429 in statuses
    time.sleep(1.1)  # what Retry-After says
    assert [poll(port).status for _ in range(RATE // 2)] == [202] * (RATE // 2)


def test_a19_bad_signatures_are_counted_before_they_are_looked_at(committed_world: World) -> None:
    for name in ("green", "red"):
        participant = committed_world.account(name).participant
        credentials.add_signing_key(participant, key=public_pem(key_of(name)), actor="test")
    with served(DFSP_RATE=str(RATE), DFSP_PAUSE_MS="0", SIGNATURES="required") as port:
        statuses, took, refused = flood(lambda: post(port))
        assert_held(statuses, took, refused, taken=400)
        # Whatever is wrong with the signature, red hears of it.
        assert post(port, "red").status == 400
    assert not Transfer.objects.exists()


def test_a19_who_proves_nothing_uses_up_nobodys_rate(committed_world: World) -> None:
    with served(DFSP_RATE=str(RATE), PARTICIPANT_AUTH="certificate") as port:
        statuses, _, _ = flood(lambda: post(port))
        assert set(statuses) == {401}


def test_a19_requests_that_do_not_end_leave_the_others_their_threads(committed_world: World) -> None:
    most = 3
    with served(DFSP_OPEN_REQUESTS=str(most), REQUEST_DEADLINE_S="8") as port, transaction.atomic():
        # Each of green's waits for this lock; without a limit they would take every thread of the server.
        Account.objects.select_for_update().get(pk=committed_world.account("green").pk)
        answers: list[Answer] = []
        threads = [threading.Thread(target=lambda: answers.append(post(port)), daemon=True) for _ in range(2 * THREADS)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 10
        while len(answers) < len(threads) - most and time.monotonic() < end:
            time.sleep(0.02)
        assert [answer.status for answer in answers] == [429] * (len(threads) - most)
        began = time.monotonic()
        assert poll(port, "red").status == 202
        assert time.monotonic() - began < 1
        connection.set_rollback(True)
    for thread in threads:
        thread.join(20)
