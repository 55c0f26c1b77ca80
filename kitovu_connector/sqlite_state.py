"""Stores the connector's state in a SQLite file, for one instance of the connector."""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from kitovu_connector import state_schema
from kitovu_connector.config import StartError
from kitovu_connector.group_commit import Connection, Database, Duplicate, Result
from kitovu_connector.state_lock import StateLock

_IS_DUPLICATE = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)


class _Writer:
    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn

    def execute(self, sql: str, values: Sequence[object] = ()) -> Result:
        try:
            return cast(Result, self._conn.execute(sql, tuple(values)))  # type: ignore[arg-type]
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode in _IS_DUPLICATE:
                raise Duplicate(str(error)) from None
            raise


class SqliteDatabase(Database):
    """A SQLite file in a directory that at most one connector uses."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._lock = StateLock(directory)
        try:
            self._writing = _connect(directory / "connector.sqlite3")
            _upgrade(self._writing)
            self._file = directory / "connector.sqlite3"
            self._reading: list[sqlite3.Connection] = []
        except sqlite3.Error as error:
            self._lock.release()
            raise StartError(f"state: {directory}: {error}") from None
        except StartError:
            self._lock.release()
            raise

    def new_reader(self) -> Connection:
        """Returns one more connection for reads."""
        made = _connect(self._file, read_only=True)
        self._reading.append(made)
        return cast(Connection, made)

    def begin(self) -> Connection:
        """Begins a transaction."""
        self._writing.execute("BEGIN IMMEDIATE")
        return _Writer(self._writing)

    def roll_back(self) -> None:
        """Ends a database transaction that has failed."""
        if self._writing.in_transaction:
            self._writing.execute("ROLLBACK")

    def disconnect(self) -> None:
        """Closes the file, so that another connector can use the directory."""
        for conn in (self._writing, *self._reading):
            conn.close()
        self._lock.release()


def _connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Opens a database whose commits survive a power cut (WAL, synchronous=FULL: sqlite.org/pragma.html)."""
    conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    conn.row_factory = sqlite3.Row
    conn.create_function("seconds_now", 0, lambda: time.time())
    conn.execute("PRAGMA journal_mode=WAL")
    conn.execute("PRAGMA synchronous=FULL")
    conn.execute("PRAGMA foreign_keys=ON")
    if read_only:
        conn.execute("PRAGMA query_only=ON")
    return conn


def _upgrade(conn: sqlite3.Connection) -> None:
    """Creates the tables, or upgrades tables that an earlier version of the connector has created. Uses one
    transaction.
    """
    (version,) = conn.execute("PRAGMA user_version").fetchone()
    if version > len(state_schema.UPGRADES):
        raise StartError(f"state: a newer connector has written it (version {version} of its tables)")
    if version == len(state_schema.UPGRADES):
        return
    steps = "".join(state_schema.UPGRADES[version:])
    final = f"{state_schema.SQLITE_ONLY} PRAGMA user_version = {len(state_schema.UPGRADES)};"
    conn.executescript(f"BEGIN IMMEDIATE; {steps} {final} COMMIT;")
