"""What requests to all but the DFSP API get of a web process."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import override_settings

from hub import health, page_concurrency
from hub.page_concurrency import PageLimits

Sent = tuple[str, dict[str, str], Any]  # status, headers, body


USERS = {"green": 1, "green-again": 1, "blue": 2, "red": 3}
"""The users of the real sessions."""


class Pages:
    """Pages behind the limits: they wait until they may go on."""

    def __init__(self, answer: Callable[[], HttpResponseBase] = lambda: HttpResponse("page")) -> None:
        self.go_on, self.inside, self.answer = threading.Event(), 0, answer
        self.given: list[HttpResponseBase] = []
        self.limits = PageLimits(self._work)

    def _work(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> HttpResponseBase:
        self.inside += 1
        self.go_on.wait(30)
        session = environ["HTTP_COOKIE"].partition("=")[2]
        if session in USERS:
            environ[page_concurrency.USER] = USERS[session]
        if environ["PATH_INFO"] == "/portal/broken/":
            raise ValueError("broken")
        answer = self.answer()
        self.given.append(answer)
        start_response("200 OK", list(answer.items()))
        return answer

    def ask(
        self, path: str = "/portal/", session: str = "", address: str = "10.0.0.1"
    ) -> tuple[str, dict[str, str], Any]:
        said: list[Any] = []
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "HTTP_COOKIE": f"kitovu_session={session}",
            "REMOTE_ADDR": address,
            "wsgi.input": io.BytesIO(),
        }
        body = self.limits(environ, lambda status, headers: said.extend([status, dict(headers)]))
        return said[0], said[1], body

    def know(self, *sessions: str) -> None:
        """Each of these sessions has had a page."""
        self.go_on.set()
        for session in sessions:
            assert self.ask(session=session)[0] == "200 OK"
        self.go_on.clear()
        self.inside = 0

    def begin(self, count: int, path: str = "/portal/", session: str = "", address: str = "10.0.0.1") -> None:
        expected = self.inside + count
        for _ in range(count):
            threading.Thread(target=self._ask_quietly, args=(path, session, address), daemon=True).start()
        end = time.monotonic() + 5
        while self.inside < expected and time.monotonic() < end:
            time.sleep(0.01)
        assert self.inside == expected

    def _ask_quietly(self, *asked: str) -> None:
        with suppress(ValueError):
            self.ask(*asked)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(page_concurrency, "_WAIT_S", 0.05)
    monkeypatch.setattr(page_concurrency, "_users", page_concurrency._Users())
    request_finished.disconnect(close_old_connections)  # there are none: these pages have no database
    with override_settings(WEB_PAGES=4):
        yield
    request_finished.connect(close_old_connections)


def test_few_pages_work_at_once_and_one_user_has_half_of_them() -> None:
    pages = Pages()
    pages.know(*USERS)
    pages.begin(1, session="green")
    pages.begin(1, session="green-again", address="10.0.0.2")
    assert pages.ask(session="green")[0].startswith("503")
    pages.begin(2, session="blue")
    assert pages.ask(session="red")[0].startswith("503")
    assert pages.inside == 4
    pages.go_on.set()
    time.sleep(0.1)
    assert pages.ask(session="red")[0] == "200 OK"


@pytest.mark.parametrize("addresses", [["10.0.0.1"] * 3, ["2001:db8::1", "2001:db8::2", "2001:db8::3"]])
def test_invented_sessions_are_one_caller(addresses: list[str]) -> None:
    pages = Pages()
    pages.know("green")
    for number in range(2):
        pages.begin(1, session=f"invented{number}", address=addresses[number])
    assert pages.ask(session="invented2", address=addresses[2])[0].startswith("503")
    pages.begin(1, session="green", address=addresses[0])  # a signed-in user behind the same address
    pages.begin(1, address="10.0.0.9")
    pages.go_on.set()


def test_a_page_that_is_refused_says_so_in_the_form_of_its_door() -> None:
    pages = Pages()
    pages.begin(2, address="10.0.0.1")
    pages.begin(2, address="10.0.0.2")
    status, headers, body = pages.ask("/portal/")
    assert (status, headers["Retry-After"]) == ("503 Service Unavailable", "1")
    assert "The hub is busy" in b"".join(body).decode()
    _, _, body = pages.ask("/api/ledger/v1/participants")
    assert json.loads(b"".join(body))["errorInformation"]["errorCode"] == "2005"
    pages.go_on.set()


def test_payments_probes_and_files_pass_where_pages_no_longer_do() -> None:
    pages = Pages()
    pages.know("green", "blue")
    pages.begin(2, session="green")
    pages.begin(2, session="blue")
    for path in ("/transfers", "/health", "/health/ready", "/api/ledger/v1/health", "/static/portal/portal.js"):
        pages.begin(1, path)
    pages.go_on.set()


def test_a_place_is_given_back_also_by_a_page_that_failed() -> None:
    pages = Pages()
    pages.go_on.set()
    for _ in range(20):
        with pytest.raises(ValueError, match="broken"):
            pages.ask("/portal/broken/")
    assert pages.ask()[0] == "200 OK"


def test_pages_have_half_of_the_connections_where_dfsps_need_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(WEB_PAGES=8, DATABASE_POOL_OPTIONS={"max_size": 10}):
        assert page_concurrency.sizes().most == 5
        with override_settings(SERVES=["portal"]):
            assert page_concurrency.sizes().most == 8
    with override_settings(WEB_PAGES=8, DATABASE_POOL_OPTIONS={"max_size": 1}):
        assert page_concurrency.sizes().most == 1
    with override_settings(WEB_PAGES=8, DATABASE_POOL_OPTIONS={"max_size": 0}):
        assert page_concurrency.sizes().most == 8


@pytest.mark.parametrize("name", ["é", "名", "\U0006334f"])
def test_the_path_reaches_the_page_as_it_came(name: str) -> None:
    """WSGI gives the path as latin-1 text of its bytes. Decoded twice, it is another path, or none at all (500)."""
    path = f"/api/ledger/v1/participants/{name}".encode().decode("latin-1")
    seen: list[str] = []

    def page(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return [b""]

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "REMOTE_ADDR": "10.0.0.1", "wsgi.input": io.BytesIO()}
    PageLimits(page)(environ, lambda *_: None)
    assert seen == [path]


def test_an_answer_in_memory_leaves_as_one_part_and_is_closed() -> None:
    pages = Pages(lambda: HttpResponse([b"a", b"b"]))
    pages.go_on.set()
    assert pages.ask()[2] == [b"ab"]
    assert pages.given[0].closed


def test_a_small_file_leaves_as_one_part() -> None:
    pages = Pages(lambda: FileResponse(io.BytesIO(b"x" * 10_000)))
    pages.go_on.set()
    assert pages.ask("/static/x")[2] == [b"x" * 10_000]


def test_large_files_hold_places_until_they_are_closed_and_one_address_has_half_of_them() -> None:
    pages = Pages(lambda: FileResponse(io.BytesIO(b"x" * 2**20)))
    pages.go_on.set()
    held = [pages.ask("/static/x", address="10.0.0.1") for _ in range(4)]
    assert [status for status, _, _ in held] == ["200 OK"] * 4
    assert pages.ask("/static/x", address="10.0.0.1")[0].startswith("503")
    assert pages.given[-1].closed
    held += [pages.ask("/static/x", address="10.0.0.2") for _ in range(4)]
    assert pages.ask("/static/x", address="10.0.0.3")[0].startswith("503")
    assert b"".join(held[0][2]) == b"x" * 2**20
    for _, _, body in held:
        body.close()
    assert all(answer.closed for answer in pages.given)
    status, _, body = pages.ask("/static/x", address="10.0.0.3")
    assert status == "200 OK"
    body.close()


def test_a_file_that_the_client_has_already_needs_no_place() -> None:
    pages = Pages(lambda: FileResponse((), status=304))
    pages.go_on.set()
    for _ in range(20):
        assert pages.ask("/static/x")[2] == [b""]


def test_a_stream_of_unknown_length_is_one_of_those_that_hold_a_place() -> None:
    pages = Pages(lambda: StreamingHttpResponse(iter([b"a", b"b"])))
    pages.go_on.set()
    held = [pages.ask("/admin/x")[2] for _ in range(4)]
    assert pages.ask("/admin/x")[0].startswith("503")
    for body in held:
        body.close()


@pytest.mark.django_db
def test_however_many_probe_at_once_the_database_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def slowly(self: Any) -> bool:
        nonlocal asked
        asked += 1
        time.sleep(0.1)
        return True

    monkeypatch.setattr(health._Database, "_ask", slowly)
    database = health._Database()
    threads = [threading.Thread(target=database.ask) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == 1


def read_batches(readers: int, batches: int) -> int:
    """How many batches are read at once at most."""
    guard, inside, most = threading.Lock(), [0], [0]

    def read() -> None:
        for _ in range(batches):
            with page_concurrency.reading("green"):
                with guard:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                since = time.thread_time()
                while time.thread_time() - since < 0.02:
                    pass
                with guard:
                    inside[0] -= 1

    threads = [threading.Thread(target=read) for _ in range(readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return most[0]


@pytest.mark.parametrize("serves", [{"fspiop", "portal"}, {"portal"}])
def test_files_are_read_a_batch_at_a_time_with_pauses_where_dfsps_need_the_processor(
    serves: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pauses of several files do not overlap, so the process has time for DFSPs however many files are read."""
    pauses: list[float] = []
    at_once, most = 0, 0

    def pause(seconds: float) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.005)
        at_once -= 1
        pauses.append(seconds)

    monkeypatch.setattr("hub.pauses_in_long_work._sleep", pause)
    with override_settings(SERVES=serves):
        assert read_batches(4, 3) == 1
    assert most == (1 if "fspiop" in serves else 0)
    assert [0 < pause <= 0.5 for pause in pauses] == [True] * (12 if "fspiop" in serves else 0)


