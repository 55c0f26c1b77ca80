"""Limits each DFSP's use of a web process.

`DFSP_RATE` limits requests per second. `DFSP_STATE_RATE` limits the requests per second that only read a payment's
state. `DFSP_OPEN_REQUESTS` limits open requests. Bulks have further limits (`hub.api.bulk_concurrency`). If a request
exceeds a limit, it gets 429 before the hub reads the body, checks the signature or sends an SQL statement.

For each recipient, a DFSP has a separate limit on callbacks (PUT, PATCH). This limit is also `DFSP_RATE`. So a DFSP can
answer all requests of a participant, and still send its own requests. A DFSP's own requests can be at most five sixths
of its open requests. So the DFSP can still answer others' requests, and payments in progress can end.

If a request exceeds a rate, the hub waits for about `DFSP_PAUSE_MS` before it sends the response 429. Without this
pause, a sender that repeats refused requests immediately would use up the CPU time. A paused request occupies a thread,
so each process limits the number of paused requests. Paused requests also count as open requests of their DFSP.

Each web process counts the requests of each authenticated caller separately (docs/decisions/0034).

A faulty body of 64 KiB needs as much work as a few correct requests. A body is faulty if it is not a message of the
API. So a DFSP that has sent large faulty bodies can send further large bodies only after a while. The DFSP's small
requests are not affected.

A DFSP's requests cause messages in the outbox. `OUTBOX_PENDING_PER_SOURCE` limits how many of these messages wait for
one destination. If too many of these messages wait for another participant, the hub refuses the DFSP's further requests
to that participant. If too many of these messages wait for the DFSP itself, the hub refuses all requests of the DFSP.
The hub never refuses a callback (PUT, PATCH) because of this limit.
"""

import random
import threading
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

import structlog
from django.conf import settings
from prometheus_client import Counter

from fspiop.errors import ErrorCode, FspiopError
from hub.api.bulk_concurrency import Bulks
from hub.outbox import backlog_limit

K = TypeVar("K", bound=Hashable)

log = structlog.get_logger("api")

LIMITED = Counter(
    "kitovu_dfsp_limited_total", "Requests that got the response 429, for each DFSP and limit", ["dfsp", "limit"]
)

_BURST_S = 1.0  # a burst can have as many requests as `DFSP_RATE` allows in this time
_STATES_BURST_S = 0.2
_SAY_EVERY_S = 1.0
_PAUSED_SHARE = 1 / 6  # the part of WEB_QUEUE that paused requests can occupy

_STATE_QUERIES = frozenset(
    {"transfers", "bulkTransfers", "fxTransfers", "quotes", "bulkQuotes", "fxQuotes", "transactionRequests"}
)
"""The resources whose GET requests only read a state that the hub stores: the state of a payment or of an agreement."""


_LARGE = 16_384  # octets; an ordinary body is smaller
_MOST_COUNTED = 262_144  # octets of one body

_AT_ONCE = "requests at once"
_SHARE_OF_OWN_REQUESTS = 5 / 6  # the part of DFSP_OPEN_REQUESTS that a DFSP's requests other than callbacks can use


