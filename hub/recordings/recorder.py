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
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.models.functions import Now
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from fspiop.headers import FORWARDED
from hub.recordings.models import LONGEST_ANSWER, LONGEST_BODY, RecordedRequest, Recording

log = structlog.get_logger("recordings")

MOST_PER_RUN = 3_000
"""A process records at most this number of requests of one sender to one recipient. A run has a few hundred."""
MOST_OCTETS_PER_RUN = 16_777_216
"""A process records no further request of one sender to one recipient if the recorded bodies have this size."""
_MOST_PER_SECOND = 100  # requests of one sender to one recipient
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Recorded:
    """A DFSP whose messages are recorded, and its counterpart. `id` tells recordings of the same DFSP apart."""

    dfsp: str
    counterpart: str
    id: int = 0


Recordings = tuple[Recorded, ...]


def now_recorded() -> Recordings:
    """Returns the recordings in progress."""
    rows = Recording.objects.filter(until__gt=Now()).values_list("dfsp", "counterpart", "id")
    return tuple(Recorded(*row) for row in rows)


def is_recorded(recordings: Recordings, *, method: str, source: str, destination: str, status: int) -> bool:
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
    recordings: Recordings,
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


def _record(recordings: Recordings, request: HttpRequest, response: HttpResponseBase, body: bytes, source: str) -> None:
    meta = request.META
    destination = meta.get("HTTP_FSPIOP_DESTINATION", "")[:_LONGEST_NAME]
    method, status = request.method or "", response.status_code
    if not is_recorded(recordings, method=method, source=source, destination=destination, status=status):
        return
    stored = body[:LONGEST_BODY]
    if not _room.take(recordings, source, destination, len(stored)):
        log.warning("request_not_recorded", error="too many requests", source=source)
        return
    query = meta.get("QUERY_STRING", "")
    row = RecordedRequest(
        source=_text(source),
        destination=_text(destination),
        method=method[:8],
        path=_text(request.path_info + (f"?{query}" if query else ""))[:1024],
        headers={name: _text(value) for name in FORWARDED if (value := _header(meta, name))},
        body=stored,
        status=status,
        answer=_text(getattr(response, "content", b"")[:LONGEST_ANSWER].decode(errors="replace")),
    )
    try:
        row.save(force_insert=True)
    except (OperationalError, InterfaceError):
        # The hub has already processed the request, so the sender does not send the request again. A certification
        # would report that this request is missing.
        connection.close()
        row.save(force_insert=True)


def _is_part(recordings: Recordings, name: str) -> bool:
    return any(name in (each.dfsp, each.counterpart) for each in recordings)


def _header(meta: dict[str, str], name: str) -> str:
    return meta.get("CONTENT_TYPE" if name == "content-type" else "HTTP_" + name.upper().replace("-", "_"), "")


def _text(value: str) -> str:
    return value.replace("\0", "\ufffd")


class _Room:
    """Limits how many requests of each sender to each recipient this process records, in a second and in a run. So a
    flood of requests does not fill the table, and does not prevent the recording of other senders.

    All names that take part in no recording count as one name.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._second = 0
        self._in_second: Counter[tuple[str, str]] = Counter()
        self._recordings: Recordings = ()
        self._in_run: Counter[tuple[str, str]] = Counter()
        self._octets: Counter[tuple[str, str]] = Counter()

    def take(self, recordings: Recordings, source: str, destination: str, octets: int) -> bool:
        """Returns whether the process has room for one more request. If so, counts this request."""
        pair = _name_in(recordings, source), _name_in(recordings, destination)
        with self._lock:
            if recordings != self._recordings:
                self._recordings = recordings
                self._in_run.clear()
                self._octets.clear()
            second = int(time.monotonic())
            if second != self._second:
                self._second = second
                self._in_second.clear()
            if (
                self._in_second[pair] >= _MOST_PER_SECOND
                or self._in_run[pair] >= MOST_PER_RUN
                or self._octets[pair] >= MOST_OCTETS_PER_RUN
            ):
                return False
            self._in_second[pair] += 1
            self._in_run[pair] += 1
            self._octets[pair] += octets
            return True


def _name_in(recordings: Recordings, name: str) -> str:
    return name if _is_part(recordings, name) else ""


_room = _Room()
