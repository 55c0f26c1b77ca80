"""Relays callbacks between the instances of one connector. These instances share one database.

The hub sends its callbacks to any instance. For some callbacks, such as the answer to a lookup, only one instance knows
about the waiting caller. The callback can arrive at another instance. The receiving instance stores the callback, and
the other instances read the callback within milliseconds. If a callback is lost, no harm results, because the connector
repeats the request.
"""

import time
from collections import Counter

import msgspec
import structlog

from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector.background import Background
from kitovu_connector.group_commit import Connection, Database, Row
from kitovu_connector.inbound_message import Handler, Message

log = structlog.get_logger(__name__)

TOPIC = "relayed"
_KEPT_S = 60.0
_PAGE = 100
# Limits for each sender, because anybody can send callbacks for which no caller waits.
_MOST_A_SECOND = 200
_MOST_BYTES_AT_ONCE = 16 * 1024 * 1024  # three of the largest callbacks
_MOST_BYTES_A_SECOND = 512 * 1024  # the most bytes that one sender may send on average
# The subquery gives one value for all rows, so that PostgreSQL can use the index.
DELETE_OLD = "DELETE FROM relayed WHERE changed_at < (SELECT seconds_now()) - ?"


class Relayed(msgspec.Struct, frozen=True, kw_only=True):
    """A callback in its stored form. The instance that received the callback has verified the callback's sender."""

    route: str
    names: dict[str, str]
    headers: dict[str, str]
    raw: bytes
    source: str
    sent_at: float
    is_from_hub: bool
    came_via_hub: bool


class Relay:
    """Sends callbacks to the other instances, and receives callbacks from them."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._handlers: dict[str, Handler] = {}
        self._background = Background()
        self._second, self._sent = 0, Counter[str]()
        self._bytes: dict[
            str, float
        ] = {}  # for each sender: the bytes that it has sent, minus the bytes that the limit has allowed since then
        self._last = 0
        self._is_behind = False  # a notification has arrived since the previous read

    async def start(self) -> None:
        """Reads the number of the latest stored callback, because earlier callbacks do not concern this instance."""

        def job(conn: Connection) -> int:
            row = conn.execute("SELECT coalesce(max(id), 0) AS last FROM relayed").fetchone()
            assert row is not None
            return int(row["last"])

        self._last = await self._db.read(job)

    def add(self, route: str, handler: Handler) -> None:
        """Registers the function that handles the callbacks of one route."""
        self._handlers[route] = handler

    async def close(self) -> None:
        """Stops all handlers."""
        await self._background.close()

    async def publish(self, route: str, message: Message) -> None:
        """Stores a callback for the other instances. Raises FspiopError 2005 if the sender of the callback has sent too
        many callbacks or too many bytes.

        The hub itself may send one callback for each of this DFSP's waiting requests.
        """
        if not message.is_from_hub:
            self._check_rate(message.source, len(message.raw))
        relayed = Relayed(
            route=route,
            names=dict(message.names),
            headers=dict(message.headers),
            raw=message.raw,
            source=message.source,
            sent_at=message.sent_at,
            is_from_hub=message.is_from_hub,
            came_via_hub=message.came_via_hub,
        )

        def job(conn: Connection) -> None:
            conn.execute(DELETE_OLD, (_KEPT_S,))
            conn.execute(
                "INSERT INTO relayed (sender, message, changed_at) VALUES (?, ?, seconds_now())",
                (self._db.instance, msgspec.json.encode(relayed)),
            )
            self._db.tell(conn, TOPIC, "")

        await self._db.write(job)

    def read(self) -> None:
        """Reads the callbacks that the other instances have stored, and passes them to this instance's handlers."""
        self._is_behind = True
        self._background.start_once(TOPIC, self._read_all)

    async def _read_all(self) -> None:
        def job(conn: Connection) -> list[Row]:
            return conn.execute(
                "SELECT id, sender, message FROM relayed WHERE id > ? ORDER BY id LIMIT ?", (self._last, _PAGE)
            ).fetchall()

        while self._is_behind:
            self._is_behind = False
            rows = await self._db.read(job)
            for row in rows:
                self._last = row["id"]
                if row["sender"] != self._db.instance:
                    self._background.start(self._handle(msgspec.json.decode(row["message"], type=Relayed)))
            self._is_behind = self._is_behind or len(rows) == _PAGE

    async def _handle(self, relayed: Relayed) -> None:
        handler = self._handlers.get(relayed.route)
        if handler is None:
            return
        message = Message(
            names=relayed.names,
            headers=relayed.headers,
            raw=relayed.raw,
            source=relayed.source,
            sent_at=relayed.sent_at,
            is_from_hub=relayed.is_from_hub,
            came_via_hub=relayed.came_via_hub,
        )
        try:
            await handler(message)
        except FspiopError as error:
            if message.is_awaited is not False:  # False if no caller in this instance waits for the callback either
                log.warning("message_refused", route=relayed.route, source=relayed.source, code=error.code)

    def _check_rate(self, sender: str, size: int) -> None:
        now = int(time.monotonic())
        if self._second != now:
            allowed = (now - self._second) * _MOST_BYTES_A_SECOND
            self._bytes = {name: sent - allowed for name, sent in self._bytes.items() if sent > allowed}
            self._second, self._sent = now, Counter()
        self._sent[sender] += 1
        sent = self._bytes.get(sender, 0) + size
        if self._sent[sender] > _MOST_A_SECOND or sent > _MOST_BYTES_AT_ONCE:
            raise FspiopError(ErrorCode.SERVER_BUSY, http_status=503)
        self._bytes[sender] = sent
