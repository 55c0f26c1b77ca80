"""Limits the number of DFSP requests that one web process handles at the same time.

The process refuses all further requests immediately, and stores nothing about them. Payments in progress have priority:
a process that already refuses new work (POST, GET) still accepts callbacks (PUT, PATCH). The hub also refuses new work
of a DFSP if messages wait too long in the outbox. The hub refuses this work only if two delays are long: the delay of
the whole hub, and the delay of the DFSP's own messages (`hub.outbox.delivery_delay`). With increasing load, the hub
refuses lookups first, then requests for terms, then transfers. So it completes payments in progress before it accepts
new payments.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from prometheus_client import Counter, Gauge

from fspiop.errors import ErrorCode, FspiopError
from hub import sql_execution
from hub.api import authentication, errors, slow_bodies
from hub.api.dfsp_routing_middleware import DFSP_DOORS
from hub.api.wsgi_handler import LeanRequest
from hub.outbox import delivery_delay
from hub.participants import queries

SHED = Counter("kitovu_web_shed_total", "DFSP requests answered with 503 because too many were in progress")
DELAYED = Counter(
    "kitovu_web_delayed_total", "DFSP requests answered with 503 because messages wait long, by resource", ["resource"]
)
UNDER_WAY = Gauge("kitovu_web_under_way", "DFSP requests in progress", multiprocess_mode="livesum")


@dataclass(frozen=True, slots=True)
class _NewWork:
    """The limits for one kind of new work."""

    # The process refuses this work if the open requests of all DFSPs occupy this part of WEB_QUEUE.
    share: float
    # The setting with the longest allowed delay of messages in the outbox. If the delay is longer, the hub refuses this
    # work. If the setting is 0, the hub never refuses this work because of a delay.
    longest_delay: str | None = None


# A transfer can use a larger part of the queue than a lookup, because the payment of a transfer is nearly complete.
_LOOKUP = _NewWork(0.5, "SHED_LOOKUPS_S")
_TERMS = _NewWork(0.6, "SHED_QUOTES_S")
_TRANSFER = _NewWork(0.75, "SHED_TRANSFERS_S")
_OTHER = _NewWork(0.75)
_KINDS = {
    ("GET", "parties"): _LOOKUP,
    ("GET", "participants"): _LOOKUP,
    ("POST", "quotes"): _TERMS,
    ("POST", "bulkQuotes"): _TERMS,
    ("POST", "fxQuotes"): _TERMS,
    ("POST", "transactionRequests"): _TERMS,
    ("POST", "transfers"): _TRANSFER,
    ("POST", "bulkTransfers"): _TRANSFER,
    ("POST", "fxTransfers"): _TRANSFER,
}
_ONE_EVERY_S = 0.05  # of each source

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def _work_of(method: str, resource: str) -> _NewWork | None:
    """Returns the limits for this request, or None for a callback. A PUT /participants registers an alias, so it is no
    callback."""
    is_callback = method in ("PUT", "PATCH") and resource != "participants"
    return None if is_callback else _KINDS.get((method, resource), _OTHER)


class Turnstile:
    """A WSGI middleware."""

    def __init__(
        self, application: Wsgi, delay_s: Callable[[int | None], float] = delivery_delay.reader.delay_s
    ) -> None:
        self._application = application
        self._delay_s = delay_s
        # for each source: the time at which the process last served a request of this source during a delay
        self._delayed_admitted_at: dict[int, float] = {}
        self._guard = threading.Lock()
        self._under_way = 0
        response = errors.response_for(
            FspiopError(ErrorCode.SERVER_BUSY, "too many requests wait; try again", http_status=503)
        )
        self._status = f"{response.status_code} {response.reason_phrase}"
        self._headers, self._body = list(response.items()), [response.content]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("CONTENT_LENGTH") or "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input"] = slow_bodies.Input(environ)
        resource = environ["PATH_INFO"].partition("/")[2].partition("/")[0]
        if resource not in DFSP_DOORS:
            return self._application(environ, start_response)
        work = _work_of(environ["REQUEST_METHOD"], resource)
        if work is not None and self._is_delayed(environ, work):
            DELAYED.labels(resource).inc()
            start_response(self._status, list(self._headers))
            return self._body
        most = settings.WEB_QUEUE * (work.share if work is not None else 1.0)
        with self._guard:
            is_full = self._under_way >= most
            self._under_way += not is_full
        if is_full:
            SHED.inc()
            start_response(self._status, list(self._headers))
            return self._body
        UNDER_WAY.inc()
        try:
            return self._application(environ, start_response)  # this call returns the complete response
        finally:
            UNDER_WAY.dec()
            with self._guard:
                self._under_way -= 1

    def _is_delayed(self, environ: dict[str, Any], work: _NewWork) -> bool:
        if work.longest_delay is None:
            return False
        most: float = getattr(settings, work.longest_delay)
        source_id = queries.known_id(environ.get("HTTP_FSPIOP_SOURCE", ""))
        if source_id is None or not most or self._delay_s(source_id) <= most:
            return False  # the view checks the sender later
        # The process always serves some requests, because the hub needs their messages to measure the delay. Each
        # source has its own turns. Only a sender with the source's credentials can use the source's turns.
        if not self._has_turn(source_id) or not _is_from(environ, source_id):
            return True
        with self._guard:
            has_turn = self._has_turn(source_id)
            if has_turn:
                self._delayed_admitted_at[source_id] = time.monotonic()
        return not has_turn

    def _has_turn(self, source_id: int) -> bool:
        return time.monotonic() - self._delayed_admitted_at.get(source_id, float("-inf")) >= _ONE_EVERY_S


def _is_from(environ: dict[str, Any], source_id: int) -> bool:
    """Returns whether the request has this participant's credentials. Returns False if the hub cannot check them."""
    try:
        # Uses a copy, because Django writes the decoded path into `environ`. The view's request object would decode the
        # path again.
        return authentication.proves(LeanRequest(environ.copy()), source_id)
    except (DatabaseError, ValueError):
        return False
    finally:
        sql_execution.give_back()  # the check perhaps read credentials from the database
