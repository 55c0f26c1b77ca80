"""Sends HTTP requests to external oracles, from the threads of the web process.

Each request has a deadline and a limit for the size of the answer. This HTTP client does not follow redirects.

The module `hub.concurrency_shares` limits the number of threads that wait for one oracle. A caller is a participant
whose message causes a request. `hub.concurrency_shares` also divides these threads among the callers. The module
`directory.oracle_pauses` decides when an oracle is paused. Requests for batches have a separate limit. The outcome of a
request for a batch never begins or ends a pause of an oracle. Requests run in an event loop in a separate thread. So
each request ends at its deadline, whatever the oracle does. A thread that waits for a request holds no database
connection.
"""

import asyncio
import atexit
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog
from django.conf import settings

from directory.oracle_pauses import Caller, OraclePauses, Outcome
from fspiop.time import http_date
from hub import sql_execution
from hub.concurrency_shares import NoPlace, Places, Sizes
from hub.http_client import Curl, NotConnected

log = structlog.get_logger("oracles")

T = TypeVar("T")

THE_HUB: Caller = 0  # the caller of a request that the hub makes for itself

_MOST_OF_AN_ANSWER = 1024 * 1024
_MOST_OF_A_BATCH = 32 * 1024 * 1024  # limit in bytes for all answers of a batch together
_AT_ONCE = 8  # concurrent requests of one batch
_MOST_FAULTS = 20  # if more than this number of calls of one batch get no usable answer, the whole batch fails
_FIRSTS = 4  # at least this many callers can have one request that the shared limit does not count
_BATCHES = Sizes(most=2, shared=0, share=0, waiting=8, waiting_share=0)  # each caller may have one batch in progress
_MARGIN_S = 1.0


class OracleUnavailable(Exception):
    """Raised if the oracle gave no usable answer, or is paused."""


class BatchRefused(Exception):
    """Raised if this caller already has a batch in progress, or if the other callers have too many batches in
    progress."""


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes


