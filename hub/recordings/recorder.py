"""Records requests of a DFSP that is being certified.

Only messages between the DFSP and its counterpart are recorded, and messages of the DFSP that name no recipient. A
message to another participant is never recorded. Without a recording, a request costs one comparison.
"""

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass

import structlog
from django.db import DatabaseError, InterfaceError
from django.db.models.functions import Now
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from fspiop.headers import FORWARDED
from hub.recordings.models import LONGEST_ANSWER, LONGEST_BODY, RecordedRequest, Recording

log = structlog.get_logger("recordings")

_MOST_PER_SECOND = 100  # for each recording
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Recorded:
    """A DFSP whose messages are recorded, and its counterpart."""

    dfsp: str
    counterpart: str


def now_recorded() -> tuple[Recorded, ...]:
    """Returns the recordings that have not ended."""
    rows = Recording.objects.filter(until__gt=Now()).values_list("dfsp", "counterpart")
    return tuple(Recorded(*row) for row in rows)


def is_recorded(recordings: Collection[Recorded], *, method: str, source: str, destination: str, status: int) -> bool:
    """Returns whether a request belongs to one of these recordings."""
    for each in recordings:
        if each.counterpart in (source, destination):
            return True
        # A DFSP may leave out the recipient of a callback. Its lookups name no recipient either, but a lookup that the
        # hub accepted reaches the counterpart if it is meant for the counterpart.
        if source == each.dfsp and not destination and (method != "GET" or status >= 400):
            return True
    return False


def record(recordings: Collection[Recorded], request: HttpRequest, response: HttpResponseBase, body: bytes) -> None:
    """Stores a request and its response, if one of these recordings includes the request. Raises no error."""
    meta = request.META
    source = meta.get("HTTP_FSPIOP_SOURCE", "")[:_LONGEST_NAME]
    destination = meta.get("HTTP_FSPIOP_DESTINATION", "")[:_LONGEST_NAME]
    method, status = request.method or "", response.status_code
    if not is_recorded(recordings, method=method, source=source, destination=destination, status=status):
        return
    if not _room.take(_MOST_PER_SECOND * len(recordings)):
        log.warning("request_not_recorded", error="too many requests in this second")
        return
    query = meta.get("QUERY_STRING", "")
    try:
        RecordedRequest.objects.create(
            source=_text(source),
            destination=_text(destination),
            method=method[:8],
            path=_text(request.path_info + (f"?{query}" if query else ""))[:1024],
            headers={name: _text(value) for name in FORWARDED if (value := _header(meta, name))},
            body=body[:LONGEST_BODY],
            status=status,
            answer=_text(getattr(response, "content", b"")[:LONGEST_ANSWER].decode(errors="replace")),
        )
    except (DatabaseError, InterfaceError) as error:
        log.warning("request_not_recorded", error=str(error)[:200])  # the request itself has its response already


def _header(meta: dict[str, str], name: str) -> str:
    return meta.get("CONTENT_TYPE" if name == "content-type" else "HTTP_" + name.upper().replace("-", "_"), "")


def _text(value: str) -> str:
    return value.replace("\0", "\ufffd")


class _Room:
    """The number of requests that this process has recorded in this second, so that a flood fills no table."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._second, self._taken = 0, 0

    def take(self, most: int) -> bool:
        """Returns whether one more of `most` requests may be recorded in this second."""
        with self._lock:
            second = int(time.monotonic())
            if second != self._second:
                self._second, self._taken = second, 0
            self._taken += 1
            return self._taken <= most


_room = _Room()
