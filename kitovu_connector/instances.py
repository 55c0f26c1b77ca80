"""The instances of a connector that share a state: leases, takeovers, and notifications of changes.

Each open record has an owner, which is the instance that continues the record. Each instance renews its lease every
second. The database's clock decides whether a lease has ended. If an instance's lease has ended, another instance
becomes the owner of the open records, and continues them as after a restart. If an instance was only slow, it finds
that it is no longer the owner, and stops.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

import structlog

from kitovu_connector import logs, relay
from kitovu_connector.group_commit import Connection, Database
from kitovu_connector.relay import Relay
from kitovu_connector.state_schema import OPEN_TABLES

log = structlog.get_logger(__name__)

LEASE_S = 5.0
_RENEW_EVERY_S = 1.0
_LOOK_EVERY_S = 30.0  # for own records that nothing continues, because a notification was lost
_FORGET_AFTER_S = 60.0


class Continued(Protocol):
    """A part of the connector that continues open records."""

    async def resume(self) -> None:
        """Continues with the open records of this instance that no task processes yet."""


class Instances:
    """This instance's lease, its takeovers, and its notifications from other instances."""

    def __init__(self, database: Database, relay: Relay) -> None:
        self._db, self._relay = database, relay
        self._parts: Sequence[Continued] = ()
        self._changed: Mapping[str, Callable[[str], None]] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def start(self, parts: Sequence[Continued], changed: Mapping[str, Callable[[str], None]]) -> None:
        """Begins a lease, and makes this instance the owner of all open records that no instance continues.

        `changed` are the functions to call with the key of a record that another instance has changed, by topic.
        """
        self._parts, self._changed = parts, changed
        await self._db.write(partial(_renew, self._db))
        loop = asyncio.get_running_loop()

        def told(topic: str, key: str) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._told, topic, key)

        self._db.listen(told)
        self._renewing = asyncio.create_task(self._renew_for_ever())

    async def close(self) -> None:
        """Ends the lease, so that other instances take over at once."""
        if self._renewing is None:
            return
        self._renewing.cancel()
        await asyncio.gather(self._renewing, return_exceptions=True)
        try:
            await self._db.write(lambda conn: conn.execute("DELETE FROM instance WHERE id = ?", (self._db.instance,)))
        except Exception as error:  # the lease ends by itself
            log.warning("lease_not_given_up", error=logs.trace_of(error))

    async def _renew_for_ever(self) -> None:
        looked_at = time.monotonic()
        while True:
            try:
                taken = await self._db.write(partial(_renew, self._db))
                if taken:
                    log.warning("taken_over", records=taken)
                if taken or time.monotonic() - looked_at >= _LOOK_EVERY_S:
                    looked_at = time.monotonic()
                    self._relay.read()
                    for part in self._parts:
                        await part.resume()
            except Exception as error:  # the database is away for a moment
                log.error("lease_not_renewed", error=logs.trace_of(error))
            await asyncio.sleep(_RENEW_EVERY_S)

    def _told(self, topic: str, key: str) -> None:
        try:
            if topic in ("", relay.TOPIC):  # "": notifications may have been lost; waiting tasks look every second
                self._relay.read()
            elif topic in self._changed:
                self._changed[topic](key)
        except Exception as error:
            log.error("change_not_read", topic=topic, error=logs.trace_of(error))


def _renew(database: Database, conn: Connection) -> int:
    """Renews the lease of this instance, and makes this instance the owner of all open records without a living owner.

    Returns the number of new records of this instance.
    """
    mine = database.instance
    conn.execute(
        "INSERT INTO instance (id, lease_until) VALUES (?, seconds_now() + ?)"
        " ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until",
        (mine, LEASE_S),
    )
    conn.execute("DELETE FROM instance WHERE lease_until < seconds_now() - ?", (_FORGET_AFTER_S,))
    return sum(
        conn.execute(
            f"UPDATE {table} SET owner = ? WHERE is_open = 1 AND owner <> ?"  # noqa: S608
            " AND owner NOT IN (SELECT id FROM instance WHERE lease_until > seconds_now())",
            (mine, mine),
        ).rowcount
        for table in OPEN_TABLES
    )
