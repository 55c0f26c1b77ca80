"""Stores the connector's state in PostgreSQL, for several instances of the connector. Needs
kitovu-connector[postgresql].

As with SQLite, only one instance writes at a time. Each group of jobs first acquires the same database lock, so two
jobs can never wait for each other. The order of `changed_at` is the order of the commits. The lists rely on this order.
A group's database transaction takes some milliseconds. If an instance stops in the middle of a group, the database ends
the group's transaction.
"""

import functools
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, LiteralString, cast

import psycopg
import structlog
from psycopg import conninfo
from psycopg.rows import dict_row

from kitovu_connector import logs, state_schema
from kitovu_connector.config import StartError
from kitovu_connector.errors import InvalidRequest
from kitovu_connector.group_commit import Connection, Database, Duplicate, Result

log = structlog.get_logger(__name__)

_RETRY_S = 1.0
_LONGEST_NOTICE = 8000  # PostgreSQL's limit
_READ_STATEMENT_S = 2.0
_LIST_STATEMENT_S = 60.0
# The connector detects a dead connection within these times. Values in the URL take precedence.
_TIMES = {
    "connect_timeout": "3",
    "keepalives_idle": "2",
    "keepalives_interval": "2",
    "keepalives_count": "2",
    "tcp_user_timeout": "6000",
    "application_name": "kitovu-connector",
}
_SESSION = """
SET statement_timeout = '10s'; SET lock_timeout = '8s'; SET idle_in_transaction_session_timeout = '3s';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
"""


class _Link:
    """A connection to the database. If the connection is lost, the next SQL statement opens a new connection."""

    def __init__(self, url: str, statement_s: float = 10.0) -> None:
        self._url, self._statement_s = url, statement_s
        self._conn: psycopg.Connection[dict[str, Any]] | None = None
        self._failed_at = -_RETRY_S

    def open(self) -> psycopg.Connection[dict[str, Any]]:
        """Returns the connection. After a failed attempt to connect, each call in the next second fails immediately."""
        if self._conn is not None and not self._conn.closed:
            return self._conn
        if time.monotonic() - self._failed_at < _RETRY_S:
            raise psycopg.OperationalError("the database with the connector's state cannot be reached")
        try:
            made = _connect(self._url)
            made.execute("SELECT set_config('statement_timeout', %s, false)", (f"{self._statement_s:g}s",))
            self._conn = made
        except psycopg.OperationalError:
            self._failed_at = time.monotonic()
            raise
        return self._conn

    def drop(self) -> None:
        """Closes the connection."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def execute(self, sql: str, values: Sequence[object] = ()) -> Result:
        """Runs an SQL statement that only reads.

        If the connection was lost, runs the SQL statement again on a new connection.
        """
        conn = self.open()
        try:
            return _run(conn, sql, values)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            if not conn.closed:
                raise
            self.drop()
            return _run(self.open(), sql, values)


class _Writer:
    def __init__(self, conn: psycopg.Connection[dict[str, Any]]) -> None:
        self._conn = conn

    def execute(self, sql: str, values: Sequence[object] = ()) -> Result:
        return _run(self._conn, sql, values)


class PostgresqlDatabase(Database):
    """One database, or one schema of a database, that all instances of one DFSP's connector share."""

    is_shared = True

    def __init__(self, url: str, common: Mapping[str, str]) -> None:
        """Creates or upgrades the tables. `common` are the settings that must be the same in every instance."""
        super().__init__()
        self.instance = uuid.uuid4().hex
        try:
            given = cast(dict[str, str], conninfo.conninfo_to_dict(url))
            self._url = conninfo.make_conninfo(url, **(_TIMES | given))
            self._reader_url = conninfo.make_conninfo(url, **(_TIMES | {"tcp_user_timeout": "2000"} | given))
            with _connect(self._url) as conn:
                _upgrade(conn)
                _compare(conn, common)
                self._place = _place_of(conn)
        except psycopg.Error as error:
            raise StartError(f"state: PostgreSQL: {_first_line(error)}") from None
        self._writing = _Link(self._url)
        self._reading: list[_Link] = []
        self._listener: _Listener | None = None

    def new_reader(self) -> Connection:
        """Returns one more connection for single records."""
        return self._new_link(self._reader_url, _READ_STATEMENT_S)

    def new_lister(self) -> Connection:
        """Returns one more connection for lists and counts."""
        return self._new_link(self._url, _LIST_STATEMENT_S)

    def _new_link(self, url: str, statement_s: float) -> _Link:
        made = _Link(url, statement_s)
        self._reading.append(made)
        return made

    def begin(self) -> Connection:
        """Begins a transaction. Ensures that at most one instance has a database transaction at a time."""
        try:
            return self._begun()
        except (psycopg.OperationalError, psycopg.InterfaceError):  # the connection was lost; nothing has been written
            self._writing.drop()
            return self._begun()

    def _begun(self) -> Connection:
        conn = self._writing.open()
        conn.execute("BEGIN")
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (self._place,))
        return _Writer(conn)

    def roll_back(self) -> None:
        """Ends a failed database transaction, and closes the connection, because the connection may be the cause of the
        failure.
        """
        self._writing.drop()

    def disconnect(self) -> None:
        """Closes all connections."""
        if self._listener is not None:
            self._listener.stop()
        for link in (self._writing, *self._reading):
            link.drop()

    def tell(self, conn: Connection, topic: str, key: str) -> None:
        """Notifies the other instances of a change as soon as the change is durable."""
        text = f"{self.instance} {topic} {key}"
        if len(text.encode()) < _LONGEST_NOTICE:  # if the notification is lost, other instances see the change later
            conn.execute("SELECT pg_notify(?, ?)", (self._channel, text))

    def listen(self, told: Callable[[str, str], None]) -> None:
        """Calls `told` for each change by another instance."""
        self._listener = _Listener(self._url, self._channel, self.instance, told)

    @property
    def _channel(self) -> str:
        return f"kitovu_connector_{self._place}"


