"""Limits the number of simultaneous page requests in a web process. Page requests are all requests except those of
DFSPs: requests to the portal and the administration, and requests for documents and files.

Only a few page requests run at the same time (`WEB_PAGES`), and they use at most half of the pooled database
connections. So threads and connections remain for DFSPs' requests, even if page requests are slow. One signed-in user
can use only half of the places for page requests. Requests without a signed-in user are counted by address, and each
address has the same limit as a user. If no place is free, a page request waits for some seconds and then gets 503.

Anybody can invent a session cookie. So a process first counts requests with an unknown cookie under their address. If
the cookie of such a request proves to be a user's session, later requests with the same cookie count under this user.

A response in several parts occupies a thread of the web server until the client has read almost all parts. So the hub
sends a response from memory or from a small file as a single part. A process sends only a few responses in several
parts at the same time.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.html import format_html
from django.utils.translation import gettext as _
from prometheus_client import Counter

from fspiop.errors import ErrorCode, FspiopError
from hub import pauses_in_long_work, sql_execution
from hub.api import errors
from hub.api.authentication import address_of
from hub.api.dfsp_routing_middleware import DFSP_DOORS
from hub.api.wsgi_handler import LeanRequest
from hub.concurrency_shares import NoPlace, Places, Sizes
from hub.downloads import Download

REFUSED = Counter("kitovu_pages_refused_total", "Page requests answered with 503 because too many were in progress")

_WAIT_S = 5.0
_IPV6_PREFIX = 64
_PATIENCE_S = 60.0  # seconds for which a response in progress waits for its next place
_SMALL = 256 * 1024  # the largest file, in bytes, that the hub sends as one part
_MOST_SESSIONS = 4096  # the largest number of sessions that a process remembers
_KEPT_FOR_S = 600.0
USER = "kitovu.user"
"""Under this key, the middleware stores the signed-in user's id in the WSGI environment."""
_LARGE_FILES = Sizes(most=8, shared=8, share=3, waiting=0, waiting_share=0)
_WITHOUT_A_PLACE = frozenset({"health", "static"})  # health checks are short, and files need no database

Start = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], Start], Iterable[bytes]]

_ONE_BATCH = Sizes(most=1, shared=1, share=0, waiting=64, waiting_share=64)

_working = Places()
_batches = Places()
_large_files = Places()


