"""The last messages from the hub, in memory, for the test API of Mojaloop's SDK.

The connector records a message before the message's handler starts. So the test API also shows a message that the
handler refuses, for example a callback that nobody waits for. Recording a message changes no payment.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

Kind = Literal["requests", "callbacks"]
Subject = tuple[Kind, str]
"""Whether a message is a request or a callback, and the message's id."""

_MOST_MESSAGES = 1_000
_MOST_OCTETS = 16_777_216
_MOST_WAITING = 100
_ID_IN_POST = {
    "bulkQuotes": "bulkQuoteId",
    "bulkTransfers": "bulkTransferId",
    "fxQuotes": "conversionRequestId",
    "fxTransfers": "commitRequestId",
    "quotes": "quoteId",
    "transactionRequests": "transactionRequestId",
    "transfers": "transferId",
}
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})


@dataclass(frozen=True, slots=True)
class _Received:
    headers: dict[str, str]
    body: bytes

    @property
    def octets(self) -> int:
        return len(self.body) + sum(len(name) + len(value) for name, value in self.headers.items())

    def shown(self, **more: str) -> bytes:
        """Returns the message in the SDK's form."""
        return msgspec.json.encode({"headers": self.headers, "data": msgspec.Raw(self.body), **more})


class Watcher:
    """The messages that a test has not yet read from its websocket."""

    def __init__(self, wants: Callable[[Subject], bool]) -> None:
        self.wants = wants
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(_MOST_WAITING + 1)

    def put(self, message: bytes) -> None:
        """Adds a message. A test that reads too slowly gets no further messages."""
        if self._waiting.qsize() < _MOST_WAITING:
            self._waiting.put_nowait(message)
        elif not self._waiting.full():
            self._waiting.put_nowait(None)

    async def next(self) -> bytes | None:
        """Waits for the next message. Returns None if the test has read too slowly."""
        return await self._waiting.get()


class ReceivedMessages:
    """The last message for each subject. The oldest messages are deleted first."""

    def __init__(self, *, most_messages: int = _MOST_MESSAGES, most_octets: int = _MOST_OCTETS) -> None:
        self._most_messages, self._most_octets = most_messages, most_octets
        self._kept: OrderedDict[Subject, _Received] = OrderedDict()
        self._octets = 0
        self._watchers: set[Watcher] = set()

    def add(
        self, method: str, resource: str, names: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> None:
        """Records a message, and shows it to each test that watches its subject. Ignores a body that is not JSON,
        because the message's handler refuses it.
        """
        try:
            read = msgspec.json.decode(body or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        found = names.get("id") or names.get("id_value") or _id_in_body(resource, read)
        if found is None:
            return
        subject: Subject = ("callbacks" if method == "PUT" else "requests", found)
        shown = {
            name.lower(): _in_json(value) for name, value in headers.items() if name.lower() not in _SECRET_HEADERS
        }
        message = _Received(shown, body or b"{}")
        self._keep(subject, message)
        for watcher in self._watchers:
            if watcher.wants(subject):
                watcher.put(message.shown(id=found))

    def of(self, subject: Subject) -> bytes | None:
        """Returns the last message with this id in the SDK's form, or None if there is no such message."""
        found = self._kept.get(subject)
        return None if found is None else found.shown()

    @contextmanager
    def watch(self, wants: Callable[[Subject], bool]) -> Iterator[Watcher]:
        """Yields a watcher, which gets the messages that arrive from now on."""
        watcher = Watcher(wants)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def _keep(self, subject: Subject, message: _Received) -> None:
        self._forget(subject)
        self._kept[subject] = message
        self._octets += message.octets
        while len(self._kept) > self._most_messages or self._octets > self._most_octets:
            self._forget(next(iter(self._kept)))

    def _forget(self, subject: Subject) -> None:
        old = self._kept.pop(subject, None)
        if old is not None:
            self._octets -= old.octets


def _in_json(text: str) -> str:
    """Returns the value of a header without octets that are not UTF-8, because JSON cannot contain them."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def _id_in_body(resource: str, body: Any) -> str | None:
    found = body.get(_ID_IN_POST.get(resource)) if isinstance(body, dict) else None
    return found if isinstance(found, str) else None
