"""Overload: as many as may wait are served, the others are told at once, and nobody is served in vain."""

import json
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from fspiop.errors import FspiopError
from hub.api.load_shedding import Turnstile
from ledger import engine
from ledger.models import Transfer
from tests.concurrency.together import together
from tests.world import World, prepare


def _stall(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """The first group says that it has begun, and goes on when it is told to."""
    entered, go_on, run_group = threading.Event(), threading.Event(), engine.run

    def run_slowly(batch: Any, **how: Any) -> Any:
        entered.set()
        go_on.wait(30)
        return run_group(batch, **how)

    monkeypatch.setattr(engine, "run", run_slowly)
    return entered, go_on


class Door:
    """A turnstile, and behind it requests that wait until they may go on."""

    def __init__(self) -> None:
        self.go_on, self.inside, self.turnstile = threading.Event(), 0, Turnstile(self._work, lambda source_id: 0.0)
        self.passes_through = False  # whether requests that come in leave at once

    def _work(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not self.passes_through:
            self.inside += 1
            self.go_on.wait(30)
        if environ["PATH_INFO"] == "/transfers/broken":
            raise ValueError("broken")
        start_response("202 Accepted", [])
        return [b""]

    def ask(self, method: str, path: str) -> tuple[str, dict[str, str], bytes]:
        said: list[Any] = []
        body = self.turnstile(
            {"REQUEST_METHOD": method, "PATH_INFO": path}, lambda status, headers: said.extend([status, dict(headers)])
        )
        return said[0], said[1], b"".join(body)

    def begin(self, count: int, method: str, path: str = "/transfers") -> list[threading.Thread]:
        expected = self.inside + count
        threads = [threading.Thread(target=self._ask_quietly, args=(method, path)) for _ in range(count)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 30
        while self.inside < expected:
            assert time.monotonic() < until, f"{self.inside} of {expected} requests came in"
            time.sleep(0.01)
        return threads

    def _ask_quietly(self, method: str, path: str) -> None:
        with suppress(ValueError):
            self.ask(method, path)


@override_settings(WEB_QUEUE=8)
def test_a_full_hub_refuses_new_work_first_then_callbacks_and_takes_both_again_when_it_is_done() -> None:
    door = Door()
    threads = door.begin(6, "POST")
    status, headers, body = door.ask("POST", "/transfers")
    assert (status, headers["Retry-After"]) == ("503 Service Unavailable", "1")
    assert json.loads(body)["errorInformation"]["errorCode"] == "2005"
    assert door.ask("GET", "/transfers/T")[0].startswith("503")
    threads += door.begin(2, "PUT", "/transfers/T")
    assert door.ask("PUT", "/transfers/T")[0].startswith("503")
    assert door.inside == 8
    door.go_on.set()
    for thread in threads:
        thread.join(30)
    assert door.ask("POST", "/transfers")[0] == "202 Accepted"


@override_settings(WEB_QUEUE=20)
def test_a_filling_hub_refuses_lookups_first_then_requests_for_terms_then_transfers() -> None:
    door = Door()
    work = {"lookup": ("GET", "/parties/MSISDN/1"), "terms": ("POST", "/quotes"), "transfer": ("POST", "/transfers")}

    def refused() -> set[str]:
        return {name for name, request in work.items() if door.ask(*request)[0].startswith("503")}

    threads: list[threading.Thread] = []
    seen: list[set[str]] = []
    for more in (10, 2, 3):
        threads += door.begin(more, "PUT", "/transfers/T")
        door.passes_through = True
        seen.append(refused())
        door.passes_through = False
    assert seen == [{"lookup"}, {"lookup", "terms"}, {"lookup", "terms", "transfer"}]
    door.go_on.set()
    for thread in threads:
        thread.join(30)


@override_settings(WEB_QUEUE=8)
def test_a_place_is_given_back_also_by_a_request_that_failed() -> None:
    door = Door()
    door.go_on.set()
    for _ in range(20):
        with pytest.raises(ValueError, match="broken"):
            door.ask("POST", "/transfers/broken")
    assert door.ask("POST", "/transfers")[0] == "202 Accepted"


@override_settings(WEB_QUEUE=8)
def test_operators_and_probes_pass_a_hub_that_is_full() -> None:
    door = Door()
    threads = door.begin(6, "POST") + door.begin(2, "PUT")
    threads += door.begin(2, "GET", "/health") + door.begin(1, "POST", "/portal/sign-in")
    assert door.inside == 11
    door.go_on.set()
    for thread in threads:
        thread.join(30)


def test_who_no_longer_waits_is_not_served_later(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on = _stall(monkeypatch)
    own = engine.Engine()
    first, second = (prepare(committed_world, "green", "blue", 1) for _ in range(2))
    thread = threading.Thread(target=own.submit, args=(first,))
    thread.start()
    assert entered.wait(10)
    with override_settings(REQUEST_DEADLINE_S=0.1), pytest.raises(FspiopError):
        own.submit(second)
    go_on.set()
    thread.join(30)
    assert list(Transfer.objects.values_list("transfer_id", flat=True)) == [first.transfer_id]


def test_an_engine_that_begins_does_not_wait_for_those_who_wait_for_it(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A web process that has just started under load: its requests have all of the pool's connections."""
    options = connection.settings_dict["OPTIONS"] | {"pool": {"min_size": 1, "max_size": 1, "timeout": 3}}

    def request() -> Any:
        connection.close()  # what is open is of before the pool
        assert Transfer.objects.count() == 0
        return engine.Engine().submit(prepare(committed_world, "green", "blue", 1))

    connection.close()
    with monkeypatch.context() as pooled:
        pooled.setitem(connection.settings_dict, "OPTIONS", options)
        pooled.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
        outcomes = together([request])
        connection.close_pool()
    assert [type(outcome).__name__ for outcome in outcomes] == ["Reserved"]
