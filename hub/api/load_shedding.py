"""Limits how many DFSP requests one web process handles at once; refuses others before any work is done.

Work in progress is finished first: callbacks (PUT, PATCH) are still accepted when new work (POST, GET) no longer is.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from prometheus_client import Counter, Gauge

from fspiop.errors import ErrorCode, FspiopError
from hub.api import errors, slow_bodies
from hub.api.middleware import DFSP_DOORS

SHED = Counter("kitovu_web_shed_total", "DFSP requests answered with 503 because too many were in progress")
UNDER_WAY = Gauge("kitovu_web_under_way", "DFSP requests in progress", multiprocess_mode="livesum")

_NEW_WORK = frozenset({"POST", "GET"})
_SHARE_OF_NEW_WORK = 0.75

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Turnstile:
    """A WSGI middleware."""

    def __init__(self, application: Wsgi) -> None:
        self._application = application
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
        if environ["PATH_INFO"].partition("/")[2].partition("/")[0] not in DFSP_DOORS:
            return self._application(environ, start_response)
        most: float = settings.WEB_QUEUE
        if environ["REQUEST_METHOD"] in _NEW_WORK:
            most *= _SHARE_OF_NEW_WORK
        with self._guard:
            is_full = self._under_way >= most
            self._under_way += not is_full
        if is_full:
            SHED.inc()
            start_response(self._status, list(self._headers))
            return self._body
        UNDER_WAY.inc()
        try:
            return self._application(environ, start_response)  # a response to a DFSP is complete when this returns
        finally:
            UNDER_WAY.dec()
            with self._guard:
                self._under_way -= 1