def sizes_of(shared: int) -> Sizes:
    """Returns the limits on simultaneous requests to one oracle. All callers together may have `shared` requests. One
    caller may have up to half of these requests. In addition, at least `_FIRSTS` callers may each have one request that
    the limit does not count.
    """
    half = max(1, shared // 2)
    return Sizes(most=shared + max(shared, _FIRSTS), shared=shared, share=half, waiting=shared, waiting_share=half)


@dataclass(slots=True)
class _Oracle:
    """This process's records about one oracle. Each process keeps separate records."""

    places: Places = field(default_factory=Places)
    pauses: OraclePauses = field(default_factory=OraclePauses)


class OracleClient:
    """Sends all requests to oracles in one event loop. The event loop starts with the first request."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._oracles: dict[str, _Oracle] = {}
        self._batches = Places()
        self._curl: Curl | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def ask(self, endpoint: str, call: Call, *, about: str, caller: Caller, until: float) -> Reply:
        """Returns the reply to one call about an alias. `until` is the time limit (time.monotonic()).

        Raises OracleUnavailable if no reply comes before the time limit.
        """
        sql_execution.give_back()
        oracle = self._oracle(endpoint)
        left_s = until - time.monotonic()
        try:
            # A request waits for at most half of its time limit until it can be sent. So the oracle has at least the
            # other half of the time limit for its answer.
            with oracle.places.taken(caller, sizes_of(settings.ORACLE_CONCURRENCY), wait_s=left_s / 2):
                return self._ask_judged(endpoint, call, about, caller, until, oracle.pauses)
        except NoPlace:
            raise OracleUnavailable("no request sent: this caller has many requests open") from None

    def _ask_judged(
        self, endpoint: str, call: Call, about: str, caller: Caller, until: float, pauses: OraclePauses
    ) -> Reply:
        if not pauses.may_ask(caller):
            raise OracleUnavailable("no request sent: several earlier requests to this oracle failed")
        left_s = until - time.monotonic()
        outcome = Outcome.UNKNOWN
        try:
            reply = self._run(endpoint, self._one(endpoint, call, left_s), left_s)
            outcome = Outcome.ANSWERED
            return reply
        except _Failed as failure:
            # the oracle had too little time to answer
            is_soon = failure.is_timeout and left_s < settings.ORACLE_TIMEOUT_S / 3
            outcome = Outcome.UNKNOWN if is_soon else failure.outcome
            raise OracleUnavailable(str(failure)) from None
        finally:
            if pauses.end(caller, about, outcome):
                log.warning("oracle_left_alone", endpoint=endpoint, caller=caller)

    @contextmanager
    def batch(self, caller: Caller, *, until: float) -> Iterator[None]:
        """Counts one more batch in progress while the `with` block runs. The limit on batches applies to all oracles
        together. Raises BatchRefused if the limit is reached.
        """
        sql_execution.give_back()
        try:
            with self._batches.taken(caller, _BATCHES, wait_s=(until - time.monotonic()) / 2):
                yield
        except NoPlace:
            raise BatchRefused from None

    def ask_many(self, endpoint: str, calls: Sequence[Call], *, caller: Caller, until: float) -> list[Reply | None]:
        """Returns the replies to all calls of a batch. Call this method only inside the `with` block that counts the
        batch.

        The reply to a call is None if the oracle's answer to this call was a server error, came too late, or was too
        long. Raises OracleUnavailable if the oracle cannot be reached, or if more than `_MOST_FAULTS` calls fail.
        """
        sql_execution.give_back()
        if self._oracle(endpoint).pauses.is_paused(caller):
            raise OracleUnavailable("no request sent: several earlier requests to this oracle failed")
        left_s = until - time.monotonic()
        try:
            return self._run(endpoint, self._all(endpoint, calls, left_s), left_s)
        except _Failed as failure:
            raise OracleUnavailable(str(failure)) from None

    def _oracle(self, endpoint: str) -> _Oracle:
        with self._guard:
            return self._oracles.setdefault(endpoint, _Oracle())

    def _run(self, endpoint: str, exchange: Coroutine[Any, Any, T], left_s: float) -> T:
        with self._guard:
            future = asyncio.run_coroutine_threadsafe(exchange, self._running_loop())
        try:
            return future.result(max(left_s, 0) + _MARGIN_S)
        except (TimeoutError, OSError, ValueError) as error:
            future.cancel()
            # The log line omits the error's text, because this text can contain the request's URL, and the URL contains
            # an alias.
            log.warning("oracle_failed", endpoint=endpoint, error=type(error).__name__)
            raise _Failed(error) from None

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._thread is None or not self._thread.is_alive():
            self._loop, self._curl = asyncio.new_event_loop(), None
            self._thread = threading.Thread(target=self._loop.run_forever, name="oracles", daemon=True)
            self._thread.start()
            atexit.register(self.close)
        return self._loop

    def close(self) -> None:
        """Closes all connections to oracles. The next request to an oracle opens new connections."""
        with self._guard:
            loop, self._loop = self._loop, None
        if loop is not None and loop.is_running():
            asyncio.run_coroutine_threadsafe(self._close_connections(), loop).result(_MARGIN_S)
            loop.call_soon_threadsafe(loop.stop)

    async def _close_connections(self) -> None:
        if self._curl is not None:
            self._curl.close()

    async def _all(self, endpoint: str, calls: Sequence[Call], timeout_s: float) -> list[Reply | None]:
        """Sends the calls of a batch in at most `_AT_ONCE` parallel tasks. When a task has finished one call of the
        batch, the task sends the next call.

        So even a large batch runs only a few tasks at the same time. Each call has a shorter time limit than the batch.
        So if the oracle does not answer for one alias, enough time remains for the other aliases.
        """
        replies: list[Reply | None] = [None] * len(calls)
        left, octets, faults = iter(enumerate(calls)), 0, 0
        one_call_s = timeout_s if len(calls) == 1 else min(timeout_s / 2, settings.ORACLE_TIMEOUT_S)

        async def work() -> None:
            nonlocal octets, faults
            for number, call in left:
                try:
                    reply = replies[number] = await self._one(endpoint, call, one_call_s)
                except NotConnected:
                    raise
                except (TimeoutError, OSError, ValueError):
                    faults += 1
                    if faults > _MOST_FAULTS:
                        raise
                    continue
                octets += len(reply.body)
                if octets > _MOST_OF_A_BATCH:
                    raise ValueError("the answers are too long")

        async with asyncio.timeout(timeout_s):
            tasks = [asyncio.ensure_future(work()) for _ in range(min(_AT_ONCE, len(calls)))]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
        return replies

    async def _one(self, endpoint: str, call: Call, timeout_s: float) -> Reply:
        if timeout_s <= 0:
            raise TimeoutError("no time left")
        if self._curl is None:
            self._curl = Curl()
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Date": http_date(datetime.now(UTC)),
            "FSPIOP-Source": settings.HUB_NAME,
        }
        url = endpoint.rstrip("/") + call.path
        reply = await self._curl.request(
            call.method, url, headers, call.body, timeout_s=timeout_s, most=_MOST_OF_AN_ANSWER
        )
        if not reply.is_whole:
            raise ValueError("the answer is too long")
        if reply.status >= 500:
            raise ValueError("a server error")
        return Reply(reply.status, reply.body)


class _Failed(Exception):
    def __init__(self, error: Exception) -> None:
        super().__init__(type(error).__name__)
        self.is_timeout = isinstance(error, TimeoutError)
        self.outcome = Outcome.UNREACHED if isinstance(error, NotConnected) else Outcome.FAILED


_client = OracleClient()
ask, ask_many, batch = _client.ask, _client.ask_many, _client.batch
