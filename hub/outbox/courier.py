"""Delivers the outbox: claims due messages, sends them concurrently, settles what came of them.

Each worker process has one courier, an event loop in a thread of its own. It looks when it is nudged (a Celery task
from the process that appended) and once a second in any case, so that a lost nudge, or a lost Redis, costs a second
and never a message. Each destination is served on its own: one that hangs keeps nobody else waiting.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from aiohttp import ClientSession
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection

from hub.outbox import client, failures, metrics, store
from hub.outbox.client import Answer
from hub.outbox.store import Claimed
from hub.participants import endpoints, queries

log = structlog.get_logger("outbox")
T = TypeVar("T")

_LOOK_EVERY_S = 1.0
_COMPANY_S = 0.005  # how long a finished message waits for others, to be settled by the same statement
_BREAKER_AFTER = 5
_BREAKER_MOST_S = 30.0


@dataclass
class _Destination:
    """What this courier knows of one participant. Only a hint: another courier knows something else."""

    id: int
    session: "ClientSession | None" = None
    runner: "asyncio.Task[None] | None" = None
    has_news: bool = False
    failures_in_a_row: int = 0
    closed_until: float = 0.0
    sending: "dict[asyncio.Task[Answer], Claimed]" = field(default_factory=dict)


class Courier:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._destinations: dict[int, _Destination] = {}
        self._stopping = False
        self._database = ThreadPoolExecutor(max_workers=4, thread_name_prefix="courier-database")
        self._key = client.HubKey()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def nudge(self, destination_id: int) -> None:
        """Says that this destination may have work. Callable from any thread."""
        self._loop.call_soon_threadsafe(self._look_at, destination_id)

    def stop(self, timeout_s: float) -> None:
        """Takes no more, waits for what is being sent, gives the rest back."""
        self._stopping = True
        self._thread.join(timeout_s)

    # --- in the loop ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._live())

    async def _live(self) -> None:
        while not self._stopping:
            try:
                for destination_id in await self._in_database(store.destinations_with_work):
                    self._look_at(destination_id)
            except DatabaseError as error:
                log.warning("outbox_can_not_be_read", error=str(error)[:200])
            await asyncio.sleep(_LOOK_EVERY_S * random.uniform(0.7, 1.0))  # noqa: S311 (no secret)
        runners = [d.runner for d in self._destinations.values() if d.runner is not None]
        await asyncio.gather(*runners, return_exceptions=True)
        for destination in self._destinations.values():
            if destination.session is not None:
                await destination.session.close()

    def _look_at(self, destination_id: int) -> None:
        destination = self._destinations.setdefault(destination_id, _Destination(destination_id))
        destination.has_news = True
        if destination.runner is None and not self._stopping and time.monotonic() >= destination.closed_until:
            destination.runner = self._loop.create_task(self._serve(destination))

    async def _serve(self, destination: _Destination) -> None:
        try:
            if destination.session is None:
                destination.session = client.open_session()
            await self._deliver(destination)
        except DatabaseError as error:
            # What was sent and could not be settled is sent again when its lease ends: at least once.
            log.warning("outbox_not_settled", destination=destination.id, error=str(error)[:200])
            destination.closed_until = time.monotonic() + 0.5
        except Exception:  # the courier must live; what was claimed comes back when its lease ends
            log.exception("destination_failed", destination=destination.id)
            destination.closed_until = time.monotonic() + 5.0
        finally:
            destination.runner = None

    async def _deliver(self, destination: _Destination) -> None:
        sending = destination.sending
        while sending or destination.has_news:
            destination.has_news = False
            room = self._room(destination)
            claimed = await self._in_database(_claim, destination.id, room) if room else []
            if claimed:
                destination.has_news = True  # perhaps there is more
                urls = await self._in_database(_urls_for, destination.id, claimed)
                for message, url in zip(claimed, urls, strict=True):
                    sending[self._loop.create_task(self._send(destination, message, url))] = message
            if not sending:
                continue
            done, _ = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
            if len(done) < len(sending):
                more, _ = await asyncio.wait(sending, timeout=_COMPANY_S)
                done |= more
            results = [(sending.pop(task), task.result()) for task in done]
            self._learn(destination, results)
            told = await self._in_database(_settle, results)
            for told_id in told:
                self._look_at(told_id)
            destination.has_news = True

    def _room(self, destination: _Destination) -> int:
        if self._stopping or time.monotonic() < destination.closed_until:
            return 0
        if destination.failures_in_a_row >= _BREAKER_AFTER:
            return 0 if destination.sending else 1  # one message finds out whether it is back
        room: int = settings.OUTBOX_CONCURRENCY - len(destination.sending)
        batch: int = settings.OUTBOX_BATCH
        return max(0, min(batch, room))

    async def _send(self, destination: _Destination, message: Claimed, url: str | None) -> Answer:
        if url is None:
            return Answer(0, "the participant has no endpoint for this; register one by POST .../endpoints")
        assert destination.session is not None
        try:
            headers = message.headers
            if message.signed_by_hub:
                headers = await self._loop.run_in_executor(self._database, self._key.headers_for, message)
            return await client.send(destination.session, message, url, headers)
        except Exception as error:  # one message that can not be sent must not hold up the others
            log.exception("message_can_not_be_sent", message=message.id)
            return Answer(0, f"can not be sent: {type(error).__name__}: {error}")

    def _learn(self, destination: _Destination, results: Sequence[tuple[Claimed, Answer]]) -> None:
        for _, answer in results:
            # Only silence and server errors speak against the destination; a refusal is an answer.
            destination.failures_in_a_row = (
                destination.failures_in_a_row + 1 if answer.status == 0 or answer.status >= 500 else 0
            )
        over = destination.failures_in_a_row - _BREAKER_AFTER
        if over >= 0:
            pause = min(_BREAKER_MOST_S, 0.5 * 2 ** min(over, 6))
            destination.closed_until = time.monotonic() + pause
            log.warning("destination_paused", destination=queries.known_name(destination.id), seconds=pause)

    async def _in_database(self, work: Callable[..., T], *arguments: object) -> T:
        return await self._loop.run_in_executor(self._database, _with_fresh_connection, work, *arguments)


def _with_fresh_connection(work: Callable[..., T], *arguments: object) -> T:
    close_old_connections()
    try:
        return work(*arguments)
    except DatabaseError:
        connection.close()
        raise


def _claim(destination_id: int, limit: int) -> list[Claimed]:
    return store.claim(destination_id, limit=limit, lease_s=settings.OUTBOX_LEASE_S)


def _urls_for(destination_id: int, messages: Sequence[Claimed]) -> list[str | None]:
    registered = queries.endpoints_of([destination_id])[destination_id]
    queries.name_of(destination_id)  # remembered for the log
    return [endpoints.url_for(registered, message.method, message.path) for message in messages]


def _settle(results: Sequence[tuple[Claimed, Answer]]) -> set[int]:
    """Writes what came of these messages; returns the participants that must be told that theirs failed."""
    store.delivered([(message.id, answer.status) for message, answer in results if answer.is_taken])
    failed = [failures.judge(message, answer) for message, answer in results if not answer.is_taken]
    for message, answer in results:
        metrics.count(message, answer)
    return failures.settle(failed)
