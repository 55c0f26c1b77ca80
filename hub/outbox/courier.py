"""Delivers the outbox: claims due messages, sends them concurrently, settles what came of them.

Each worker process has one courier, an event loop in a thread of its own. It looks when it hears the bell
(`hub.outbox.bell`) and once a second in any case, so that a lost ring, or a lost Redis, costs a second and never a
message. One statement claims for all destinations, another settles for all; each destination has a limit of open
requests and a circuit breaker of its own, so one that hangs keeps nobody else waiting.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection

from hub.curl import Curl
from hub.database import work_by_keys
from hub.outbox import bell, client, failures, metrics, store
from hub.outbox.addresses import Addresses
from hub.outbox.client import Answer
from hub.outbox.store import Claimed
from hub.participants import queries

log = structlog.get_logger("outbox")
T = TypeVar("T")

_LOOK_EVERY_S = 1.0
_COMPANY_S = 0.005  # how long a finished message waits for others, to be settled by the same statement
_BETWEEN_CLAIMS_S = 0.01
_BREAKER_AFTER = 5
_BREAKER_MOST_S = 30.0
_PAUSE_S = 0.5  # after the database failed


@dataclass
class _Destination:
    """What this courier knows of one participant. Only a hint: another courier knows something else."""

    id: int
    has_news: bool = False
    open_requests: int = 0
    failures_in_a_row: int = 0
    closed_until: float = 0.0


class Courier:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._destinations: dict[int, _Destination] = {}
        self._addresses = Addresses()
        self._is_stopping = False
        self._news = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._finished: list[tuple[Claimed, Answer]] = []
        self._has_finished = asyncio.Event()
        self._database = ThreadPoolExecutor(
            max_workers=3, thread_name_prefix="courier-database", initializer=work_by_keys
        )
        self._signing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="courier-signing")
        self._key = client.HubKey()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Takes no more, waits for what is being sent, settles it."""
        self._is_stopping = True
        self._loop.call_soon_threadsafe(self._news.set)
        self._thread.join(timeout_s)

    # --- in the loop ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._live())

    async def _live(self) -> None:
        self._curl = Curl()
        helpers = [self._loop.create_task(work) for work in (self._look_regularly(), bell.listen(self._look_at))]
        settling = self._loop.create_task(self._settle_what_finished())
        while not self._is_stopping:
            await self._news.wait()
            self._news.clear()
            await self._claim()
            await asyncio.sleep(_BETWEEN_CLAIMS_S)  # what comes meanwhile is claimed together
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*self._sending)
        self._has_finished.set()
        await settling
        self._curl.close()

    async def _look_regularly(self) -> None:
        while True:
            try:
                self._look_at(await self._in_database(store.destinations_with_work))
            except DatabaseError as error:
                log.warning("outbox_can_not_be_read", error=str(error)[:200])
            await asyncio.sleep(_LOOK_EVERY_S * random.uniform(0.7, 1.0))  # noqa: S311 (no secret)

    def _look_at(self, destination_ids: Iterable[int]) -> None:
        for destination_id in destination_ids:
            self._destinations.setdefault(destination_id, _Destination(destination_id)).has_news = True
        self._news.set()

    async def _claim(self) -> None:
        room = {d.id: room for d in self._destinations.values() if d.has_news and (room := self._room(d)) > 0}
        if not room or self._is_stopping:
            return
        for destination_id in room:
            self._destinations[destination_id].has_news = False
        try:
            claimed = await self._in_database(self._claim_in_database, room)
        except DatabaseError as error:
            log.warning("outbox_can_not_be_claimed", error=str(error)[:200])
            await asyncio.sleep(_PAUSE_S)
            return
        except Exception:  # the courier must live; what was claimed comes back when its lease ends
            log.exception("claim_failed")
            await asyncio.sleep(_PAUSE_S)
            return
        for message, url in claimed:
            destination = self._destinations[message.destination_id]
            destination.open_requests += 1
            task = self._loop.create_task(self._deliver(destination, message, url))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        # After a full claim there may be more now; what waits for a predecessor is looked at when that is settled.
        taken = [message.destination_id for message, _ in claimed]
        full = [destination_id for destination_id, most in room.items() if taken.count(destination_id) == most]
        if full:
            self._look_at(full)

    def _claim_in_database(self, room: Mapping[int, int]) -> list[tuple[Claimed, str | None]]:
        claimed = store.claim(room, lease_s=settings.OUTBOX_LEASE_S)
        return list(zip(claimed, self._addresses.urls_for(claimed), strict=True))

    def _room(self, destination: _Destination) -> int:
        if time.monotonic() < destination.closed_until:
            return 0
        if destination.failures_in_a_row >= _BREAKER_AFTER:
            return 0 if destination.open_requests else 1  # one message finds out whether it is back
        room: int = settings.OUTBOX_CONCURRENCY - destination.open_requests
        batch: int = settings.OUTBOX_BATCH
        return min(batch, room)

    async def _deliver(self, destination: _Destination, message: Claimed, url: str | None) -> None:
        answer = await self._send(message, url)
        destination.open_requests -= 1
        self._learn(destination, answer)
        self._finished.append((message, answer))
        self._has_finished.set()

    async def _send(self, message: Claimed, url: str | None) -> Answer:
        if url is None:
            return Answer(0, "the participant has no endpoint for this; register one by POST .../endpoints")
        try:
            headers = message.headers
            if message.signed_by_hub:
                headers = await self._loop.run_in_executor(self._signing, self._key.headers_for, message)
            return await client.send(self._curl, message, url, headers)
        except Exception as error:  # one message that can not be sent must not hold up the others
            log.exception("message_can_not_be_sent", message=message.id)
            return Answer(0, f"can not be sent: {type(error).__name__}: {error}")

    def _learn(self, destination: _Destination, answer: Answer) -> None:
        # Only silence and server errors speak against the destination; a refusal is an answer.
        if not (answer.status == 0 or answer.status >= 500):
            destination.failures_in_a_row = 0
            return
        if time.monotonic() < destination.closed_until:
            return  # it was sent before the pause, and failed for the same reason
        destination.failures_in_a_row += 1
        over = destination.failures_in_a_row - _BREAKER_AFTER
        if over >= 0:
            pause = min(_BREAKER_MOST_S, 0.5 * 2 ** min(over, 6))
            destination.closed_until = time.monotonic() + pause
            log.warning("destination_paused", destination=queries.known_name(destination.id), seconds=pause)

    async def _settle_what_finished(self) -> None:
        while not (self._is_stopping and not self._sending and not self._finished):
            await self._has_finished.wait()
            self._has_finished.clear()
            await asyncio.sleep(_COMPANY_S)
            results, self._finished = self._finished, []
            if not results:
                continue
            try:
                self._look_at(await self._in_database(_settle, results))
            except DatabaseError as error:
                # What was sent and could not be settled is sent again when its lease ends: at least once.
                log.warning("outbox_not_settled", messages=len(results), error=str(error)[:200])
            except Exception:  # the courier must live
                log.exception("settling_failed")
            self._look_at({message.destination_id for message, _ in results})

    async def _in_database(self, work: Callable[..., T], *arguments: object) -> T:
        return await self._loop.run_in_executor(self._database, _with_fresh_connection, work, *arguments)


def _with_fresh_connection(work: Callable[..., T], *arguments: object) -> T:
    close_old_connections()
    try:
        return work(*arguments)
    except DatabaseError:
        connection.close()
        raise


def _settle(results: Sequence[tuple[Claimed, Answer]]) -> set[int]:
    """Writes what came of these messages; returns the participants that must be told that theirs failed."""
    store.delivered([(message.id, answer.status) for message, answer in results if answer.is_taken])
    failed = [failures.judge(message, answer) for message, answer in results if not answer.is_taken]
    for message, answer in results:
        metrics.count(message, answer)
    return failures.settle(failed)