def sizes() -> Sizes:
    """Returns the number of places for page requests.

    If this process also serves DFSPs, the number is at most half of the connection pool.
    """
    most: int = settings.WEB_PAGES
    pool: int = settings.DATABASE_POOL_OPTIONS["max_size"]
    if pool and "fspiop" in settings.SERVES:
        most = min(most, max(1, pool // 2))
    return Sizes(most, shared=most, share=max(0, most // 2 - 1), waiting=3 * most, waiting_share=most)


@contextmanager
def reading(caller: Hashable) -> Iterator[None]:
    """Occupies a place while a batch of a long response is read. After that, returns the database connection to the
    pool.

    A process reads one batch at a time. If the process also serves DFSPs, the process pauses after each batch, and
    reads no batch during the pause. Without the pauses, files of several megabytes would keep a CPU core busy for
    seconds.

    While a file waits for a place, it gives up its turn to read a batch. So the process can read the files of other
    users.
    """
    turn, place = _turn_and_place(caller)
    with turn:
        with place:
            began = time.monotonic()
            try:
                yield
            finally:
                sql_execution.give_back()
                took_s = time.monotonic() - began
        if "fspiop" in settings.SERVES:
            pauses_in_long_work.pause_after(took_s)


def _turn_and_place(caller: Hashable) -> tuple[ExitStack, ExitStack]:
    """Waits until the turn to read a batch and a place for a page request are both free, and occupies both. While the
    caller waits for the turn or for the place, it occupies neither of them."""
    until = time.monotonic() + _PATIENCE_S
    wanted = [(_batches, _ONE_BATCH), (_working, sizes())]
    while True:
        (awaited, its_sizes), (other, others_sizes) = wanted
        first, second = _waited_for(awaited, caller, its_sizes, until), ExitStack()
        try:
            second.enter_context(other.taken(caller, replace(others_sizes, waiting=0)))
        except NoPlace:
            first.close()
            wanted.reverse()
        else:
            return (first, second) if awaited is _batches else (second, first)


def _waited_for(places: Places, caller: Hashable, limits: Sizes, until: float) -> ExitStack:
    """Waits for a place for a response in progress. This wait is longer than a new request's wait, so that the response
    is not interrupted. The caller keeps its position in the queue."""
    held = ExitStack()
    while True:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise NoPlace
        try:
            held.enter_context(places.taken(caller, limits, wait_s=left_s))
        except NoPlace:
            time.sleep(0.1)  # the queue is full
        else:
            return held


class PageLimits:
    """A WSGI middleware."""

    def __init__(self, application: Wsgi) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        parts = environ["PATH_INFO"].split("/")
        first, last = parts[1] if len(parts) > 1 else "", parts[-1]
        if first in DFSP_DOORS:
            return self._application(environ, start_response)
        if first in _WITHOUT_A_PLACE or (first == "api" and last == "health"):
            return self._answer(environ, start_response)
        request = _request_of(environ)
        session = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        try:
            with _working.taken(_users.of(session) or _network_of(request), sizes(), wait_s=_WAIT_S):
                return self._answer(environ, start_response)
        except NoPlace:
            return _refuse(environ, start_response)
        finally:
            _users.note(session, environ.get(USER))

    def _answer(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        head: list[Any] = []
        answer = self._application(environ, lambda *said: head.extend(said))
        if isinstance(answer, Download):
            sql_execution.give_back()
        if not isinstance(answer, HttpResponseBase) or isinstance(answer, Download):
            start_response(*head)
            return answer
        if not answer.streaming or _is_small(answer):
            start_response(*head)
            return _whole(answer)
        try:
            limited = _LargeFile(answer, _network_of(_request_of(environ)))
        except NoPlace:
            answer.close()
            return _refuse(environ, start_response)
        start_response(*head)
        return limited


class _LargeFile:
    """A response with a large file. The hub sends the response in many parts, and the response occupies a place until
    all parts are sent."""

    def __init__(self, answer: HttpResponseBase, caller: Hashable) -> None:
        self._held = ExitStack()
        self._held.enter_context(_large_files.taken(caller, _LARGE_FILES))
        self._held.callback(answer.close)
        self._parts: Iterator[bytes] = iter(answer)  # type: ignore[call-overload]

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        """Frees the place. The web server calls this method after the last part, or when the client has
        disconnected."""
        self._held.close()


def _is_small(answer: HttpResponseBase) -> bool:
    if isinstance(answer, FileResponse) and getattr(answer, "file_to_stream", None) is None:
        return True  # the response has no body: the request is a HEAD, or the client already has the file
    length = answer.headers.get("Content-Length", "")
    return length.isdecimal() and int(length) <= _SMALL


def _whole(answer: HttpResponseBase) -> list[bytes]:
    try:
        return [b"".join(answer)]  # type: ignore[arg-type]
    finally:
        answer.close()


class _Users:
    """The sessions of signed-in users, and the user of each session. The hub has verified each session in an earlier
    request. An invented cookie is never in this list."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._seen: OrderedDict[bytes, tuple[object, float]] = OrderedDict()

    def of(self, session: str | None) -> Hashable | None:
        """Returns a key for the user of this session, or None for an unknown session."""
        if not session:
            return None
        with self._guard:
            user, seen = self._seen.get(_hash(session), (None, 0.0))
        return ("user", user) if user is not None and time.monotonic() - seen < _KEPT_FOR_S else None

    def note(self, session: str | None, user: object) -> None:
        """Stores the user of this session, after a request has proved that the session belongs to this user."""
        if not session or user is None:
            return
        with self._guard:
            self._seen[_hash(session)] = user, time.monotonic()
            self._seen.move_to_end(_hash(session))
            while len(self._seen) > _MOST_SESSIONS:
                self._seen.popitem(last=False)


_users = _Users()


def _hash(session: str) -> bytes:
    return hashlib.sha256(session.encode(errors="replace")).digest()


def _network_of(request: HttpRequest) -> Hashable:
    """Returns the address.

    For an IPv6 address, returns the network of 64 bits, because one internet customer usually has all addresses in such
    a network.
    """
    address = address_of(request)
    return IPv6Network((address, _IPV6_PREFIX), strict=False) if isinstance(address, IPv6Address) else address


def _request_of(environ: dict[str, Any]) -> LeanRequest:
    # Uses a copy, because Django writes the decoded path into `environ`. The next request object would decode the path
    # again.
    return LeanRequest(environ.copy())


def _refuse(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    REFUSED.inc()
    response = _busy(_request_of(environ))
    start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
    return [response.content]


def _busy(request: HttpRequest) -> HttpResponse:
    if not request.path_info.startswith("/portal/"):
        return errors.response_for(
            FspiopError(ErrorCode.SERVER_BUSY, "too many requests wait; try again", http_status=503)
        )
    with translation.override(translation.get_language_from_request(request)):
        title, text = _("The hub is busy"), _("Nothing was changed. Try again in a moment.")
        page = format_html("<!doctype html><title>Kitovu</title><h1>{}</h1><p>{}</p>", title, text)
    return HttpResponse(page, status=503, headers={"Retry-After": str(errors.RETRY_AFTER_S)})
