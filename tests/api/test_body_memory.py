"""A request's body ends with its request: nothing that the hub makes of it holds it until the collector comes by."""

import gc
import json
import logging
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import override_settings

from fspiop.time import http_date
from hub.api.load_shedding import Turnstile
from hub.api.wsgi_handler import LeanHandler
from hub.group_commit import LostRace
from ledger import engine, store
from tests.api import messages
from tests.world import World

ID = str(uuid.UUID(int=7, version=4))


class Input:
    """What a WSGI server hands over: gives the body once, and keeps nothing of it."""

    def __init__(self, raw: bytes) -> None:
        self._left = [raw]

    def read(self, size: int = -1) -> bytes:
        return self._left.pop() if self._left else b""

    readline = readlines = read


@pytest.fixture(scope="module")
def hub() -> Turnstile:
    return Turnstile(LeanHandler(), lambda source_id: 0.0)


@pytest.fixture(autouse=True)
def _keep_no_records() -> Iterator[None]:
    """pytest keeps what is logged, an error's frames with it; a hub does not."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@contextmanager
def without_collector() -> Iterator[None]:
    was_at_work = gc.isenabled()
    if was_at_work:
        gc.collect()
        gc.disable()
    try:
        yield
    finally:
        if was_at_work:
            gc.enable()


def send(hub: Turnstile, method: str, path: str, raw: bytes, **more: str) -> int:
    """One request as granian makes it; the status of the answer, which is closed."""
    kind = f"application/vnd.interoperability.{path.split('/')[1]}+json"
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "hub",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": Input(raw),
        "CONTENT_LENGTH": str(len(raw)),
        "CONTENT_TYPE": f"{kind};version=1.1",
        "HTTP_DATE": http_date(datetime.now(UTC)),
        "HTTP_FSPIOP_SOURCE": "green",
        "HTTP_FSPIOP_DESTINATION": "blue",
        "HTTP_HOST": "hub.example",
    }
    if method == "POST":
        environ["HTTP_ACCEPT"] = f"{kind};version=1"
    said: list[str] = []
    answer: Any = hub(environ | more, lambda status, headers: said.append(status))
    b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    return int(said[0].split()[0])


def holders_after(hub: Turnstile, method: str, path: str, raw: bytes, **more: str) -> tuple[int, int]:
    """The answer's status, and how many still name the body when the request has ended."""
    with without_collector():
        before = sys.getrefcount(raw)
        status = send(hub, method, path, raw, **more)
        end = time.monotonic() + 1  # the ledger's thread may not have gone to sleep yet
        while sys.getrefcount(raw) > before and time.monotonic() < end:
            time.sleep(0.01)
        return status, sys.getrefcount(raw) - before


FORM = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
REQUESTS: dict[str, tuple[int, str, str, Callable[[], Any], dict[str, str]]] = {
    "a transfer": (202, "POST", "/transfers", messages.transfer, {}),
    "a transfer that is wrong": (400, "POST", "/transfers", dict, {}),
    "a transfer that is no JSON": (400, "POST", "/transfers", lambda: b"{", {}),
    "a transfer that is no text": (400, "POST", "/transfers", lambda: b"\xff" * 9, {}),
    "a transfer by nobody": (400, "POST", "/transfers", messages.transfer, {"HTTP_FSPIOP_SOURCE": "nobody"}),
    "a transfer whose signature is wrong": (
        400,
        "POST",
        "/transfers",
        messages.transfer,
        {"HTTP_FSPIOP_SIGNATURE": "x"},
    ),
    "a fulfilment of nothing": (400, "PUT", f"/transfers/{ID}", messages.fulfilment, {}),
    "a method that nobody has": (405, "DELETE", "/transfers", dict, {}),
    "a path that nobody has": (404, "POST", "/transfers/a/b/c", dict, {}),
    "a quote": (202, "POST", "/quotes", messages.quote, {}),
    "terms for nobody's quote": (400, "PUT", f"/quotes/{ID}", messages.terms, {}),
    "a party that nobody asked for": (400, "PUT", "/parties/MSISDN/1", lambda: {"party": messages.party("a", "1")}, {}),
    "a bulk": (202, "POST", "/bulkTransfers", lambda: messages.bulk_transfer(*["1"] * 3), {}),
    "a bulk quote": (202, "POST", "/bulkQuotes", messages.bulk_quote, {}),
    "an error": (400, "PUT", f"/transfers/{ID}/error", messages.error, {}),
    "a question for a token": (401, "POST", "/token", lambda: b"grant_type=client_credentials", FORM),
    "a call of the administration's": (400, "POST", "/api/ledger/v1/participants", dict, {}),
    "a page without its form's secret": (403, "POST", "/portal/sign-in/", lambda: b"login=a&password=b", FORM),
}


def test_a_body_ends_with_its_request(committed_world: World, hub: Turnstile) -> None:
    found = {}
    with override_settings(SIGNATURES="checked"), without_collector():
        for name, (_, method, path, body, more) in REQUESTS.items():
            for _ in range(2):  # the first may still load something
                content = body()
                raw = content if isinstance(content, bytes) else json.dumps(content).encode()
                found[name] = holders_after(hub, method, path, raw, **more)
    assert found == {name: (request[0], 0) for name, request in REQUESTS.items()}


def failing(error: Callable[[], BaseException]) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error()

    return fail


@pytest.mark.parametrize(("error", "status"), [(lambda: LostRace("lost"), 503), (lambda: ValueError("no"), 500)])
@pytest.mark.parametrize(
    ("path", "body"), [("/transfers", messages.transfer), ("/bulkTransfers", messages.bulk_transfer)]
)
def test_a_body_ends_with_its_request_where_the_ledger_fails(
    committed_world: World,
    hub: Turnstile,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    body: Callable[[], Any],
    error: Callable[[], BaseException],
    status: int,
) -> None:
    monkeypatch.setattr(store, "save", failing(error))
    for _ in range(2):
        found = holders_after(hub, "POST", path, json.dumps(body()).encode())
    assert found == (status, 0)


def test_a_body_ends_with_its_request_where_a_race_was_lost_and_then_won(
    committed_world: World, hub: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, races = store.save, [0]

    def lose_the_first(*arguments: Any) -> None:
        races[0] += 1
        if races[0] % 2:
            raise LostRace("lost")
        save(*arguments)

    monkeypatch.setattr(store, "save", lose_the_first)
    for _ in range(2):
        found = holders_after(hub, "POST", "/transfers", json.dumps(messages.transfer()).encode())
    assert found == (202, 0)
    assert races == [4]


def test_a_body_that_nobody_waits_for_any_more_ends_with_its_group(
    committed_world: World, hub: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, run = threading.Event(), engine.run

    def run_slowly(batch: Any, **how: Any) -> Any:
        go_on.wait(10)
        return run(batch, **how)

    monkeypatch.setattr(engine, "run", run_slowly)
    raw = json.dumps(messages.transfer()).encode()
    with without_collector():
        before = sys.getrefcount(raw)
        with override_settings(REQUEST_DEADLINE_S=0.1):
            assert send(hub, "POST", "/transfers", raw) == 503
        go_on.set()
        end = time.monotonic() + 10
        while sys.getrefcount(raw) > before and time.monotonic() < end:
            time.sleep(0.01)
        assert sys.getrefcount(raw) == before
