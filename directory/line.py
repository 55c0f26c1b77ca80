"""HTTP to oracles that others run, from the threads of the web process.

A total deadline, a capped answer, no redirects. At most ORACLE_CONCURRENCY threads wait for one oracle, and one that
fails again and again is left alone for a while, so that it can not take the threads that transfers need. The exchange
itself runs in an event loop in a thread of its own, where a deadline holds whatever the other side does.
"""

import asyncio
import atexit
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from django.conf import settings

from fspiop.time import http_date
from hub.curl import Curl

log = structlog.get_logger("oracles")

_MOST_OF_AN_ANSWER = 1024 * 1024
_AT_ONCE = 16  # requests of one batch
_BREAKER_AFTER = 5
_BREAKER_MOST_S = 30.0
_MARGIN_S = 1.0


class OracleUnavailable(Exception):
    """The oracle gave no answer that can be used, or is not asked for now."""


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes


@dataclass(slots=True)
class _Line:
    """What this process knows of one oracle. Only a hint: another process knows something else."""

    guard: threading.Lock = field(default_factory=threading.Lock)
    waiting: int = 0
    failures_in_a_row: int = 0
    closed_until: float = 0.0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Holds one of the places on this line; what is raised inside counts against the oracle."""
        with self.guard:
            is_suspect = self.failures_in_a_row >= _BREAKER_AFTER
            places = 1 if is_suspect else settings.ORACLE_CONCURRENCY  # one finds out whether it is back
            if time.monotonic() < self.closed_until or self.waiting >= places:
                raise OracleUnavailable("not asked: it has many requests open, or failed again and again")
            self.waiting += 1
        try:
            yield
        except OracleUnavailable:
            with self.guard:
                self.failures_in_a_row += 1
                over = self.failures_in_a_row - _BREAKER_AFTER
                if over >= 0:
                    self.closed_until = time.monotonic() + min(_BREAKER_MOST_S, 2.0 ** min(over, 6))
            raise
        else:
            with self.guard:
                self.failures_in_a_row = 0
        finally:
            with self.guard:
                self.waiting -= 1


class Exchange:
    """The lines to all oracles, and the loop that serves them; begun when the first oracle is asked."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._lines: dict[str, _Line] = {}
        self._curl: Curl | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def ask(self, endpoint: str, calls: Sequence[Call], *, until: float) -> list[Reply]:
        """The replies to these calls, all of them by `until` (time.monotonic()); OracleUnavailable if one has none."""
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise OracleUnavailable("no time left")
        with self._guard:
            line = self._lines.setdefault(endpoint, _Line())
            loop = self._running_loop()
        with line.taken():
            future = asyncio.run_coroutine_threadsafe(self._all(endpoint, calls, left_s), loop)
            try:
                return future.result(left_s + _MARGIN_S)
            except (TimeoutError, OSError, ValueError) as error:
                future.cancel()
                # Not the error's text: it may hold the address, which holds an alias.
                log.warning("oracle_failed", endpoint=endpoint, error=type(error).__name__)
                raise OracleUnavailable(type(error).__name__) from None

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._thread is None or not self._thread.is_alive():
            self._loop, self._curl = asyncio.new_event_loop(), None
            self._thread = threading.Thread(target=self._loop.run_forever, name="oracles", daemon=True)
            self._thread.start()
            atexit.register(self.close)
        return self._loop

    def close(self) -> None:
        """Ends all connections; the next question opens new ones."""
        with self._guard:
            loop, self._loop = self._loop, None
        if loop is not None and loop.is_running():
            asyncio.run_coroutine_threadsafe(self._close_connections(), loop).result(_MARGIN_S)
            loop.call_soon_threadsafe(loop.stop)

    async def _close_connections(self) -> None:
        if self._curl is not None:
            self._curl.close()

    async def _all(self, endpoint: str, calls: Sequence[Call], timeout_s: float) -> list[Reply]:
        room = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.timeout(timeout_s):
            tasks = [asyncio.ensure_future(self._one(endpoint, call, timeout_s, room)) for call in calls]
            try:
                return list(await asyncio.gather(*tasks))
            finally:
                for task in tasks:
                    task.cancel()

    async def _one(self, endpoint: str, call: Call, timeout_s: float, room: asyncio.Semaphore) -> Reply:
        if self._curl is None:
            self._curl = Curl()
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Date": http_date(datetime.now(UTC)),
            "FSPIOP-Source": settings.HUB_NAME,
        }
        url = endpoint.rstrip("/") + call.path
        async with room:
            reply = await self._curl.request(
                call.method, url, headers, call.body, timeout_s=timeout_s, most=_MOST_OF_AN_ANSWER
            )
        if not reply.is_whole:
            raise ValueError("the answer is too long")
        if reply.status >= 500:
            raise ValueError("a server error")
        return Reply(reply.status, reply.body)


ask = Exchange().ask
