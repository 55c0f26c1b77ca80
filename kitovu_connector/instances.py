"""The instances of one connector, which share one database: leases, takeovers, and notifications of changes.

Each open record has an owner: the instance that continues the work on this record. An instance has a lease, which ends
at a time of the database's clock. The instance renews its lease each second. When the lease of an instance has ended,
another instance becomes the owner of that instance's open records. The new owner continues the work on these records,
as after a restart. If an instance was only slow, it notices that its own lease has ended, and stops.

Each event also has an owner: the instance that sends the event to the core. An instance with neither a webhook nor a
handler for events sends no events, and never becomes the owner of an event.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

import structlog

from kitovu_connector import logs, relay
from kitovu_connector.config import StartError
from kitovu_connector.group_commit import Connection, Database
from kitovu_connector.relay import Relay
from kitovu_connector.state_schema import OPEN_TABLES

log = structlog.get_logger(__name__)

LEASE_S = 5.0
TAKEN_AT_ONCE = 1000
_RENEW_EVERY_S = 1.0
# the pause between two searches for open records whose notification was lost
_LOOK_EVERY_S = 30.0
_FORGET_AFTER_S = 60.0
_LIVES = "lease_until > seconds_now()"


class Continued(Protocol):
    """The interface for those parts of the connector that continue the work on open records."""

    async def resume(self) -> None:
        """Continues the work on this instance's open records, if no task processes them yet."""


class Instances:
    """This instance's lease, the records that this instance takes over, and the notifications from other instances."""

    def __init__(self, database: Database, relay: Relay) -> None:
        self._db, self._relay = database, relay
        self._parts: Sequence[Continued] = ()
        self._changed: Mapping[str, Callable[[str], None]] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def start(self, parts: Sequence[Continued], changed: Mapping[str, Callable[[str], None]]) -> None:
        """Begins a lease, and makes this instance the owner of all open records whose owner has no valid lease.

        `changed` maps each topic to a function. The connector calls this function with the key of a record that another
        instance has changed.

        Raises StartError if another instance sends events to the core, but this instance has no way to send events.
        """
        self._parts, self._changed = parts, changed
        await self._db.write(partial(_join, self._db))
        while await self._db.write(partial(_renew, self._db)) == TAKEN_AT_ONCE:
            pass
        loop = asyncio.get_running_loop()

        def told(topic: str, key: str) -> None:
            with suppress(RuntimeError):  # the event loop is already closed
                loop.call_soon_threadsafe(self._told, topic, key)

        self._db.listen(told)
        self._renewing = asyncio.create_task(self._renew_for_ever())

    async def close(self) -> None:
        """Ends the lease, so that other instances immediately take over the records."""
        if self._renewing is None:
            return
        self._renewing.cancel()
        await asyncio.gather(self._renewing, return_exceptions=True)
        try:
            await self._db.write(lambda conn: conn.execute("DELETE FROM instance WHERE id = ?", (self._db.instance,)))
        except Exception as error:  # if this SQL statement fails, the lease expires by itself later
            log.warning("lease_not_given_up", error=logs.trace_of(error))

    async def _renew_for_ever(self) -> None:
        looked_at = time.monotonic()
        while True:
            try:
                taken = await self._db.write(partial(_renew, self._db))
                if taken:
                    log.warning("taken_over", records=taken)
                if taken == TAKEN_AT_ONCE:  # during the pause, other instances can renew their leases
                    looked_at = -_LOOK_EVERY_S
                    continue
                if taken or time.monotonic() - looked_at >= _LOOK_EVERY_S:
                    looked_at = time.monotonic()
                    self._relay.read()
                    await self._resume()
            except Exception as error:  # the database does not respond for a moment
                log.error("lease_not_renewed", error=logs.trace_of(error))
            await asyncio.sleep(_RENEW_EVERY_S)

    async def _resume(self) -> None:
        for part in self._parts:
            try:
                await part.resume()
            except Exception as error:  # a failure of one part must not stop the other parts
                log.error("not_resumed", part=type(part).__name__, error=logs.trace_of(error))

    def _told(self, topic: str, key: str) -> None:
        try:
            # an empty topic means that notifications may have been lost; waiting tasks also check the state every
            # second
            if topic in ("", relay.TOPIC):
                self._relay.read()
            elif topic in self._changed:
                self._changed[topic](key)
        except Exception as error:
            log.error("change_not_read", topic=topic, error=logs.trace_of(error))


