"""Durable records of one kind: requests to pay, bulks, conversions. Each record has a state and a final end."""

import asyncio
import sqlite3
import time
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from kitovu_connector import logs
from kitovu_connector.group_commit import Database
from kitovu_connector.store import Conflict

log = structlog.get_logger(__name__)

_OLD_AT_ONCE = 100
_LOOK_FOR_OLD_EVERY_S = 600.0


class Record(Protocol):
    """The interface of a record."""

    @property
    def id(self) -> str:
        """The id in the messages."""

    @property
    def alias(self) -> str | None:
        """Another id of the record, or None."""

    @property
    def digest(self) -> bytes:
        """The digest of the request. Equal requests have equal digests."""

    @property
    def state(self) -> str:
        """The present state."""

    @property
    def is_open(self) -> bool:
        """Whether the connector has something left to do."""


R = TypeVar("R", bound=Record)


class Records(Generic[R]):
    """Typed access to the records of one kind. A write returns when the written data is durable.

    Records are immutable values.
    """

    def __init__(self, database: Database, kind: str, of: type[R]) -> None:
        self._db, self._kind, self._of = database, kind, of

    async def add(self, new: R) -> tuple[R, bool]:
        """Stores a record. Returns the stored record, and whether it is new.

        Raises Conflict if the record's id or alias belongs to other content.
        """
        raw = msgspec.json.encode(new)

        def job(conn: sqlite3.Connection) -> tuple[R, bool]:
            row = conn.execute(
                "SELECT digest, record FROM exchange WHERE kind = ? AND (id = ? OR alias = ?)",
                (self._kind, new.id, new.alias),
            ).fetchone()
            if row is not None:
                if row["digest"] != new.digest:
                    raise Conflict
                return self._read(row["record"]), False
            conn.execute(
                "INSERT INTO exchange VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (self._kind, new.id, new.alias, new.digest, new.state, new.is_open, raw, time.time()),
            )
            return new, True

        return await self._db.write(job)

    async def save(self, before: R, after: R) -> bool:
        """Stores a new state. If another task has changed the state first, changes nothing and returns False."""
        raw = msgspec.json.encode(after)

        def job(conn: sqlite3.Connection) -> bool:
            try:
                changed = conn.execute(
                    "UPDATE exchange SET alias = ?, state = ?, is_open = ?, record = ?, changed_at = ?"
                    " WHERE kind = ? AND id = ? AND state = ?",
                    (after.alias, after.state, after.is_open, raw, time.time(), self._kind, after.id, before.state),
                )
            except sqlite3.IntegrityError:
                raise Conflict from None
            if changed.rowcount == 1:
                self._db.note(conn, self._kind, after)
            return changed.rowcount == 1

        return await self._db.write(job)

    def get(self, record_id: str) -> R | None:
        """Returns the record with this id, or None."""
        return self._one("SELECT record FROM exchange WHERE kind = ? AND id = ?", record_id)

    def of_alias(self, alias: str) -> R | None:
        """Returns the record with this alias, or None."""
        return self._one("SELECT record FROM exchange WHERE kind = ? AND alias = ?", alias)

    def unfinished(self) -> list[R]:
        """Returns every record that is open."""
        rows = self._db.reader.execute("SELECT record FROM exchange WHERE kind = ? AND is_open = 1", (self._kind,))
        return [self._read(row["record"]) for row in rows.fetchall()]

    def oldest_open(self, limit: int) -> list[tuple[float, R]]:
        """Returns open records in the order of their last change, each with the time of this change."""
        rows = self._db.reader.execute(
            "SELECT changed_at, record FROM exchange WHERE kind = ? AND is_open = 1 ORDER BY changed_at, id LIMIT ?",
            (self._kind, limit),
        )
        return [(row["changed_at"], self._read(row["record"])) for row in rows.fetchall()]

    def changed_since(self, since: float, after: str, *, suffix: str, limit: int) -> list[tuple[float, R]]:
        """Returns records in the order of their last change, each with the time of this change.

        `after` is the place's id with the suffix.
        """
        rows = self._db.reader.execute(
            f"SELECT changed_at, record FROM exchange WHERE kind = ? AND (changed_at, id || '{suffix}') > (?, ?)"  # noqa: S608
            " AND changed_at >= ? ORDER BY changed_at, id LIMIT ?",
            (self._kind, since, after, since, limit),
        )
        return [(row["changed_at"], self._read(row["record"])) for row in rows.fetchall()]

    async def delete_old(self, retention_s: float) -> None:
        """Deletes records that ended longer ago than a given age, a hundred records at a time. Runs as long as the
        connector runs.
        """

        def job(conn: sqlite3.Connection) -> int:
            return conn.execute(
                "DELETE FROM exchange WHERE (kind, id) IN (SELECT kind, id FROM exchange"
                " WHERE kind = ? AND is_open = 0 AND changed_at < ? LIMIT ?)",
                (self._kind, time.time() - retention_s, _OLD_AT_ONCE),
            ).rowcount

        while True:
            try:
                while await self._db.write(job) == _OLD_AT_ONCE:
                    pass
            except Exception as error:  # a full disk must not end this task for ever
                log.error("old_records_not_deleted", kind=self._kind, error=logs.trace_of(error))
            await asyncio.sleep(min(retention_s, _LOOK_FOR_OLD_EVERY_S))

    def _one(self, sql: str, key: str) -> R | None:
        row = self._db.reader.execute(sql, (self._kind, key)).fetchone()
        return None if row is None else self._read(row["record"])

    def _read(self, raw: bytes) -> R:
        return msgspec.json.decode(raw, type=self._of)
