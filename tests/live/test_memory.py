"""A web process's memory under an attack by size: afterwards it has what it had before."""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api import messages
from tests.attacks.web import Web, head, running, send
from tests.world import World

pytestmark = [pytest.mark.live, pytest.mark.thorough, pytest.mark.timeout(3600)]

MESSAGE, BULK = 65_536, 5_242_880
AT_ONCE = 16
BULKS_AT_ONCE = 4  # as many as one DFSP may have at work, so that none of them is spared
COUNT, COUNT_OF_BULKS = (int(number) for number in os.environ.get("BODIES", "200,60").split(","))


def post(web: Web, path: str, body: bytes, source: str = "green") -> int:
    told = "FSPIOP-Destination: blue", f"Content-Length: {len(body)}"
    start = head("POST", path, *told, source=source, resource=path.split("/")[1])
    return send(web.port, start + b"\r\n\r\n" + body, timeout=60).status


def padded(message: Any, size: int) -> bytes:
    body = json.dumps(message).encode()
    return body + b" " * (size - len(body))


def brackets(size: int) -> bytes:
    return b'{"a":[' + b"[]," * ((size - 12) // 3) + b"[]]}"


def values(size: int) -> bytes:
    """As many values as there may be."""
    return json.dumps({"a": [{"b": 0}] * (size // 32 // 2 - 10)}).encode()


def bulk_in_anothers_name() -> bytes:
    """Refused once all of it is read: what a bulk costs but for the database's part."""
    items = [messages.item("1") for _ in range(1000)]
    return padded(messages.bulk_transfer(individualTransfers=items, payerFsp="red"), BULK)


# What is sent, and what may come of it: refused, or busy.
ATTACKS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "messages of 5 MB": ("/transfers", lambda: padded(messages.transfer(), BULK)),
    "brackets in a message": ("/transfers", lambda: brackets(MESSAGE)),
    "values in a message": ("/quotes", lambda: values(MESSAGE)),
    "brackets in a bulk": ("/bulkTransfers", lambda: brackets(BULK)),
    "values in a bulk": ("/bulkQuotes", lambda: values(BULK)),
    "bulks of 5 MB": ("/bulkTransfers", bulk_in_anothers_name),
}


def ordinary(web: Web) -> None:
    """What a process does all day, and what it keeps for that once and for all."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda _: post(web, "/transfers", json.dumps(messages.transfer()).encode()), range(200)):
            pass
    print(f"\nafter 200 transfers: {web.memory / 2**20:.0f} MiB")
    for name in ATTACKS:
        attack(web, name, AT_ONCE)


def settled(web: Web, *, above: float) -> int:
    """The memory once it is no more than this, or after ten seconds."""
    end = time.monotonic() + 10
    while web.memory > above and time.monotonic() < end:
        time.sleep(0.2)
    return web.memory


class Bystander(threading.Thread):
    """Another DFSP, which pays one after another meanwhile: how long the slowest took, and what it was answered."""

    def __init__(self, web: Web) -> None:
        super().__init__()
        self._web, self._is_over = web, threading.Event()
        self.slowest_s, self.statuses = 0.0, Counter[int]()

    def run(self) -> None:
        while not self._is_over.wait(0.1):
            body, began = json.dumps(messages.transfer(payerFsp="red")).encode(), time.monotonic()
            self.statuses[post(self._web, "/transfers", body, source="red")] += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def __enter__(self) -> "Bystander":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()


def attack(web: Web, name: str, count: int | None = None) -> tuple[Counter[int], int]:
    """The answers' statuses, and the most memory that the process had meanwhile."""
    path, make = ATTACKS[name]
    body, most = make(), 0
    usual, at_once = (COUNT_OF_BULKS, BULKS_AT_ONCE) if "bulk" in name else (COUNT, AT_ONCE)
    count = usual if count is None else count
    with ThreadPoolExecutor(at_once) as pool:
        statuses: Counter[int] = Counter()
        for status in pool.map(lambda _: post(web, path, body), range(count)):
            statuses[status] += 1
            most = max(most, web.memory)
    return statuses, most


def test_what_large_bodies_take_of_a_web_process_it_gives_back_and_others_pay_meanwhile(
    committed_world: World,
) -> None:
    with running(threads=64) as web:
        ordinary(web)
        before = settled(web, above=0)
        for name in ATTACKS:
            with Bystander(web) as red:
                statuses, most = attack(web, name)
            after = settled(web, above=before * 1.1)
            print(
                f"{name}: {before / 2**20:.0f} MiB, at most {most / 2**20:.0f}, then {after / 2**20:.0f}; {statuses};"
                f" another's slowest payment {red.slowest_s:.2f} s, {red.statuses}"
            )
            assert set(statuses) <= {0, 400}  # 0: it hung up on who was still sending
            assert after <= before * 1.15, name
            assert most <= before + 600 * 2**20, name
            assert set(red.statuses) == {202}
            assert red.slowest_s < 10, name
        assert post(web, "/transfers", json.dumps(messages.transfer()).encode()) == 202
