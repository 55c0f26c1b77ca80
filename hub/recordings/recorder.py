"""Records requests of a DFSP that is being certified.

The hub records only messages between the DFSP and its counterpart, and messages of the DFSP without a recipient's name.
It never records a message to another participant. While no recording runs, this module costs each request only one
comparison. The recorded sender is the participant to which the credentials of the request belong. FSPIOP-Source can be
false, so the hub records FSPIOP-Source only as one of the headers. The hub does not record requests whose credentials
belong to no participant.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.db.models.functions import Now
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from fspiop.headers import FORWARDED
from hub.recordings.models import LONGEST_ANSWER, LONGEST_BODY, RecordedRequest, Recording

log = structlog.get_logger("recordings")

_MOST_PER_SECOND = 100  # requests of one sender, for each recording in which the sender takes part
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Recorded:
    """A DFSP whose messages are recorded, and its counterpart."""

    dfsp: str
    counterpart: str


def now_recorded() -> tuple[Recorded, ...]:
    """Returns the recordings in progress."""
    rows = Recording.objects.filter(until__gt=Now()).values_list("dfsp", "counterpart")
    return tuple(Recorded(*row) for row in rows)


def is_recorded(recordings: Collection[Recorded], *, method: str, source: str, destination: str, status: int) -> bool:
    """Returns whether a request belongs to one of these recordings."""
    for each in recordings:
        if each.counterpart in (source, destination):
            return True
        # A message from the DFSP can lack a recipient, for example a lookup. This condition leaves out accepted
        # lookups. The hub forwards an accepted lookup, so the record of the counterpart's messages shows the lookup.
        if source == each.dfsp and not destination and (method != "GET" or status >= 400):
            return True
    return False


def record(
    recordings: Collection[Recorded],
    request: HttpRequest,
    response: HttpResponseBase,
    body: bytes,
    sender: Callable[[], str | None],
) -> None:
    """Stores a request and its response, if one of these recordings includes the request. Raises no error.

    `sender` returns the name of the participant to which the request's credentials belong, or None.
    """
    try:
        proven = sender()
        if proven is not None and (_is_part(recordings, proven) or not settings.PARTICIPANT_AUTH):
            _record(recordings, request, response, body, proven[:_LONGEST_NAME])
    except (DatabaseError, InterfaceError) as error:
        # a failure here does not change the response to the request
        log.warning("request_not_recorded", error=str(error)[:200])


def _record(
    recordings: Collection[Recorded], request: HttpRequest, response: HttpResponseBase, body: bytes, source: str
) -> None:
    meta = request.META
    destination = meta.get("HTTP_FSPIOP_DESTINATION", "")[:_LONGEST_NAME]
    method, status = request.method or "", response.status_code
    if not is_recorded(recordings, method=method, source=source, destination=destination, status=status):
        return
    runs = sum(source in (each.dfsp, each.counterpart) for each in recordings)
    if not _room.take(source, _MOST_PER_SECOND * max(runs, 1)):
        log.warning("request_not_recorded", error="too many requests in this second", source=source)
        return
    query = meta.get("QUERY_STRING", "")
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


def _is_part(recordings: Collection[Recorded], name: str) -> bool:
    return any(name in (each.dfsp, each.counterpart) for each in recordings)


def _header(meta: dict[str, str], name: str) -> str:
    return meta.get("CONTENT_TYPE" if name == "content-type" else "HTTP_" + name.upper().replace("-", "_"), "")


def _text(value: str) -> str:
    return value.replace("\0", "\ufffd")


class _Room:
    """Limits how many requests of each sender this process records in a second. So a flood of requests does not fill
    the table, and does not prevent the recording of other senders.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._second = 0
        self._taken: Counter[str] = Counter()

    def take(self, sender: str, most: int) -> bool:
        """Counts one more request of this sender. Returns whether the sender has sent at most `most` requests in this
        second."""
        with self._lock:
            second = int(time.monotonic())
            if second != self._second:
                self._second = second
                self._taken.clear()
            self._taken[sender] += 1
            return self._taken[sender] <= most


_room = _Room()