class Limits:
    def __init__(
        self, clock: Callable[[], float] = time.monotonic, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self._pause = clock, pause
        self._lock = threading.Lock()
        # The time until which a caller has used up its rate. The first part of the key is the caller's id. The second
        # part is None for requests, and the recipient's id for callbacks.
        self._spent_until: dict[tuple[int, int | None], float] = {}
        self._spent_on_states_until: dict[int, float] = {}
        self._faulty_until: dict[int, float] = {}  # the time until which a caller has used up its faulty octets
        self._paused = 0
        self._open: dict[int, int] = {}
        self._said: dict[int, float] = {}

    def enter(self, caller: int, name: str, *, is_state_query: bool = False, callback_to: int | None = None) -> None:
        """Counts a participant's request as open until `leave` is called. If the request is a callback, `callback_to`
        is the recipient's id, or 0 for an unknown recipient.

        Raises FspiopError 2005 (429) if the request exceeds a limit of the participant.
        """
        exceeded = self._exceeded(caller, is_state_query=is_state_query, callback_to=callback_to)
        if exceeded is None:
            return
        self._say(caller, name, exceeded)
        if exceeded != _AT_ONCE:
            try:
                self._pause_refusal()
            finally:
                self.leave(caller)
        raise FspiopError(ErrorCode.SERVER_BUSY, f"too many {exceeded}", http_status=429)

    def charge_faulty_body(self, caller: int, octets: int) -> None:
        """Counts the octets of a faulty body, if the body is large."""
        if octets > _LARGE and settings.DFSP_FAULTY_BYTES:
            with self._lock:
                until = max(self._faulty_until.get(caller, 0.0), self._clock())
                self._faulty_until[caller] = until + min(octets, _MOST_COUNTED) / settings.DFSP_FAULTY_BYTES

    def check_large_body(self, caller: int, name: str, octets: int) -> None:
        """Raises FspiopError 2005 (429) for a large body if the caller's faulty bodies in the last seconds had too many
        octets."""
        if octets <= _LARGE:
            return
        with self._lock:
            is_spent = self._faulty_until.get(caller, 0.0) > self._clock() + _BURST_S
        if is_spent:
            raise self.refused(caller, name, "faulty large bodies", "too many faulty large bodies")

    def leave(self, caller: int) -> None:
        with self._lock:
            self._open[caller] -= 1

    def check_backlog(self, caller: int, source: str, destination: str) -> None:
        """Raises FspiopError 2005 (429) if the caller has caused too many messages, and these messages still wait for
        the destination."""
        if backlog_limit.is_crowded(source, destination):
            raise self.no_room(caller, source, destination)

    def no_room(self, caller: int, source: str, destination: str) -> FspiopError:
        """Returns the error for a caller that has caused too many messages for the destination. Counts the refusal in
        the metrics."""
        self._say(caller, source, "messages waiting")
        return FspiopError(
            ErrorCode.SERVER_BUSY,
            f"more than {settings.OUTBOX_PENDING_PER_SOURCE} messages caused by {source} wait for {destination}",
            http_status=429,
        )

    def refused(self, caller: int, name: str, exceeded: str, detail: str) -> FspiopError:
        """Pauses, and then returns the error for a request that exceeds a limit on bulks or on faulty bodies. Counts
        the refusal in the metrics."""
        self._say(caller, name, exceeded)
        self._pause_refusal()
        return FspiopError(ErrorCode.SERVER_BUSY, detail, http_status=429)

    def _exceeded(self, caller: int, *, is_state_query: bool, callback_to: int | None) -> str | None:
        """Returns the name of the limit that this request exceeds, or None. A request that exceeds a rate counts as an
        open request. A request that exceeds the limit on open requests does not count as an open request.
        """
        with self._lock:
            count, now = self._open.get(caller, 0), self._clock()
            most = settings.DFSP_OPEN_REQUESTS * (_SHARE_OF_OWN_REQUESTS if callback_to is None else 1)
            if settings.DFSP_OPEN_REQUESTS and count >= most:
                return _AT_ONCE
            self._open[caller] = count + 1
            states = self._spent_on_states_until
            if is_state_query and not _is_within(settings.DFSP_STATE_RATE, states, caller, now, _STATES_BURST_S):
                return "state queries a second"
            if not _is_within(settings.DFSP_RATE, self._spent_until, (caller, callback_to), now, _BURST_S):
                return "requests a second"
            return None

    def _pause_refusal(self) -> None:
        with self._lock:
            has_room = self._paused < settings.WEB_QUEUE * _PAUSED_SHARE
            self._paused += has_room
        if has_room:
            try:
                # The pauses differ in length, so that senders do not repeat all refused requests at the same time.
                self._pause(settings.DFSP_PAUSE_MS / 1000 * random.uniform(0.5, 1.5))  # noqa: S311
            finally:
                with self._lock:
                    self._paused -= 1

    def _say(self, caller: int, name: str, exceeded: str) -> None:
        LIMITED.labels(name, exceeded).inc()
        now = self._clock()
        if now - self._said.get(caller, -_SAY_EVERY_S) >= _SAY_EVERY_S:  # at most one log entry a second for each DFSP
            self._said[caller] = now
            log.warning("dfsp_limited", source=name, limit=exceeded)


def _is_within(rate: float, spent_until: dict[K, float], caller: K, now: float, burst_s: float) -> bool:
    """Returns whether the caller's rate allows one more request. If so, the function counts this request.

    A rate of 0 means that there is no limit. After a pause, a caller can immediately send as many requests as the rate
    allows in `burst_s` seconds, but at least one.
    """
    if not rate:
        return True
    until = max(spent_until.get(caller, 0.0), now) + 1 / rate
    if until > now + max(burst_s, 1 / rate):
        return False
    spent_until[caller] = until
    return True


def is_state_query(method: str, resource: str) -> bool:
    """Returns whether this request only reads the state of a payment or of an agreement."""
    return method == "GET" and resource in _STATE_QUERIES


_limits = Limits()
enter = _limits.enter
leave = _limits.leave
charge_faulty_body = _limits.charge_faulty_body
check_large_body = _limits.check_large_body
check_backlog = _limits.check_backlog
no_room = _limits.no_room
bulks = Bulks(_limits.refused)
own_api = Bulks(_limits.refused, noun="requests of this API")
"""Limits the requests to the hub's own API for DFSPs. A request to this API may read or write as much as a bulk, but
does not count as a bulk."""
