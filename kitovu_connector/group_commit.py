"""The state's database.

Commits database jobs in groups, in one writer thread. A group consists of all jobs that arrived while the writer
committed the previous group.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import msgspec

T = TypeVar("T")
Row = Mapping[str, Any]

GROUP_AT_MOST = 200
_READERS = 4  # several threads, so that a slow SQL statement does not delay the others
_LISTERS = 2  # two threads, so that a count of all records does not delay the reading of a list


class Duplicate(Exception):
    """The error for a value that must be unique but is already in the table."""


class Event(Protocol):
    """An event in its stored form."""

    @property
    def id(self) -> str:
        """The event's own id. The store keeps only one event with this id."""

    @property
    def state(self) -> str:
        """Whether the core has accepted the event."""


class Result(Protocol):
    """The result of an SQL statement."""

    @property
    def rowcount(self) -> int:
        """The number of changed rows."""

    def fetchone(self) -> Row | None:
        """Returns the next row as a mapping from column names to values."""

    def fetchall(self) -> list[Row]:
        """Returns all rows."""


class Connection(Protocol):
    """A connection. In an SQL statement, each `?` stands for one value. The function seconds_now() returns the
    database's time.
    """

    def execute(self, sql: str, values: Sequence[object] = ()) -> Result:
        """Runs a statement. Raises Duplicate if a value must be unique but is already in the table."""


Job = Callable[[Connection], T]


class _Readers:
    """Threads for reads. Each thread uses one connection at a time."""

    def __init__(self, name: str, number: int, connect: Callable[[], Connection]) -> None:
        self._threads = ThreadPoolExecutor(number, thread_name_prefix=name)
        self._connect = connect
        self._idle: list[Connection] = []  # connections that no thread uses

    async def run(self, job: Job[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, job)

    def close(self) -> None:
        self._threads.shutdown(wait=True)

    def _run(self, job: Job[T]) -> T:
        try:
            conn = self._idle.pop()
        except IndexError:
            conn = self._connect()
        try:
            return job(conn)
        finally:
            self._idle.append(conn)


class Database(ABC):
    """One writer, which commits in groups, and several readers. The event loop's thread runs no SQL statement.

    After the caller has awaited a write, every read sees the changes of this write. `read` is for single records, and
    `read_many` for lists and counts, which can take long. Each of these two methods has its own threads, so lists do
    not delay payments.
    """

    is_shared = False
    """Whether several instances of the connector use the database at the same time."""
    instance = ""
    """The name of this instance. Empty if there is only one instance."""
    describe: Callable[[str, Any], Event | None] | None = None
    """A function that returns the event of a record's new state. The first argument is the record's kind. If there is
    no such function (None), no events are stored.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._readers = _Readers("state-reader", _READERS, self.new_reader)
        self._listers = _Readers("state-lister", _LISTERS, self.new_lister)
        self._waiting: list[tuple[Job[Any], asyncio.Future[Any]]] = []
        self._drain: asyncio.Task[None] | None = None

    @abstractmethod
    def new_reader(self) -> Connection:
        """Returns one more connection for `read`. Any thread may call this method. `disconnect` closes it."""

    def new_lister(self) -> Connection:
        """Returns one more connection for `read_many`. Any thread may call this method. `disconnect` closes it."""
        return self.new_reader()

    async def read(self, job: Job[T]) -> T:
        """Runs a job that reads single records, in a separate thread."""
        return await self._readers.run(job)

    async def read_many(self, job: Job[T]) -> T:
        """Runs a job that reads or counts many records, in a separate thread."""
        return await self._listers.run(job)

    @abstractmethod
    def begin(self) -> Connection:
        """Begins a database transaction, in the writer's thread."""

    @abstractmethod
    def roll_back(self) -> None:
        """Ends a database transaction that has failed."""

    @abstractmethod
    def disconnect(self) -> None:
        """Closes all connections."""

    def tell(self, conn: Connection, topic: str, key: str) -> None:  # noqa: B027 - one instance tells nobody
        """Notifies the other instances of a change as soon as the change is durable."""

    def listen(self, told: Callable[[str, str], None]) -> None:  # noqa: B027
        """For each change by another instance, calls `told` with the topic and the key of the change. Uses a separate
        thread. If notifications may have been lost, topic and key are empty.
        """

    async def write(self, job: Job[T]) -> T:
        """Runs `job` in a database transaction, and returns when this transaction is durable.

        If a job raises an error, only this job is rolled back.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if self._drain is None:
            self._drain = asyncio.create_task(self._drain_all())
        return await future

    def note(self, conn: Connection, kind: str, record: object) -> None:
        """Stores the event that a record's new state causes, in the same database transaction as this state.

        The instance that stores the event will send the event to the core.
        """
        event = None if self.describe is None else self.describe(kind, record)
        if event is not None:
            conn.execute(
                "INSERT INTO exchange (kind, id, digest, state, is_open, record, changed_at, owner)"
                " VALUES ('event', ?, ?, ?, 1, ?, seconds_now(), ?) ON CONFLICT DO NOTHING",
                (event.id, b"", event.state, msgspec.json.encode(event), self.instance),
            )

    async def close(self) -> None:
        """Finishes the waiting jobs and closes all connections."""
        if self._drain is not None:
            await self._drain
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._thread.shutdown(wait=True)
        self._readers.close()
        self._listers.close()
        self.disconnect()

    async def _drain_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:GROUP_AT_MOST], self._waiting[GROUP_AT_MOST:]
                results = await loop.run_in_executor(self._thread, self._commit_group, [job for job, _ in group])
                for (_, future), (result, error) in zip(group, results, strict=True):
                    if future.done():  # the caller was cancelled, but the caller's job is durable
                        continue
                    if error is not None:
                        future.set_exception(error)
                    else:
                        future.set_result(result)
        finally:
            self._drain = None

    def _commit_group(self, jobs: list[Job[Any]]) -> list[tuple[Any, BaseException | None]]:
        results: list[tuple[Any, BaseException | None]] = []
        try:
            conn = self.begin()
            for job in jobs:
                conn.execute("SAVEPOINT job")
                try:
                    results.append((job(conn), None))
                # if one job fails, only its caller gets the error, and the rest of the group continues
                except Exception as error:
                    conn.execute("ROLLBACK TO job")
                    results.append((None, error))
                conn.execute("RELEASE job")
            conn.execute("COMMIT")
        # for example if the disk is full: the whole group is rolled back, and every caller gets the error
        except Exception as error:
            self.roll_back()
            return [(None, error) for _ in jobs]
        return results
