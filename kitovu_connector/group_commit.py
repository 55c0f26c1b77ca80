"""Group commit for SQLite. One writer thread commits jobs in groups. A group contains all jobs that arrived during the
previous commit.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

GROUP_AT_MOST = 200


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Opens a database whose commits survive a power cut (WAL, synchronous=FULL: sqlite.org/pragma.html)."""
    conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    conn.row_factory = sqlite3.Row
    conn.execute("PRAGMA journal_mode=WAL")
    conn.execute("PRAGMA synchronous=FULL")
    conn.execute("PRAGMA foreign_keys=ON")
    if read_only:
        conn.execute("PRAGMA query_only=ON")
    return conn


class Event(Protocol):
    """An event as it is stored."""

    @property
    def id(self) -> str:
        """The event's own id. The store keeps only one event with this id."""

    @property
    def state(self) -> str:
        """Whether it is delivered."""


class Database:
    """A SQLite file with one writer, which commits in groups, and one reader.

    A read sees every write that has been awaited.
    """

    describe: Callable[[str, Any], Event | None] | None = None
    """Returns the event of a record's new state, by the record's kind. None: no events are stored."""

    def __init__(self, path: Path, schema: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = connect(path)
        self._writer.executescript(schema)
        self.reader = connect(path, read_only=True)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._waiting: list[tuple[Job[Any], asyncio.Future[Any]]] = []
        self._drain: asyncio.Task[None] | None = None

    async def write(self, job: Job[T]) -> T:
        """Runs `job` in a transaction, and returns after the transaction is durable.

        If a job raises an error, only this job is rolled back.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if self._drain is None:
            self._drain = asyncio.create_task(self._drain_all())
        return await future

    def note(self, conn: sqlite3.Connection, kind: str, record: object) -> None:
        """Stores the event of a record's new state, in the transaction of this state."""
        event = None if self.describe is None else self.describe(kind, record)
        if event is not None:
            conn.execute(
                "INSERT INTO exchange VALUES ('event', ?, NULL, ?, ?, 1, ?, ?) ON CONFLICT DO NOTHING",
                (event.id, b"", event.state, msgspec.json.encode(event), time.time()),
            )

    async def close(self) -> None:
        """Finishes the waiting jobs and closes the file."""
        if self._drain is not None:
            await self._drain
        self._thread.shutdown(wait=True)
        self._writer.close()
        self.reader.close()

    async def _drain_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:GROUP_AT_MOST], self._waiting[GROUP_AT_MOST:]
                results = await loop.run_in_executor(self._thread, self._commit_group, [job for job, _ in group])
                for (_, future), (result, error) in zip(group, results, strict=True):
                    if future.done():  # the caller was cancelled, but its job is durable
                        continue
                    if error is not None:
                        future.set_exception(error)
                    else:
                        future.set_result(result)
        finally:
            self._drain = None

    def _commit_group(self, jobs: list[Job[Any]]) -> list[tuple[Any, BaseException | None]]:
        results: list[tuple[Any, BaseException | None]] = []
        conn = self._writer
        try:
            conn.execute("BEGIN IMMEDIATE")
            for job in jobs:
                conn.execute("SAVEPOINT job")
                try:
                    results.append((job(conn), None))
                except Exception as error:  # one bad job never fails its group; only the job's caller gets the error
                    conn.execute("ROLLBACK TO job")
                    results.append((None, error))
                conn.execute("RELEASE job")
            conn.execute("COMMIT")
        except Exception as error:  # the whole group is rolled back; every caller gets the error (disk full, locked)
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            return [(None, error) for _ in jobs]
        return results
