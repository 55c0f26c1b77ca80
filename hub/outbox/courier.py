"""Delivers the outbox: claims due messages, sends them concurrently, and stores the results.

Each worker process has one courier: an event loop in its own thread. A courier checks for messages when it receives a
notification (`hub.outbox.wakeup`), and also once a second. If a notification is lost or Redis fails, messages are sent
up to a second later, but no message is lost.

A courier claims messages for all destinations in one database transaction, and stores all results in a second database
transaction. For each destination, the number of open requests and the size of their bodies are limited. One source can
use only a part of these open requests. A destination that does not respond is paused separately
(`hub.outbox.destination_pauses`), so it does not delay other destinations.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection

from hub.cpu_use import cpus
from hub.http_client import Curl
from hub.outbox import claims, client, delivery_delay, metrics, retries, store, wakeup
from hub.outbox.addresses import Addresses
from hub.outbox.claims import Claim, Claimed, Room
from hub.outbox.client import Answer
from hub.outbox.destination_pauses import Destination, open_by_source
from hub.participants import queries
from hub.sql_execution import is_away, is_of_some_rows, is_outdated, work_by_keys

log = structlog.get_logger("outbox")
T = TypeVar("T")

_LOOK_EVERY_S = 1.0
# How long the courier collects results before it stores them together, and how long it waits between two claims. Each
# pair contains two times: for idle CPUs and for busy CPUs.
_COMPANY_S = 0.005, 0.045
_BETWEEN_CLAIMS_S = 0.003, 0.03
_PAUSE_S = 0.5  # the pause after a failure of the database
_PUT_OFF_AT_MOST = 3000  # the largest number of messages that one regular check postpones
_SPOILT_S = 60.0  # how long the courier skips a message that the database cannot return


class Courier:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._destinations: dict[int, Destination] = {}
        self._addresses = Addresses()
        self._is_stopping = False
        self._news = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._finished: list[tuple[Claimed, Answer]] = []
        self._left_alone: list[tuple[Claimed, float]] = []
        # for each skipped message's id: the time until which the courier skips the message
        self._spoilt: dict[int, float] = {}
        self._has_finished = asyncio.Event()
        self._database = ThreadPoolExecutor(
            max_workers=3, thread_name_prefix="courier-database", initializer=work_by_keys
        )
        self._signing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="courier-signing")
        self._key = client.HubKey()
        self._delay = delivery_delay.Publisher()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stops the courier. The courier claims no more messages, waits until the messages in progress have been sent,
        and stores their results."""
        self._is_stopping = True
        self._loop.call_soon_threadsafe(self._news.set)
        self._thread.join(timeout_s)

    # --- in the loop ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._live())

    async def _live(self) -> None:
        self._curl = Curl()
        works = (self._look_regularly(), self._give_up_regularly(), wakeup.listen(self._look_at))
        helpers = [self._loop.create_task(work) for work in works]
        settling = self._loop.create_task(self._settle_what_finished())
        while not self._is_stopping:
            await self._news.wait()
            self._news.clear()
            await self._claim()
            # During this pause, more messages arrive, and the next claim takes them together.
            await asyncio.sleep(_time_of(_BETWEEN_CLAIMS_S))
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*self._sending)
        self._has_finished.set()
        await settling
        self._curl.close()

    async def _look_regularly(self) -> None:
        while True:
            await self._put_off_paused()
            for destination in self._destinations.values():
                destination.checked()
            await self._look(claims.destinations_with_work)
            await asyncio.sleep(_LOOK_EVERY_S * random.uniform(0.7, 1.0))  # noqa: S311 (no secret)

    async def _put_off_paused(self) -> None:
        now, probe_s = time.monotonic(), settings.OUTBOX_TIMEOUT_S
        paused = [each for to in self._destinations.values() for each in to.crowded(now, probe_s=probe_s)]
        if not paused:
            return
        try:
            await self._in_database(partial(claims.put_off_paused, paused, most=_PUT_OFF_AT_MOST))
        except DatabaseError as error:
            log.warning("paused_messages_not_postponed", error=str(error)[:200])
        except Exception:  # an error must not stop the courier
            log.exception("postponing_failed")

    async def _give_up_regularly(self) -> None:
        while True:
            await self._look(retries.give_up_overdue)
            await asyncio.sleep(_LOOK_EVERY_S * random.uniform(0.7, 1.0))  # noqa: S311 (no secret)

    async def _look(self, find: Callable[[], Iterable[int]]) -> None:
        """Calls `find` in a database thread, and makes the courier check the returned destinations for messages."""
        try:
            self._look_at(await self._in_database(find))
        except DatabaseError as error:
            log.warning("outbox_can_not_be_read", error=str(error)[:200])
        except Exception:  # an error must not stop the courier
            log.exception("looking_failed")

    def _look_at(self, destination_ids: Iterable[int]) -> None:
        for destination_id in destination_ids:
            self._destinations.setdefault(destination_id, Destination(destination_id)).has_news = True
        self._news.set()

    async def _claim(self) -> None:
        room = self._room()
        if not room or self._is_stopping:
            return
        for destination_id in room:
            self._destinations[destination_id].has_news = False
        try:
            await self._claim_together_or_alone(room)
        except Exception as error:  # the courier must continue; claimed messages become due again after their lease
            await self._claim_later(dict.fromkeys(room, error))

    async def _claim_together_or_alone(self, room: Mapping[int, Room]) -> None:
        try:
            await self._claim_for(room)
        except DatabaseError as error:
            if _is_connection_lost(error):
                raise
        else:
            return
        alone = (self._claim_alone(destination_id, each) for destination_id, each in room.items())
        outcomes = await asyncio.gather(*alone, return_exceptions=True)
        errors = {id: error for id, error in zip(room, outcomes, strict=True) if isinstance(error, BaseException)}
        if errors:
            await self._claim_later(errors)

    async def _claim_later(self, errors: Mapping[int, BaseException]) -> None:
        """Makes the courier check these destinations again after a pause, because a claim for them has failed. The
        cause of the failure was not a message for one of these destinations."""
        for error in {id(error): error for error in errors.values()}.values():
            if isinstance(error, DatabaseError) and _is_connection_lost(error):
                log.warning("outbox_can_not_be_claimed", error=str(error)[:200])
            else:
                log.error("claim_failed", exc_info=error)
        await asyncio.sleep(_PAUSE_S)
        self._look_at(errors)

    async def _claim_alone(self, destination_id: int, room: Room) -> None:
        """Claims the messages for only one destination, one by one, after a claim for several destinations has failed.
        So one faulty message delays neither other destinations nor the other messages for the same destination.
        """
        try:
            await self._claim_for({destination_id: room}, each_alone=True)
        except DatabaseError as error:
            if _is_connection_lost(error):
                raise
            pause = self._destinations[destination_id].could_not_be_claimed(time.monotonic())
            name = queries.known_name(destination_id)
            log.error("destination_can_not_be_claimed", destination=name, seconds=pause, error=str(error)[:200])

    async def _claim_for(self, room: Mapping[int, Room], *, each_alone: bool = False) -> None:
        open_requests = open_by_source({id: self._destinations[id] for id in room})
        now = time.monotonic()
        self._spoilt = {id: until for id, until in self._spoilt.items() if until > now}
        claimed, claim = await self._in_database(
            self._claim_in_database, room, open_requests, tuple(self._spoilt), each_alone
        )
        now = time.monotonic()
        for message_id in claim.spoilt:
            log.error("message_can_not_be_claimed", message=message_id)
            self._spoilt[message_id] = now + _SPOILT_S
        ages: list[delivery_delay.Age] = []
        postponed = Counter(claim.postponed)
        for message, url in claimed:
            destination = self._destinations[message.destination_id]
            pause = destination.pause_before(message, now, probe_s=settings.OUTBOX_TIMEOUT_S)
            if pause is not None:
                self._left_alone.append((message, pause))
                postponed[message.destination_id, message.source_id] += 1
                self._has_finished.set()
                continue
            if message.attempts == 1:
                ages.append((message.destination_id, message.source_id, message.age_s))
            destination.begins(message)
            task = self._loop.create_task(self._deliver(destination, message, url))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        for (destination_id, source_id), count in postponed.items():
            self._destinations[destination_id].postponed({source_id: count})
        self._delay.saw(ages)
        # When the courier stores the result of an earlier message, it finds the message that waits for the earlier
        # message.
        self._look_at(claim.has_more)

    def _claim_in_database(
        self,
        room: Mapping[int, Room],
        open_requests: Mapping[tuple[int, int], int],
        except_for: Sequence[int],
        each_alone: bool,
    ) -> tuple[list[tuple[Claimed, str | None]], Claim]:
        claim = claims.claim(
            room,
            lease_s=settings.OUTBOX_LEASE_S,
            most_of_one_source=settings.OUTBOX_CONCURRENCY_PER_SOURCE,
            open_requests=open_requests,
            except_for=except_for,
            each_alone=each_alone,
        )
        return list(zip(claim.messages, self._addresses.urls_for(claim.messages), strict=True)), claim

    def _room(self) -> dict[int, Room]:
        now = time.monotonic()
        found: dict[int, Room] = {}
        for destination in self._destinations.values():
            if not destination.has_news:
                continue
            room = destination.room(
                now,
                most=settings.OUTBOX_CONCURRENCY,
                most_at_once=settings.OUTBOX_BATCH,
                most_octets=settings.OUTBOX_OPEN_BYTES,
            )
            if room is not None:
                found[destination.id] = room
        return found

    async def _deliver(self, destination: Destination, message: Claimed, url: str | None) -> None:
        answer = await self._send(message, url)
        # If the source has reached its limit of open requests, claims leave out the source's other messages. So perhaps
        # more messages of the source wait.
        has_limit = destination.open_by_source[message.source_id] >= settings.OUTBOX_CONCURRENCY_PER_SOURCE
        destination.has_news = destination.has_news or has_limit
        destination.ends(message)
        if destination.has_news:  # one more message to this destination can be sent now
            self._news.set()
        if answer.is_silence:
            pause = destination.was_silent(message, time.monotonic())
            if pause:
                log.warning("destination_paused", destination=queries.known_name(destination.id), seconds=pause)
        elif answer.is_unsent:
            destination.was_unsent(message)
        else:
            destination.answered(message)
        message.body = b""  # frees the memory, because the stored result does not contain the body
        self._finished.append((message, answer))
        self._has_finished.set()

    async def _send(self, message: Claimed, url: str | None) -> Answer:
        if url is None:
            no_endpoint = "the participant has no endpoint for this message; register one by POST .../endpoints"
            return Answer(0, no_endpoint, is_unsent=True)
        try:
            headers = message.headers
            if message.signed_by_hub:
                headers = await self._loop.run_in_executor(self._signing, self._key.headers_for, message)
            return await client.send(self._curl, message, url, headers)
        except Exception as error:  # one message that cannot be sent must not delay other messages
            log.exception("message_can_not_be_sent", message=message.id)
            return client.cannot_be_sent(error)

    async def _settle_what_finished(self) -> None:
        while not (self._is_stopping and not self._sending and not self._finished):
            await self._has_finished.wait()
            self._has_finished.clear()
            await asyncio.sleep(_time_of(_COMPANY_S))
            results, self._finished = self._finished, []
            left_alone, self._left_alone = self._left_alone, []
            if not results and not left_alone:
                continue
            try:
                self._look_at(await self._in_database(_settle, results, left_alone))
            except DatabaseError as error:
                # Without a stored result, the message becomes due again after its lease, although it was perhaps sent.
                # So a message sometimes arrives twice, but is never lost.
                log.warning("outbox_not_settled", messages=len(results), error=str(error)[:200])
            except Exception:  # an error must not stop the courier
                log.exception("settling_failed")

    async def _in_database(self, work: Callable[..., T], *arguments: object) -> T:
        return await self._loop.run_in_executor(self._database, _with_fresh_connection, work, *arguments)


