"""Notifies couriers through Redis that messages wait for certain destinations. A lost notification delays messages only
a little, because couriers also check the outbox each second.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterable

import redis
import structlog
from django.conf import settings
from django.db import connection
from redis import asyncio as redis_asyncio
from redis.exceptions import RedisError

log = structlog.get_logger("outbox")

_MOST_WAITING = 1000  # further notifications are dropped, so that only the messages are delayed
_COMPANY_S = 0.002  # pause between two notifications, to collect more messages
_LISTEN_S = 2
_DEAF_S = 0.008  # the pause after a notification; it is shorter than a courier's pause between two claims
_PAUSE_S = 1.0


def _key() -> str:
    # If two hubs share a Redis, each hub must receive only its own notifications.
    return f"kitovu:outbox-bell:{connection.settings_dict['NAME']}"


class Ringer:
    """Sends notifications in a separate thread, so that requests do not wait if Redis hangs."""

    def __init__(self) -> None:
        self._waiting: set[int] = set()
        self._arrived = threading.Condition()
        self._thread: threading.Thread | None = None

    def ring(self, destination_ids: Collection[int]) -> None:
        """Makes the separate thread notify the couriers about these destinations. Does not wait for Redis. If Redis
        fails, raises no error."""
        if not destination_ids:
            return
        with self._arrived:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="outbox-ringer", daemon=True)
                self._thread.start()
            self._waiting.update(destination_ids)
            self._arrived.notify()

    def _work(self) -> None:
        client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
        key = _key()
        while True:
            with self._arrived:
                while not self._waiting:
                    self._arrived.wait()
                destinations, self._waiting = self._waiting, set()
            try:
                if client.lpush(key, *destinations) > _MOST_WAITING:  # type: ignore[operator]
                    client.ltrim(key, 0, _MOST_WAITING - 1)
                time.sleep(_COMPANY_S)
            except (RedisError, OSError) as error:
                log.warning("bell_not_rung", error=str(error)[:200])
                time.sleep(_PAUSE_S)


async def listen(heard: Callable[[Iterable[int]], None]) -> None:
    """Waits for notifications in an endless loop, and calls `heard` with the destinations of each notification. Each
    notification reaches only one courier."""
    client = redis_asyncio.Redis.from_url(
        settings.REDIS_URL, socket_timeout=_LISTEN_S + 3, socket_connect_timeout=1, decode_responses=True
    )
    key = _key()
    while True:
        try:
            found = await client.blmpop(_LISTEN_S, 1, key, direction="LEFT", count=_MOST_WAITING)
            if found is None:
                continue
            heard({int(text) for text in found[1]})
            await asyncio.sleep(_DEAF_S)
        except (RedisError, OSError, ValueError) as error:  # ValueError: another program has written the value
            log.warning("bell_not_heard", error=str(error)[:200])
            await asyncio.sleep(_PAUSE_S)


_ringer = Ringer()
ring = _ringer.ring
