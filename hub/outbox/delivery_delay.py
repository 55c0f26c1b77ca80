"""Measures how long messages wait until couriers send them. Web processes refuse new work if the delay is long.

Couriers measure the wait of messages for each destination. The delay is the shortest of these waits. If a DFSP is slow
or was down, only the messages for this DFSP wait. If a DFSP floods the hub, only the messages that it has caused wait.
If the messages of most sources wait at every destination, the hub itself is too slow. Couriers publish the delay in
Redis for two seconds. Web processes read the delay twice a second in a separate thread, so that no request waits for
Redis. If Redis has no value, web processes compute the delay from the deliveries of the last two seconds.
"""

import threading
import time
from collections.abc import Callable, Iterable
from statistics import median, median_low

import redis
import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from redis.exceptions import RedisError

from hub.outbox.messages import HUB
from hub.sql_execution import execute

log = structlog.get_logger("outbox")

_VALID_S = 2.0
_READ_EVERY_S = 0.5
_PUBLISH_EVERY_S = 0.25
_WINDOW_S = 1.0  # the period whose messages are measured
_MOST = 200  # the deliveries that are read

# The newest delivered messages were the first in their queues. Their rows do not have the source, so each message
# counts as one of a source of its own.
_DELIVERED = """
    SELECT d.destination_id, d.message_id, extract(epoch FROM d.delivered_at - d.created_at)::float8
    FROM (SELECT message_id, destination_id, created_at, delivered_at, attempts
          FROM outbox_delivery ORDER BY message_id DESC LIMIT %s) d
    WHERE d.delivered_at > clock_timestamp() - make_interval(secs => %s) AND d.attempts = 1
"""


Age = tuple[int, int, float]
"""A message's destination and source, and its age in seconds at its first attempt."""


def delay_of(ages: Iterable[Age]) -> float:
    """Returns the delay in seconds.

    The wait at a destination is the median over the sources, so one source alone cannot change it. Returns 0 if fewer
    than two destinations get messages, or if fewer than two participants cause messages. In these cases, the hub cannot
    tell whether the hub or a participant is slow.
    """
    by_destination: dict[int, dict[int, list[float]]] = {}
    sources: set[int] = set()
    for destination_id, source_id, age_s in ages:
        by_destination.setdefault(destination_id, {}).setdefault(source_id, []).append(age_s)
        sources.add(source_id)
    if len(by_destination) < 2 or len(sources - {HUB}) < 2:
        return 0.0
    return min(median_low(map(median, by_source.values())) for by_source in by_destination.values())


def _key() -> str:
    # Two hubs that share one Redis must not read each other's delay.
    return f"kitovu:outbox-delay:{connection.settings_dict['NAME']}"


def _redis() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


class Publisher:
    """Publishes the delay that a courier measures, from a separate thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: list[tuple[float, Age]] = []  # with the time
        self._arrived = threading.Condition()
        self._has_news = False
        self._thread: threading.Thread | None = None

    def saw(self, ages: list[Age]) -> None:
        """Adds the ages of messages to the measurement. Raises no error and never waits."""
        if not ages:
            return
        now = self._clock()
        with self._arrived:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="outbox-delay-publisher", daemon=True)
                self._thread.start()
            self._seen = [each for each in self._seen if each[0] > now - _WINDOW_S]
            self._seen += [(now, age) for age in ages]
            self._has_news = True
            self._arrived.notify()

    def delay_s(self) -> float:
        """Returns the delay, measured by the messages of the last second."""
        since = self._clock() - _WINDOW_S
        return delay_of(age for at, age in self._seen if at > since)

    def _work(self) -> None:
        client = _redis()
        while True:
            with self._arrived:
                while not self._has_news:
                    self._arrived.wait()
                self._has_news = False
            publish(client, self.delay_s())
            time.sleep(_PUBLISH_EVERY_S)


def publish(client: redis.Redis, delay_s: float) -> None:
    """Publishes a delay for two seconds."""
    try:
        client.set(_key(), f"{delay_s:.3f}", px=int(_VALID_S * 1000))
    except (RedisError, OSError) as error:
        log.warning("delay_not_published", error=str(error)[:200])


def published(client: redis.Redis) -> float | None:
    """Returns the delay that a courier published in the last two seconds, or None."""
    try:
        text = client.get(_key())
        return float(text) if text is not None else None  # type: ignore[arg-type]
    except (RedisError, OSError, ValueError):  # ValueError: another program's value
        return None


def delivered() -> float:
    """Returns the delay of the messages that were delivered in the last two seconds."""
    return delay_of((row[0], row[1], row[2]) for row in execute(_DELIVERED, [_MOST, _VALID_S]))


class Reader:
    """Reads the delay for a web process. The delay is 0 until a value was read."""

    def __init__(self) -> None:
        self._delay_s, self._read_at = 0.0, float("-inf")
        self._wanted = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def delay_s(self) -> float:
        """Returns the latest value that the thread has read, and makes the thread read again. Never waits."""
        if self._thread is None or not self._thread.is_alive():
            with self._starting:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._work, name="outbox-delay-reader", daemon=True)
                    self._thread.start()
        self._wanted.set()
        return self._delay_s if time.monotonic() - self._read_at < _VALID_S else 0.0

    def _work(self) -> None:
        client = _redis()
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                delay_s = published(client)
                self._delay_s = delivered() if delay_s is None else delay_s
                self._read_at = time.monotonic()
            except DatabaseError as error:
                log.warning("delay_not_read", error=str(error)[:200])
            except Exception:  # the thread must continue
                log.exception("delay_not_read")
            finally:
                connection.close()  # another thread may need it
            time.sleep(_READ_EVERY_S)


reader = Reader()