class _Listener:
    def __init__(self, url: str, channel: str, instance: str, told: Callable[[str, str], None]) -> None:
        self._url, self._channel, self._instance, self._told = url, channel, instance, told
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="state-listener", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_stopped.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._is_stopped.is_set():
            try:
                with _connect(self._url) as conn:
                    conn.execute(cast(LiteralString, f"LISTEN {self._channel}"))
                    self._told("", "")
                    while not self._is_stopped.is_set():
                        for notice in conn.notifies(timeout=0.5):
                            self._take(notice.payload)
            # the thread must continue, because without it this instance would get no notifications
            except Exception as error:
                log.warning("state_not_heard", why=_first_line(error))
                self._is_stopped.wait(_RETRY_S)

    def _take(self, payload: str) -> None:
        """Passes a notification on to `told`. Ignores a notification in any other form, because every user of the
        database can send notifications.
        """
        instance, _, rest = payload.partition(" ")
        topic, is_complete, key = rest.partition(" ")
        if is_complete and topic and instance != self._instance:
            self._told(topic, key)


def examine(url: str) -> str:
    """Returns a description of the fault in the database, or an empty text. Changes nothing."""
    try:
        with _connect(conninfo.make_conninfo(url, connect_timeout=3)) as conn:
            row = conn.execute(
                "SELECT has_schema_privilege(current_schema(), 'CREATE') AS may, pg_is_in_recovery() AS is_standby"
            ).fetchone()
    except psycopg.Error as error:
        return _first_line(error)
    assert row is not None
    if row["is_standby"]:
        return "this database is a standby, so the connector cannot write to it"
    return "" if row["may"] else "the database user has no permission to create tables in the schema"


def _connect(url: str) -> psycopg.Connection[dict[str, Any]]:
    conn: psycopg.Connection[dict[str, Any]] = psycopg.connect(url, autocommit=True, row_factory=dict_row)
    conn.execute(_SESSION)
    return conn


def _run(conn: psycopg.Connection[dict[str, Any]], sql: str, values: Sequence[object]) -> Result:
    if any(isinstance(value, str) and "\0" in value for value in values):
        raise InvalidRequest("an id contains a NUL character")  # PostgreSQL cannot store NUL
    try:
        return cast(Result, conn.execute(_with_places(sql), values))
    except psycopg.errors.UniqueViolation as error:
        raise Duplicate(_first_line(error)) from None


@functools.lru_cache(maxsize=256)
def _with_places(sql: str) -> LiteralString:
    """Returns one of the connector's SQL statements in psycopg's form, with `%s` for each value."""
    return cast(LiteralString, sql.replace("?", "%s"))


def _place_of(conn: psycopg.Connection[dict[str, Any]]) -> int:
    """Returns a number that identifies this connector's tables in the database. Two connectors can use two schemas of
    one database, so each needs its own number.
    """
    row = conn.execute("SELECT 'payment'::regclass::oid::bigint AS place").fetchone()
    assert row is not None
    return int(row["place"])


def _upgrade(conn: psycopg.Connection[dict[str, Any]]) -> None:
    """Creates or upgrades the tables in one database transaction. Other starting instances wait until this transaction
    ends.
    """
    newest = len(state_schema.UPGRADES)
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('kitovu_connector ' || current_schema(), 0))")
        version = 0
        if conn.execute("SELECT to_regclass('setting') AS found").fetchone() != {"found": None}:
            row = conn.execute("SELECT value FROM setting WHERE name = 'version'").fetchone()
            version = int(row["value"]) if row is not None else 0
        if version > newest:
            raise StartError(f"state: a newer connector has written it (version {version} of its tables)")
        if version == newest:
            return
        steps = "".join([*state_schema.UPGRADES[version:], state_schema.POSTGRESQL_ONLY])
        conn.execute("SET LOCAL statement_timeout = '10min'")  # the creation of an index reads the whole table
        conn.execute(cast(LiteralString, state_schema.in_postgresql(steps)))
        _set(conn, "version", str(newest))


def _compare(conn: psycopg.Connection[dict[str, Any]], common: Mapping[str, str]) -> None:
    """Stores the common settings, or raises StartError if another instance has different common settings."""
    with conn.transaction():
        for name, value in common.items():
            conn.execute("INSERT INTO setting VALUES (%s, %s) ON CONFLICT DO NOTHING", (name, value))
            row = conn.execute("SELECT value FROM setting WHERE name = %s", (name,)).fetchone()
            if row is None or row["value"] != value:
                raise StartError(f"state: another connector uses it, with another {name}")


def _set(conn: psycopg.Connection[dict[str, Any]], name: str, value: str) -> None:
    conn.execute(
        "INSERT INTO setting VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)
    )


def _first_line(error: Exception) -> str:
    return logs.without_numbers((str(error).strip() or type(error).__name__).splitlines()[0])
