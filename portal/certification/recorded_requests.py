"""The messages that the DFSP sent to the hub during a run. This module reads the recorded requests from the
database."""

import asyncio
import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections, connection
from django.utils import timezone

from hub.recordings.models import RecordedRequest, Recording
from portal.certification.faults import NotJudged
from portal.certification.message_limits import MessageLimit

log = structlog.get_logger("certification")

T = TypeVar("T")
_LOOKS_EVERY_S = 0.1
_MAY_BE_LATE = timedelta(seconds=5)  # a row can become visible later than rows that were recorded after it
_AT_ONCE = 100  # the number of rows whose bodies are read together
_UP_AGAIN_WITHIN_S = 120.0  # after two minutes without a report, a worker ends the run as interrupted


def processes_know_after_s() -> float:
    """Returns the number of seconds until every process of the hub has begun a new recording."""
    return float(settings.CREDENTIALS_REFRESH_S) + 0.5


async def in_database(work: Callable[..., T], *arguments: Any) -> T:
    """In a thread, runs a function that uses the database."""
    return await asyncio.to_thread(_with_connection, work, arguments)


async def in_database_when_up(work: Callable[..., T], *arguments: Any) -> T:
    """Works like `in_database`, but waits for a database that is away, for example because it restarts. `work` can run
    several times."""
    end = time.monotonic() + _UP_AGAIN_WITHIN_S
    while time.monotonic() < end:
        with suppress(OperationalError, InterfaceError):
            return await in_database(work, *arguments)
        await asyncio.sleep(_LOOKS_EVERY_S)
    return await in_database(work, *arguments)


