"""The messages that the DFSP sent to the hub during a run. This module reads the recorded requests from the
database."""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone

from hub.recordings.models import RecordedRequest, Recording

T = TypeVar("T")
_LOOKS_EVERY_S = 0.1
_MAY_BE_LATE = 200  # the number of rows to read again; a row can become visible later than rows with higher ids


def processes_know_after_s() -> float:
    """Returns the number of seconds until every process of the hub has begun a new recording."""
    return float(settings.CREDENTIALS_REFRESH_S) + 0.5


async def in_database(work: Callable[..., T], *arguments: Any) -> T:
    """In a thread, runs a function that uses the database."""
    return await asyncio.to_thread(_with_connection, work, arguments)


def _with_connection(work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    close_old_connections()
    return work(*arguments)


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
        return _error_in(self.json)

    @property
    def refusal(self) -> tuple[str, str]:
        """Returns the code and the text of the hub's refusal."""
        try:
            return _error_in(json.loads(self.answer))
        except ValueError:
            return str(self.status), self.answer

    @property
    def shown(self) -> str:
        """Returns the message's method and path, for the text of a fault."""
        return f"{self.method} {self.path}"


def _error_in(body: object) -> tuple[str, str]:
    found = body.get("errorInformation") if isinstance(body, dict) else None
    if not isinstance(found, dict):
        return "", ""
    return str(found.get("errorCode", "")), str(found.get("errorDescription", ""))


class Door:
    """Until the `async with` block ends, reads the newly recorded requests several times a second."""

    def __init__(self) -> None:
        self.seen: list[Told] = []
        self._after = self._first = 0
        self._news = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Door":
        self._after = self._first = await in_database(_latest)
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            rows = await in_database(_read, self._after - _MAY_BE_LATE)
            known = {told.id for told in self.seen[-2 * _MAY_BE_LATE :]}
            new = [told for told in rows if told.id not in known and told.id > self._first]
            if new:
                self._after = max(self._after, new[-1].id)
                async with self._news:
                    self.seen.extend(new)
                    self._news.notify_all()
            await asyncio.sleep(_LOOKS_EVERY_S)

    async def wait(self, fits: Callable[[Told], bool], *, seconds: float, count: int = 1) -> list[Told]:
        """Waits until at least `count` requests match, but at most for `seconds`. Returns the matching requests."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        async with self._news:
            while len(found := [told for told in self.seen if fits(told)]) < count:
                left = end - loop.time()
                if left <= 0 or not await self._has_news(left):
                    break
        return [told for told in self.seen if fits(told)] or found

    async def _has_news(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return False
        return True


def _latest() -> int:
    return RecordedRequest.objects.order_by("-id").values_list("id", flat=True).first() or 0


def _read(after: int) -> list[Told]:
    rows = RecordedRequest.objects.filter(id__gt=after).order_by("id")
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