def _time_of(pair: tuple[float, float]) -> float:
    """Returns a time between the two times of the pair. The busier the CPUs are, the longer the time is. During a
    longer time, more messages arrive. One statement for many messages costs less than many statements."""
    idle_s, busy_s = pair
    return idle_s + (busy_s - idle_s) * cpus.shortage()


def _is_connection_lost(error: DatabaseError) -> bool:
    return is_away(error) and not is_of_some_rows(error)


def _with_fresh_connection(work: Callable[..., T], *arguments: object) -> T:
    close_old_connections()
    try:
        return work(*arguments)
    except DatabaseError as error:
        connection.close()
        if not is_outdated(error):
            raise
    # The failed statement changed nothing. A new connection prepares all statements again.
    return work(*arguments)


def _settle(results: Sequence[tuple[Claimed, Answer]], left_alone: Sequence[tuple[Claimed, float]]) -> set[int]:
    """Stores the results of these messages. Returns the destinations for which perhaps more messages are due."""
    try:
        found = _settle_together(results, left_alone)
    except DatabaseError as error:
        if _is_connection_lost(error) or len(results) + len(left_alone) < 2:
            raise
        found = _settle_alone(results, left_alone)
    for message, answer in results:
        metrics.count(message, answer)
    return found


def _settle_together(
    results: Sequence[tuple[Claimed, Answer]], left_alone: Sequence[tuple[Claimed, float]]
) -> set[int]:
    waited = store.delivered([(message.id, answer.status) for message, answer in results if answer.is_taken])
    failed = [retries.judge(message, answer) for message, answer in results if not answer.is_taken]
    notified = retries.settle([*failed, *(retries.left_alone(message, seconds) for message, seconds in left_alone)])
    return waited | notified | {failure.message.destination_id for failure in failed}


def _settle_alone(results: Sequence[tuple[Claimed, Answer]], left_alone: Sequence[tuple[Claimed, float]]) -> set[int]:
    """Stores the result of each message in a separate database transaction. So if the database refuses one result, it
    still stores the other results, and the messages of these results are not sent again. Returns the destinations of
    all results, because for each destination a message perhaps waited for one of these deliveries. If the failed
    transaction had already stored the delivery, a new attempt to store it does not find the waiting message.
    """
    found = {message.destination_id for message, _ in results}
    for message, answer in results:
        try:
            found |= _settle_together([(message, answer)], ())
        except DatabaseError as error:
            log.error("message_not_settled", message=message.id, error=str(error)[:200])
    try:
        found |= _settle_together((), left_alone)
    except DatabaseError as error:
        log.error("messages_not_postponed", messages=len(left_alone), error=str(error)[:200])
    return found