def _join(database: Database, conn: Connection) -> None:
    """Raises StartError if another instance sends events and this instance cannot send events. Otherwise the events of
    this instance would be lost.
    """
    others = conn.execute(f"SELECT DISTINCT tells_events FROM instance WHERE {_LIVES}").fetchall()  # noqa: S608
    tells = {bool(row["tells_events"]) for row in others}
    if True in tells and not _tells_events(database):
        text = "another instance sends events to the core, and this one has neither webhook_url nor a handler"
        raise StartError(f"state: {text}")
    if False in tells and _tells_events(database):
        log.warning("events_of_another_instance_are_not_stored", advice="give every instance the same webhook_url")


def _renew(database: Database, conn: Connection) -> int:
    """Renews this instance's lease. Then makes this instance the owner of records whose owner has no valid lease.
    Returns the number of these records.

    Takes over at most TAKEN_AT_ONCE records at a time, because the other instances cannot renew their leases during a
    takeover.
    """
    conn.execute(
        "INSERT INTO instance (id, lease_until, tells_events) VALUES (?, seconds_now() + ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until, tells_events = excluded.tells_events",
        (database.instance, LEASE_S, int(_tells_events(database))),
    )
    conn.execute("DELETE FROM instance WHERE lease_until < seconds_now() - ?", (_FORGET_AFTER_S,))
    taken = 0
    for table, key in OPEN_TABLES.items():
        for row in conn.execute(_ORPHANS[table], (database.instance,)).fetchall():
            kind = row.get("kind")
            if taken < TAKEN_AT_ONCE and (kind != "event" or _tells_events(database)):
                taken += _take(database, conn, table, key, row["owner"], kind, TAKEN_AT_ONCE - taken)
    return taken


def _take(
    database: Database, conn: Connection, table: str, key: str, owner: str, kind: str | None, at_most: int
) -> int:
    where, values = ("kind = ? AND ", [kind]) if kind is not None else ("", [])
    where += "is_open = 1 AND owner = ?"
    return conn.execute(
        f"UPDATE {table} SET owner = ? WHERE {where} AND {key} IN"  # noqa: S608
        f" (SELECT {key} FROM {table} WHERE {where} ORDER BY {key} LIMIT ?)",
        (database.instance, *values, owner, *values, owner, at_most),
    ).rowcount


def _tells_events(database: Database) -> bool:
    return database.describe is not None


def _orphans(table: str, columns: str) -> str:
    """Returns an SQL statement. It finds each instance that owns open records, but has no valid lease. The SQL
    statement reads one record of each owner.
    """
    step = f"SELECT {columns} FROM {table} WHERE is_open = 1"  # noqa: S608
    previous = ", ".join(f"found.{column}" for column in columns.split(", "))
    return (
        f"WITH RECURSIVE found AS (({step} ORDER BY {columns} LIMIT 1) UNION ALL"  # noqa: S608
        f" SELECT next.* FROM found CROSS JOIN LATERAL"
        f" ({step} AND ({columns}) > ({previous}) ORDER BY {columns} LIMIT 1) AS next)"
        f" SELECT {columns} FROM found WHERE owner <> ? AND owner NOT IN (SELECT id FROM instance WHERE {_LIVES})"
    )


_ORPHANS = {table: _orphans(table, "kind, owner" if table == "exchange" else "owner") for table in OPEN_TABLES}
