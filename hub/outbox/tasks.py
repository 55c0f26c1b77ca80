"""Pokes: "look now", without payload. At most one outstanding per destination, and none is needed for correctness."""

import threading
from collections.abc import Collection

import structlog
from celery import shared_task, signals
from django.core.cache import cache
from kombu.exceptions import KombuError, OperationalError
from redis.exceptions import RedisError

from hub.outbox.courier import Courier

log = structlog.get_logger("outbox")

_OUTSTANDING_S = 1
_PAUSE_S = 1.0
_courier: Courier | None = None


@signals.worker_process_init.connect
def _start_courier(**_: object) -> None:
    global _courier
    _courier = Courier()
    _courier.start()


@signals.worker_process_shutdown.connect
def _stop_courier(**_: object) -> None:
    if _courier is not None:
        _courier.stop(timeout_s=8.0)


@shared_task(name="hub.outbox.tasks.look_now", ignore_result=True)
def look_now(destination_id: int) -> None:
    """This destination has work: tells the courier of the worker process that happened to get the task."""
    cache.delete(f"poke:{destination_id}")
    if _courier is not None:
        _courier.nudge(destination_id)


class _Poker:
    """Sends pokes from a thread of its own: a Redis that hangs must not hold up a commit."""

    def __init__(self) -> None:
        self._waiting: set[int] = set()
        self._arrived = threading.Condition()
        self._thread: threading.Thread | None = None

    def poke(self, destination_ids: Collection[int]) -> None:
        if not destination_ids:
            return
        with self._arrived:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="poker", daemon=True)
                self._thread.start()
            self._waiting.update(destination_ids)
            self._arrived.notify()

    def _work(self) -> None:
        pause = threading.Event()
        while True:
            with self._arrived:
                while not self._waiting:
                    self._arrived.wait()
                destinations, self._waiting = self._waiting, set()
            try:
                for destination_id in destinations:
                    if cache.add(f"poke:{destination_id}", 1, timeout=_OUTSTANDING_S):
                        look_now.apply_async((destination_id,), retry=False)
            except (RedisError, KombuError, OperationalError, OSError) as error:
                log.warning("poke_lost", error=str(error)[:200])  # the couriers look once a second anyway
                pause.wait(_PAUSE_S)


_poker = _Poker()
poke = _poker.poke
