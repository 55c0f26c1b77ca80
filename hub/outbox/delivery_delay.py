"""Measures how long messages wait in the outbox until couriers send them. If messages wait too long, web processes
refuse new work. Couriers measure this wait for each destination and each source, and compute two delays:

- The hub's delay is the wait at the destination with the shortest wait. If a DFSP is slow or was down, only the
  messages for this DFSP wait. If a DFSP floods the hub with requests, all waiting messages are messages that this DFSP
  has caused. If the messages of most sources wait at every destination, the hub itself is too slow.
- A source's delay is the shortest wait of the source's own messages at any destination. The source's own endpoint
  is one of these destinations. So other participants cannot raise a source's delay while the hub is quick, even if
  several participants act together.

The hub refuses new work of a source only if both delays are long: the hub's delay and the source's delay. Couriers
publish the delays in Redis, where they expire after two seconds. Web processes read the delays twice a second in a
separate thread, so no request waits for Redis. If Redis contains no delays, web processes refuse no requests because of
delays.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median, median_low

import orjson
import redis
import structlog
from django.conf import settings
from django.db import connection
from redis.exceptions import RedisError

from hub.outbox.messages import HUB

log = structlog.get_logger("outbox")

_VALID_S = 2.0
_READ_EVERY_S = 0.5
_PUBLISH_EVERY_S = 0.25
_WINDOW_S = 1.0  # the delays result from the messages of this period

Age = tuple[int, int, float]
"""Three values of a message: the destination, the source, and the message's age in seconds at the first attempt to send
it."""


def delay_of(ages: Iterable[Age]) -> float:
    """Returns the delay of the hub in seconds.

    For each destination, takes the median of the sources' waits, so that one source alone cannot determine the result.
    Then returns the shortest of these medians. With only one destination or one source, the function returns 0, because
    nobody can then decide whether the hub or a participant is slow.
    """
    by_destination: dict[int, dict[int, list[float]]] = {}
    sources: set[int] = set()
    for destination_id, source_id, age_s in ages:
        by_destination.setdefault(destination_id, {}).setdefault(source_id, []).append(age_s)
        sources.add(source_id)
    if len(by_destination) < 2 or len(sources - {HUB}) < 2:
        return 0.0
    return min(median_low(map(median, by_source.values())) for by_source in by_destination.values())


@dataclass(frozen=True, slots=True)
class Delays:
    """The delay of the hub and the delay of each source, in seconds."""

    of_hub: float = 0.0
    of_sources: Mapping[int, float] = field(default_factory=dict)

    def for_source(self, source_id: int | None) -> float:
        """Returns the delay that decides about new work of this source: the hub's delay or the source's delay,
        whichever is shorter. The source's delay is 0 if none of its messages was sent recently.
        """
        return min(self.of_hub, self.of_sources.get(source_id, 0.0)) if source_id is not None else 0.0

    def write(self) -> bytes:
        """Returns the delays as the text for Redis. If the hub's delay is 0, the sources' delays have no effect, and
        the text does not contain them."""
        sources = {str(source_id): round(delay_s, 3) for source_id, delay_s in self.of_sources.items()}
        return orjson.dumps({"hub": round(self.of_hub, 3), "sources": sources if self.of_hub else {}})

    @classmethod
    def read(cls, text: bytes) -> "Delays":
        """Reads the delays from the text in Redis. Raises ValueError for any other text, because perhaps another
        program has written the text."""
        try:
            found = orjson.loads(text)
            return cls(float(found["hub"]), {int(id): float(each) for id, each in found["sources"].items()})
        except (TypeError, KeyError, AttributeError):
            raise ValueError("these are no delays") from None


def delays_of(ages: Iterable[Age]) -> Delays:
    """Returns the delays of the hub and of each source."""
    seen = list(ages)
    by_source: dict[int, dict[int, list[float]]] = {}
    for destination_id, source_id, age_s in seen:
        by_source.setdefault(source_id, {}).setdefault(destination_id, []).append(age_s)
    of_sources = {source_id: min(map(median, at.values())) for source_id, at in by_source.items() if source_id != HUB}
    return Delays(delay_of(seen), of_sources)


def _key() -> str:
    # If two hubs share a Redis, each hub must read only its own delays.
    return f"kitovu:outbox-delay:{connection.settings_dict['NAME']}"


def _redis() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


class Publisher:
    """Publishes the delays that a courier measures. The publication runs in a separate thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: list[tuple[float, Age]] = []  # with the time
        self._arrived = threading.Condition()
        self._has_news = False
        self._thread: threading.Thread | None = None

    def saw(self, ages: list[Age]) -> None:
        """Adds these ages to the measurement. Does not wait for Redis. If Redis fails, raises no error."""
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

    def delays(self) -> Delays:
        """Computes and returns the delays for the messages of the last second."""
        since = self._clock() - _WINDOW_S
        return delays_of(age for at, age in self._seen if at > since)

    def _work(self) -> None:
        client = _redis()
        is_delayed = False
        while True:
            with self._arrived:
                # Even if no more messages arrive after a delay, this thread publishes that the delay has ended.
                self._arrived.wait_for(lambda: self._has_news, timeout=_WINDOW_S if is_delayed else None)
                self._has_news = False
            found = self.delays()
            is_delayed = found.of_hub > 0
            publish(client, found)
            time.sleep(_PUBLISH_EVERY_S)


def publish(client: redis.Redis, delays: Delays) -> None:
    """Publishes delays in Redis, where they expire after two seconds."""
    try:
        client.set(_key(), delays.write(), px=int(_VALID_S * 1000))
    except (RedisError, OSError) as error:
        log.warning("delay_not_published", error=str(error)[:200])


def published(client: redis.Redis) -> Delays:
    """Returns the delays that a courier has published in the last two seconds. If there are none, all delays are 0."""
    try:
        text = client.get(_key())
        return Delays.read(text) if text is not None else Delays()  # type: ignore[arg-type]
    except (RedisError, OSError, ValueError):  # ValueError: another program has written this value
        return Delays()


class Reader:
    """Reads the delays for a web process. Until the first read from Redis, all delays are 0."""

    def __init__(self) -> None:
        self._delays, self._read_at = Delays(), float("-inf")
        self._wanted = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def delay_s(self, source_id: int | None) -> float:
        """Returns the delay that decides about new work of this source. Makes the separate thread read the delays
        again, but does not wait for this thread."""
        if self._thread is None or not self._thread.is_alive():
            with self._starting:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._work, name="outbox-delay-reader", daemon=True)
                    self._thread.start()
        self._wanted.set()
        return self._delays.for_source(source_id) if time.monotonic() - self._read_at < _VALID_S else 0.0

    def _work(self) -> None:
        client = _redis()
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                self._delays = published(client)
                self._read_at = time.monotonic()
            except Exception:  # an error must not end the thread
                log.exception("delay_not_read")
            time.sleep(_READ_EVERY_S)


reader = Reader()