def reads_soon(caller: object) -> bool:
    """Whether this caller's file gets its next batch within two seconds."""
    read = threading.Event()

    def run() -> None:
        with page_concurrency.reading(caller):
            read.set()

    threading.Thread(target=run, daemon=True).start()
    return read.wait(2)


def test_a_file_that_waits_for_a_place_keeps_no_other_file_from_being_read() -> None:
    """Green's own pages take all that green may have."""
    pages = Pages()
    pages.know("green")
    pages.begin(2, session="green")
    try:
        assert not reads_soon(("user", USERS["green"]))  # it waits on
        assert reads_soon(("user", USERS["blue"]))
    finally:
        pages.go_on.set()
    assert reads_soon(("user", USERS["green"]))


def test_a_file_keeps_its_position_among_those_that_wait_for_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = Pages()
    pages.begin(2, address="10.0.0.1")
    pages.begin(2, address="10.0.0.2")
    order: list[str] = []

    def read() -> None:
        with page_concurrency.reading("green"):
            order.append("file")

    def page() -> None:
        with page_concurrency._working.taken("blue", page_concurrency.sizes(), wait_s=5):
            order.append("page")

    threads = [threading.Thread(target=read), threading.Thread(target=page)]
    threads[0].start()
    time.sleep(0.5)  # longer than a new request waits
    threads[1].start()
    time.sleep(0.05)
    with page_concurrency._working._guard:
        waiting = [each.caller for each in page_concurrency._working._waiting]
    pages.go_on.set()
    for thread in threads:
        thread.join(10)
    assert (waiting, sorted(order)) == (["green", "blue"], ["file", "page"])
