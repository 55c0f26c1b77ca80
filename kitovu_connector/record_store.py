"""Durable records, for example requests to pay, bulks or conversions. Each record has a state, and ends in a final
state.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from kitovu_connector import logs, stored_octets
from kitovu_connector.conflicts import Conflict
from kitovu_connector.group_commit import Connection, Database, Duplicate
from kitovu_connector.payment_and_quote_records import readable

log = structlog.get_logger(__name__)

_OLD_AT_ONCE = 100
_LOOK_FOR_OLD_EVERY_S = 600.0

OLDEST_OPEN = (
    "SELECT seconds_now() - changed_at AS age, record FROM exchange"
    " WHERE kind = ? AND is_open = 1 AND owner = ? ORDER BY changed_at, id LIMIT ?"
)
DELETE_OLD = (
    "DELETE FROM exchange WHERE (kind, id) IN"
    " (SELECT kind, id FROM exchange WHERE kind = ? AND is_open = 0 AND changed_at < ? ORDER BY changed_at LIMIT ?)"
)


class Record(Protocol):
    """The interface of a record."""

    @property
    def id(self) -> str:
        """The id that the record has in messages."""

    @property
    def alias(self) -> str | None:
        """A second id by which the record can be found, or None."""

    @property
    def digest(self) -> bytes:
        """The digest of the stored request. Equal requests have equal digests."""

    @property
    def state(self) -> str:
        """The present state."""

    @property
    def is_open(self) -> bool:
        """Whether the connector still has work for this record."""


R = TypeVar("R", bound=Record)


class Records(Generic[R]):
    """Typed access to all records of one kind. A write returns when its data is durable.

    Records are immutable values.
    """

    def __init__(self, database: Database, kind: str, of: type[R]) -> None:
        self._db, self._kind, self._of = database, kind, of

    async def add_counted(
        self, new: R, *, sender: str, octets: int, most: int, also: Callable[[Connection], None] | None = None
    ) -> tuple[R, bool]:
        """Stores a record, as the method `add` does. Raises FspiopError 2005 if the records of this sender would
        together have more than `most` octets. Each record counts until it is deleted.
        """

        def check_room(conn: Connection) -> None:
            stored_octets.check_room(conn, sender, most)
            if also is not None:
                also(conn)

        return await self._add(new, check_room, sender, octets)

    async def add(self, new: R, also: Callable[[Connection], None] | None = None) -> tuple[R, bool]:
        """Stores a record. Returns the stored record, and whether this call stored it as a new record.

        Raises Conflict if the id or the alias is already stored with different content. The function `also` runs in the
        same database transaction. If `also` raises an error, no new record is stored.
        """
        return await self._add(new, also)

    async def _add(
        self, new: R, also: Callable[[Connection], None] | None, sender: str | None = None, octets: int = 0
    ) -> tuple[R, bool]:
        raw = msgspec.json.encode(new)

        def job(conn: Connection) -> tuple[R, bool]:
            added = conn.execute(
                "INSERT INTO exchange"
                " (kind, id, alias, digest, state, is_open, record, changed_at, owner, sender, octets)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, seconds_now(), ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    *(self._kind, new.id, new.alias, new.digest, new.state, int(new.is_open), raw, self._db.instance),
                    *(sender, octets),
                ),
            )
            if added.rowcount == 1:
                if also is not None:
                    also(conn)
                return new, True
            row = conn.execute(
                "SELECT digest, record FROM exchange WHERE kind = ? AND (id = ? OR alias = ?)",
                (self._kind, new.id, new.alias),
            ).fetchone()
            assert row is not None
            if row["digest"] != new.digest:
                raise Conflict
            return self._read(row["record"]), False

        return await self._db.write(job)

    async def save(self, before: R, after: R) -> bool:
        """Stores a new state. The record keeps its owner, and the owner gets a notification.

        If another task or instance has already changed the state, returns False and changes nothing.
        """
        raw = msgspec.json.encode(after)

        def job(conn: Connection) -> bool:
            changed = conn.execute(
                "UPDATE exchange SET alias = ?, state = ?, is_open = ?, record = ?, changed_at = seconds_now()"
                " WHERE kind = ? AND id = ? AND state = ?",
                (after.alias, after.state, int(after.is_open), raw, self._kind, after.id, before.state),
            )
            if changed.rowcount != 1:
                return False
            self._db.note(conn, self._kind, after)
            self._db.tell(conn, self._kind, after.id)
            return True

        try:
            return await self._db.write(job)
        except Duplicate:
            raise Conflict from None

    async def update(self, record_id: str, change: Callable[[R], R | None]) -> R | None:
        """Calls `change` with the stored record. Stores the record that `change` returns, in the same way as `save`,
        and returns this record.

        Nobody else can change the record between the read and the write. If `change` returns None, returns the stored
        record and changes nothing. Returns None if there is no record.
        """

        def job(conn: Connection) -> R | None:
            row = conn.execute(
                "SELECT record FROM exchange WHERE kind = ? AND id = ?", (self._kind, record_id)
            ).fetchone()
            if row is None:
                return None
            before = self._read(row["record"])
            after = change(before)
            if after is None or after == before:
                return before
            conn.execute(
                "UPDATE exchange SET alias = ?, state = ?, is_open = ?, record = ?, changed_at = seconds_now()"
                " WHERE kind = ? AND id = ?",
                (after.alias, after.state, int(after.is_open), msgspec.json.encode(after), self._kind, record_id),
            )
            self._db.note(conn, self._kind, after)
            self._db.tell(conn, self._kind, record_id)
            return after

        return await self._db.write(job)

    async def amend(self, record_id: str, change: Callable[[R], R]) -> R | None:
        """Calls `change` with the stored record. Stores and returns the record that `change` returns.

        Returns None if there is no record.

        Nobody else can change the record between the read and the write. The record's state stays the same, so no event
        occurs.
        """

        def job(conn: Connection) -> R | None:
            row = conn.execute(
                "SELECT record FROM exchange WHERE kind = ? AND id = ?", (self._kind, record_id)
            ).fetchone()
            if row is None:
                return None
            before = self._read(row["record"])
            after = change(before)
            assert (after.state, after.is_open, after.alias) == (before.state, before.is_open, before.alias)
            conn.execute(
                "UPDATE exchange SET record = ?, changed_at = seconds_now() WHERE kind = ? AND id = ?",
                (msgspec.json.encode(after), self._kind, record_id),
            )
            self._db.tell(conn, self._kind, record_id)
            return after

        return await self._db.write(job)

    async def get(self, record_id: str) -> R | None:
        """Returns the record with this id, or None."""
        return await self._one("SELECT record FROM exchange WHERE kind = ? AND id = ?", record_id)

    async def of_alias(self, alias: str) -> R | None:
        """Returns the record with this alias, or None."""
        return await self._one("SELECT record FROM exchange WHERE kind = ? AND alias = ?", alias)

    async def own(self, record_id: str) -> R | None:
        """Returns the record with this id if this instance is the record's owner, and otherwise None."""
        sql = "SELECT record FROM exchange WHERE kind = ? AND id = ? AND owner = ?"
        return await self._one(sql, record_id, self._db.instance)

    async def unfinished(self) -> list[R]:
        """Returns every open record of which this instance is the owner."""
        sql = "SELECT record FROM exchange WHERE kind = ? AND is_open = 1 AND owner = ?"

        def job(conn: Connection) -> list[R]:
            rows = conn.execute(sql, (self._kind, self._db.instance)).fetchall()
            return readable([row["record"] for row in rows], self._of)

        return await self._db.read_many(job)

    async def oldest_open(self, limit: int) -> list[tuple[float, R]]:
        """Returns this instance's open records in the order of their last change. Each record comes with the number of
        seconds since its last change.
        """

        def job(conn: Connection) -> list[tuple[float, R]]:
            rows = conn.execute(OLDEST_OPEN, (self._kind, self._db.instance, limit)).fetchall()
            return [(row["age"], self._read(row["record"])) for row in rows]

        return await self._db.read_many(job)

    async def changed_since(self, since: float, after: str, *, suffix: str, limit: int) -> list[tuple[float, R]]:
        """Returns records in the order of their last change, each with the time of this change.

        The list begins after the record that was changed at `since` and has the id `after`. The id `after` includes the
        suffix.
        """
        statement = (
            f"SELECT changed_at, record FROM exchange WHERE kind = ? AND (changed_at, id || '{suffix}') > (?, ?)"  # noqa: S608
            f" AND changed_at >= ? ORDER BY changed_at, id || '{suffix}' LIMIT ?"
        )

        def job(conn: Connection) -> list[tuple[float, R]]:
            rows = conn.execute(statement, (self._kind, since, after, since, limit)).fetchall()
            return [(row["changed_at"], self._read(row["record"])) for row in rows]

        return await self._db.read_many(job)

    async def delete_old(self, retention_s: float) -> None:
        """Deletes the records that ended more than `retention_s` ago, a hundred records at a time. Runs as long as the
        connector runs.
        """

        def job(conn: Connection) -> int:
            return conn.execute(DELETE_OLD, (self._kind, time.time() - retention_s, _OLD_AT_ONCE)).rowcount

        while True:
            try:
                while await self._db.write(job) == _OLD_AT_ONCE:
                    pass
            except Exception as error:  # an error such as a full disk must not end this task
                log.error("old_records_not_deleted", kind=self._kind, error=logs.trace_of(error))
            await asyncio.sleep(min(retention_s, _LOOK_FOR_OLD_EVERY_S))

    async def _one(self, sql: str, *values: str) -> R | None:
        def job(conn: Connection) -> R | None:
            row = conn.execute(sql, (self._kind, *values)).fetchone()
            return None if row is None else self._read(row["record"])

        return await self._db.read(job)

    def _read(self, raw: bytes) -> R:
        return msgspec.json.decode(raw, type=self._of)
