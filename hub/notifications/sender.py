"""Sends notifications: checks once a second for due notifications, sends them, and stores the results.

Each worker process has one sender, an event loop in a separate thread. So no Celery task waits for a slow mail server
or a slow receiver of webhooks. E-mails and webhooks have separate limits on the number of messages in progress. For
each recipient, only one message is in progress at a time.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog
from cryptography.fernet import InvalidToken
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection

from hub.encryption import fernet
from hub.http_client import Curl
from hub.notifications import email, metrics, retries, store, webhooks
from hub.notifications.models import Notification
from hub.notifications.retries import Outcome
from hub.notifications.services import SEAL
from hub.notifications.store import Claimed

log = structlog.get_logger("notifications")
T = TypeVar("T")

EMAIL, WEBHOOK = Notification.Channel.EMAIL.value, Notification.Channel.WEBHOOK.value
PLACES = {EMAIL: 4, WEBHOOK: 16}
LEASE_S = 180  # longer than any attempt to send an e-mail: each step of such an attempt can last EMAIL_TIMEOUT
_LOOK_EVERY_S = 1.0
_EXPIRE_EVERY_S = 10.0


class Sender:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._is_stopping = threading.Event()
        self._at_work: dict[str, set[asyncio.Task[None]]] = {channel: set() for channel in PLACES}
        self._database = ThreadPoolExecutor(max_workers=1, thread_name_prefix="notifications-database")
        self._mail = ThreadPoolExecutor(max_workers=PLACES[EMAIL], thread_name_prefix="notifications-mail")
        self._expired_at = 0.0
        self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stops the sender. The sender sends no further messages, and waits until the messages in progress have
        ended."""
        self._is_stopping.set()
        self._thread.join(timeout_s)

    # --- in the loop ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._live())

    async def _live(self) -> None:
        async with Curl() as curl:
            while not self._is_stopping.is_set():
                try:
                    found = await self._look(curl)
                except DatabaseError as error:
                    log.warning("notifications_can_not_be_read", error=str(error)[:200])
                    found = 0
                # the sender must continue; the claimed messages are sent after the end of their lease
                except Exception:
                    log.exception("notifications_failed")
                    found = 0
                if not found:
                    await asyncio.sleep(_LOOK_EVERY_S * random.uniform(0.7, 1.0))  # noqa: S311 (no secret)
            await asyncio.gather(*self._at_work[EMAIL], *self._at_work[WEBHOOK])

    async def _look(self, curl: Curl) -> int:
        """Claims as many due messages as the limits allow, and starts to send them. Returns the number of these
        messages."""
        room = {channel: most - len(self._at_work[channel]) for channel, most in PLACES.items()}
        if time.monotonic() - self._expired_at > _EXPIRE_EVERY_S:
            self._expired_at = time.monotonic()
            await self._in_database(store.expire)
        if not any(room.values()):
            return 0
        claimed = await self._in_database(store.claim, room, lease_s=LEASE_S)
        for message in claimed:
            task = self._loop.create_task(self._send(curl, message))
            self._at_work[message.channel].add(task)
            task.add_done_callback(self._at_work[message.channel].discard)
        return len(claimed)

    async def _send(self, curl: Curl, message: Claimed) -> None:
        try:
            outcome = await self._attempt(curl, message)
            metrics.count(message, outcome)
            await self._in_database(_settle, message, outcome)
        except DatabaseError as error:
            # Without a stored result, the message becomes due again after its lease, although it was perhaps sent. So a
            # recipient sometimes receives a message twice, but no message is lost.
            log.warning("notification_not_settled", notification=message.id, error=str(error)[:200])
        except Exception:  # one faulty message must not delay the other messages
            log.exception("notification_failed", notification=message.id)

    async def _attempt(self, curl: Curl, message: Claimed) -> Outcome:
        if message.channel == WEBHOOK:
            return await webhooks.send(curl, message)
        try:
            text = fernet(SEAL).decrypt(bytes(message.sealed)).decode() if message.sealed else message.text
        except InvalidToken:
            return Outcome(is_sent=False, error="SECRET_KEY was changed: the text is unreadable", is_refusal=True)
        return await self._loop.run_in_executor(self._mail, email.send, message, text)

    async def _in_database(self, work: Callable[..., T], *arguments: object, **options: object) -> T:
        return await self._loop.run_in_executor(
            self._database, lambda: _with_fresh_connection(lambda: work(*arguments, **options))
        )


def _with_fresh_connection(work: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return work()
    except DatabaseError:
        connection.close()
        raise


def _settle(message: Claimed, outcome: Outcome) -> None:
    if outcome.is_sent:
        store.sent(message.id)
        return
    delay_s = retries.delay_s(outcome, attempts=message.attempts, left_s=message.left_s)
    if delay_s is None:
        store.given_up(message, error=outcome.error)
        log.error("notification_given_up", notification=message.id, kind=message.kind)
    else:
        store.failed(message, error=outcome.error, delay_s=delay_s)
