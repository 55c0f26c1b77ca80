"""Which connections are shut while somebody waits for a body: those of its sender that have had no answer."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.test import override_settings

from hub.api.slow_bodies import Waits

pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux says when data came and went")

GREEN, RED = "127.0.0.1", "127.0.0.2"


class Pair:
    """A connection, both ends of it in this process."""

    def __init__(self, listener: socket.socket, address: str) -> None:
        self.client = socket.create_connection(listener.getsockname(), source_address=(address, 0))
        self.server, _ = listener.accept()

    def ask(self) -> None:
        self.client.sendall(b"POST")

    def answer(self) -> None:
        self.server.recv(100)
        self.server.sendall(b"202")

    @property
    def is_shut(self) -> bool:
        self.server.setblocking(False)
        try:
            while self.server.recv(65_536):
                pass
        except BlockingIOError:
            return False
        finally:
            self.server.setblocking(True)
        return True

    def close(self) -> None:
        self.client.close()
        self.server.close()


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        yield listener


class Watch:
    """`Waits` as a process has it, looked at by hand."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener, self.port = listener, str(listener.getsockname()[1])
        self.waits = Waits(is_watching=False)
        self.pairs: dict[str, Pair] = {}

    def connect(self, name: str, address: str = GREEN) -> Pair:
        self.pairs[name] = Pair(self.listener, address)
        return self.pairs[name]

    def shut(self) -> set[str]:
        return {name for name, pair in self.pairs.items() if pair.is_shut}


@pytest.fixture
def watch() -> Iterator[Watch]:
    with listening() as listener, override_settings(BODY_DEADLINE_S=1):
        found = Watch(listener)
        yield found
        for pair in found.pairs.values():
            pair.close()


def test_who_sends_a_head_and_then_nothing_or_little_is_shut_and_who_is_answered_is_not(watch: Watch) -> None:
    idle, asking = watch.connect("idle"), watch.connect("asks again and again")
    idle.ask()
    idle.answer()
    silent, trickle = watch.connect("silent"), watch.connect("trickle")
    elsewhere = watch.connect("of another address", RED)
    for pair in (silent, trickle, elsewhere):
        pair.ask()
    for wait in ("silent", "trickle"):
        watch.waits.begin(wait, time.monotonic(), GREEN, watch.port)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        trickle.client.sendall(b" ")
        asking.ask()
        time.sleep(0.02)
        asking.answer()
        watch.waits.look()
        time.sleep(0.05)
    assert watch.shut() == {"silent", "trickle"}


def test_before_the_deadline_nobody_is_shut(watch: Watch) -> None:
    with override_settings(BODY_DEADLINE_S=60):
        watch.connect("silent").ask()
        watch.waits.begin("silent", time.monotonic() - 30, GREEN, watch.port)
        time.sleep(0.1)
        watch.waits.look()
    assert watch.shut() == set()


def test_who_waits_no_more_has_nobody_shut(watch: Watch) -> None:
    watch.connect("silent").ask()
    watch.waits.begin("silent", time.monotonic() - 30, GREEN, watch.port)
    watch.waits.end("silent")
    time.sleep(1.2)
    watch.waits.look()
    assert watch.shut() == set()


def test_one_that_was_sent_something_after_its_head_is_found_by_standing_still(watch: Watch) -> None:
    """Such as "100 Continue"; as many are shut as are waited for."""
    pairs = [watch.connect(name) for name in ("one", "another")]
    for pair in pairs:
        pair.ask()
        time.sleep(0.05)
        pair.server.sendall(b"100 Continue")
    watch.waits.begin("one", time.monotonic() - 4, GREEN, watch.port)
    time.sleep(0.8)  # not yet
    watch.waits.look()
    assert watch.shut() == set()
    time.sleep(0.5)
    watch.waits.look()
    assert len(watch.shut()) == 1


def test_connections_to_other_ports_are_none_of_its_business(watch: Watch) -> None:
    with listening() as other:
        pair = watch.pairs["other"] = Pair(other, GREEN)
        pair.ask()
        watch.waits.begin("silent", time.monotonic(), GREEN, watch.port)
        time.sleep(1.3)
        watch.waits.look()
        assert watch.shut() == set()


def test_an_address_is_the_same_in_both_of_its_spellings(watch: Watch) -> None:
    watch.connect("silent").ask()
    watch.waits.begin("silent", time.monotonic(), f"::ffff:{GREEN}", watch.port)
    time.sleep(1.3)
    watch.waits.look()
    assert watch.shut() == {"silent"}
