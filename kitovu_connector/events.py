"""Reports to the core that a payment has ended: by a signed webhook, and by handlers in the connector's own process.

One database transaction stores both the event and the change that it reports, so no event is lost. The connector
repeats an event until the core has accepted it, even after a restart. The signature follows the Standard Webhooks
specification.
"""

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import aiohttp
import msgspec
import structlog

from kitovu_connector import asking_the_core, event_messages, event_records, logs
from kitovu_connector.background import Background
from kitovu_connector.config import Config, ConfigError
from kitovu_connector.event_messages import Event
from kitovu_connector.event_records import EventRecord
from kitovu_connector.payment_and_quote_records import Store
from kitovu_connector.record_store import Records

log = structlog.get_logger(__name__)

Handler = Callable[[Event], Awaitable[None]]

_SECRET = "whsec_"  # noqa: S105 (the beginning of every secret)
_LEAST_BYTES = 24
_AT_ONCE = 16
_PAGE = 200
_LOOK_AGAIN_S = 0.5
_PAUSE_AT_MOST_S = 60.0
_KEPT_S = 86_400.0


class Events:
    """The events of one DFSP."""

    def __init__(self, config: Config, store: Store, handlers: Sequence[Handler]) -> None:
        self._config, self._handlers = config, handlers
        self._key = key_of(config)
        self._records = Records(store.database, "event", EventRecord)
        self._background = Background()
        self._session: aiohttp.ClientSession | None = None
        if self.is_wanted:
            store.database.describe = event_records.describe

    @property
    def is_wanted(self) -> bool:
        """Whether events have a recipient: a webhook, or a handler."""
        return bool(self._config.webhook_url or self._handlers)

    async def resume(self) -> None:
        """Begins to send events to the core. First sends the events that an earlier run of the connector has not sent.

        After a takeover of records, also sends the events of the instance that has stopped.
        """
        if not self.is_wanted or self._session is not None:
            return
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._config.request_s, sock_connect=3),
            connector=aiohttp.TCPConnector(limit=_AT_ONCE),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._background.start(self._run())
        self._background.start(self._records.delete_old(_KEPT_S))

    async def close(self) -> None:
        """Stops immediately. No event is lost, because every event is already stored."""
        await self._background.close()
        if self._session is not None:
            await self._session.close()

    async def _run(self) -> None:
        while True:
            try:
                told = await self._tell_due()
            except Exception as error:  # an error such as a full disk must not end this task
                log.error("events_not_told", error=logs.trace_of(error))
                told = 0
            if not told:
                await asyncio.sleep(_LOOK_AGAIN_S)

    async def _tell_due(self) -> int:
        """Sends the events that are due now. Returns the number of events that the core accepted."""
        due = [event for age, event in await self._records.oldest_open(_PAGE) if age >= _pause(event.tries)]
        places = asyncio.Semaphore(_AT_ONCE)

        async def tell(event: EventRecord) -> bool:
            async with places:
                return await self._tell(event)

        return sum(await asyncio.gather(*map(tell, due)))

    async def _tell(self, event: EventRecord) -> bool:
        try:
            await self._send(event)
        except Exception as error:
            reason = f"HTTP {error.status}" if isinstance(error, _NotTaken) else logs.trace_of(error)
            log.warning("core_not_told", event_id=event.id, tries=event.tries + 1, why=reason)
            is_over = time.time() - event.created_at >= self._config.webhook_give_up_s
            if is_over:
                log.error("event_given_up", event_id=event.id)
            state = "GIVEN_UP" if is_over else event.state
            await self._records.save(event, msgspec.structs.replace(event, tries=event.tries + 1, state=state))
            return False
        await self._records.save(event, msgspec.structs.replace(event, state="DELIVERED"))
        return True

    async def _send(self, event: EventRecord) -> None:
        for handler in self._handlers:
            handle = partial(handler, event_messages.read(event.body))
            # a handler that hangs must not delay the other events
            await asking_the_core.timely(handle, self._config.request_s)
        if not self._config.webhook_url:
            return
        assert self._session is not None
        headers = headers_of(self._key, event.id, str(int(time.time())), event.body)
        async with self._session.post(
            self._config.webhook_url, data=event.body, headers=headers, allow_redirects=False
        ) as response:
            if not 200 <= response.status < 300:
                raise _NotTaken(response.status)


class _NotTaken(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def headers_of(key: bytes, event_id: str, timestamp: str, body: bytes) -> dict[str, str]:
    """Returns the headers of a signed event."""
    return {
        "Content-Type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(key, event_id, timestamp, body),
    }


def signature(key: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    """Returns the header webhook-signature."""
    digest = hmac.digest(key, f"{event_id}.{timestamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(digest).decode()


def key_of(config: Config) -> bytes:
    """Returns the key that signs the events. Raises ConfigError if the secret has a form that is not permitted."""
    if not config.webhook_url:
        return b""
    text = config.webhook_secret
    if not text:
        try:
            text = Path(config.webhook_secret_file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"webhook_secret_file cannot be read: {error}") from None
    try:
        key = base64.b64decode(text.removeprefix(_SECRET), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(_SECRET) or len(key) < _LEAST_BYTES:
        raise ConfigError(f"webhook_secret must be {_SECRET} and the base64 of {_LEAST_BYTES} random bytes or more")
    return key


def _pause(tries: int) -> float:
    return min(2.0 ** min(tries - 1, 10), _PAUSE_AT_MOST_S) if tries else 0.0