def _with_connection(work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    close_old_connections()
    try:
        return work(*arguments)
    except (DatabaseError, InterfaceError):
        connection.close()  # the next work in this thread opens a new connection
        raise


@dataclass(frozen=True, slots=True)
class Told:
    """A request as it arrived at the hub, and the hub's response."""

    id: int
    at: float
    source: str  # the participant that owns the credentials
    destination: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    answer: str

    @property
    def claimed(self) -> str:
        """Returns the FSPIOP-Source header of the request. `source` is the owner of the credentials, so the header can
        differ from `source`."""
        return self.headers.get("fspiop-source", "")

    @property
    def is_error(self) -> bool:
        return self.path.endswith("/error")

    @property
    def is_taken(self) -> bool:
        return 200 <= self.status < 300

    @property
    def json(self) -> dict[str, Any]:
        """Returns the body, or {} if the body is not a JSON object."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def error(self) -> tuple[str, str]:
        """Returns the code and the text of an error that the DFSP reports."""
        return error_in(self.body)

    @property
    def refusal(self) -> tuple[str, str]:
        """Returns the code and the text of the hub's refusal."""
        code, text = error_in(self.answer)
        return (code, text) if code else (str(self.status), self.answer)

    @property
    def shown(self) -> str:
        """Returns the message's method and path, for the text of a fault."""
        return f"{self.method} {self.path}"


def error_in(body: bytes | str) -> tuple[str, str]:
    """Returns the code and the text of the error in a body. Returns two empty texts if the body contains no error."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    error = found.get("errorInformation") if isinstance(found, dict) else None
    if not isinstance(error, dict):
        return "", ""
    return str(error.get("errorCode", "")), str(error.get("errorDescription", ""))


async def wait_for_news(news: asyncio.Condition, seconds: float) -> None:
    """Waits for a notification, but at most for `seconds`. The caller holds the lock of the condition."""
    # `asyncio.wait_for` of Python 3.11 can lose the cancellation of the run
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news.wait()


class Messages:
    """The recorded requests of one DFSP, and the certifier's requests to this DFSP."""

    def __init__(self, limit: MessageLimit, *, dfsp: str = "") -> None:
        self.all: list[Told] = []
        self.news = asyncio.Condition()
        self._dfsp, self._limit = dfsp, limit
        self._by_path: dict[str, list[Told]] = {}

    @property
    def is_full(self) -> bool:
        return self._limit.is_exceeded.is_set()

    def add(self, told: Told) -> None:
        self.all.append(told)
        self._by_path.setdefault(told.path, []).append(told)
        if self._dfsp in (told.source, ""):
            self._limit.count(len(told.body))

    def at(self, path: str) -> list[Told]:
        """Returns the requests with this path."""
        return self._by_path.get(path, [])


@dataclass(frozen=True, slots=True)
class _Row:
    """A recorded request without its content."""

    id: int
    at: datetime
    source: str
    destination: str


class Door:
    """Until the `async with` block ends, reads the newly recorded requests several times a second.

    If the database does not answer, the door continues to try. After any other error, `task` has ended, and no run can
    continue.
    """

    task: "asyncio.Task[None]"

    def __init__(self) -> None:
        self._of: dict[str, Messages] = {}
        # Requests in a name that belongs to no DFSP under test. If the hub requires credentials, there are none.
        self._others = Messages(MessageLimit())
        self._known: set[int] = set()
        self.looked_at = time.monotonic()  # the beginning of the latest look that has succeeded
        self._away_s = 0.0
        self._is_away = False

    async def __aenter__(self) -> "Door":
        self._first = self._newest = await in_database(_now)
        self.looked_at = time.monotonic()
        self.task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def open(self, dfsp: str, limit: MessageLimit) -> Messages:
        """Begins to collect the requests of a DFSP. After the DFSP has exceeded its limit, the door adds no further
        request."""
        return self._of.setdefault(dfsp, Messages(limit, dfsp=dfsp))

    @property
    def others(self) -> list[Told]:
        return self._others.all

    @property
    def away_s(self) -> float:
        """For how many seconds in total the database has not answered. In this time, the hub accepts no message."""
        return self._away_s + (time.monotonic() - self.looked_at if self._is_away else 0.0)

    async def wait(
        self, dfsp: str, paths: Collection[str], fits: Callable[[Told], bool], *, seconds: float, count: int = 1
    ) -> list[Told]:
        """Waits until at least `count` requests with these paths match, but at most for `seconds`. Returns the matching
        requests. Raises NotJudged if the database was away, so that requests may be missing."""
        mine, patience = self._of[dfsp], Patience(self, seconds)
        async with mine.news:
            while len(found := self._found(mine, paths, fits)) < count and (left := patience.left()) > 0:
                await wait_for_news(mine.news, left)
        return found

    def _found(self, mine: Messages, paths: Collection[str], fits: Callable[[Told], bool]) -> list[Told]:
        found = [told for each in (mine, self._others) for path in paths for told in each.at(path) if fits(told)]
        return sorted(found, key=lambda told: told.id)

    async def _look(self) -> None:
        while True:
            began = time.monotonic()
            try:
                await self._read_news()
            except (DatabaseError, InterfaceError):
                if not self._is_away:
                    log.warning("recorded_requests_not_read", exc_info=True)
                self._is_away = True
            else:
                self._away_s = self.away_s
                self._is_away, self.looked_at = False, began
            await asyncio.sleep(_LOOKS_EVERY_S)

    async def _read_news(self) -> None:
        rows = await in_database(_rows_since, max(self._first, self._newest - _MAY_BE_LATE))
        new = [row for row in rows if row.id not in self._known]
        for start in range(0, len(new), _AT_ONCE):
            some = new[start : start + _AT_ONCE]
            wanted = [row.id for row in some if not self._messages_of(row).is_full]
            await self._add(await in_database(_read, wanted) if wanted else [])
            self._known |= {row.id for row in some}
        self._known &= {row.id for row in rows}
        self._newest = max((row.at for row in rows), default=self._newest)

    async def _add(self, read: list[Told]) -> None:
        for told in read:
            self._messages_of(told).add(told)
        changed = {self._messages_of(told) for told in read}
        for each in self._of.values() if self._others in changed else changed:
            async with each.news:
                each.news.notify_all()

    def _messages_of(self, told: "Told | _Row") -> Messages:
        return self._of.get(told.source) or self._of.get(told.destination) or self._others


class Patience:
    """The time for which the certifier waits for a DFSP. While the database is away, the time stands still, because the
    DFSP cannot send messages."""

    def __init__(self, door: Door, seconds: float) -> None:
        self._door, self._seconds = door, seconds
        self._began, self._away_before = time.monotonic(), door.away_s

    def left(self) -> float:
        """Returns how many seconds are left. The wait is over only after a look that began after the wait's end.

        If the database was away during the wait, raises NotJudged at the end of the wait, because a message of the DFSP
        may be missing.
        """
        away = self._door.away_s - self._away_before
        end = self._began + self._seconds + away
        left = end - time.monotonic()
        if away > self._seconds or (left <= 0 < away):
            raise NotJudged("hub_away", seconds=max(1, round(away)))
        return max(left, _LOOKS_EVERY_S) if left > 0 or self._door.looked_at < end else 0.0


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        row = cursor.fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


def _rows_since(since: datetime) -> list[_Row]:
    rows = RecordedRequest.objects.filter(at__gte=since).order_by("id")
    return [_Row(*row) for row in rows.values_list("id", "at", "source", "destination")]


def _read(ids: Sequence[int]) -> list[Told]:
    rows = RecordedRequest.objects.filter(pk__in=ids).order_by("id")
    return [
        Told(
            row.pk,
            row.at.timestamp(),
            row.source,
            row.destination,
            row.method,
            row.path,
            row.headers,
            bytes(row.body),
            row.status,
            row.answer,
        )
        for row in rows
    ]


def open_recordings(dfsps: Iterable[str], counterpart: str, *, seconds: float) -> None:
    """Begins to record the messages that these DFSPs send to the counterpart. Each recording ends after `seconds`."""
    until = timezone.now() + timedelta(seconds=seconds)
    for dfsp in dfsps:
        Recording.objects.create(dfsp=dfsp, counterpart=counterpart, until=until)


def forget_recordings() -> None:
    """Ends all recordings, and deletes the recorded requests. Only one process certifies at a time, so no other
    process needs these recordings."""
    if Recording.objects.exists() or RecordedRequest.objects.exists():
        Recording.objects.all().delete()
        RecordedRequest.objects.all().delete()
