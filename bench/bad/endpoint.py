"""The callback endpoint of a misbehaving participant, and the ways in which this endpoint responds to the hub's
requests."""

import asyncio
from collections import Counter
from collections.abc import Callable
from enum import StrEnum

from bench.http_parser import Message, Reader

SLOW_S = 4.5  # slightly less than the hub's time limit for one delivery

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_NOT_IMPLEMENTED = b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n"


class Manner(StrEnum):
    """How an endpoint responds, or does not respond, to requests."""

    TAKES = "takes"
    SILENT = "silent"  # accepts connections and never reads
    HANGS = "hangs"  # reads requests and never responds
    SLOW = "slow"  # responds after SLOW_S
    NOT_IMPLEMENTED = "not-implemented"
    DEAD = "dead"  # does not listen on its port


class _Server(asyncio.Protocol):
    def __init__(self, manner: Callable[[], Manner], seen: Counter[str]) -> None:
        self._manner, self._seen = manner, seen
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._seen["connections"] += 1
        if self._manner() is Manner.SILENT:
            transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        for message in self._reader.feed(data):
            self._seen[message.start.split(b"/", 2)[1].partition(b" ")[0].decode(errors="replace")] += 1
            self._treat(message)

    def _treat(self, message: Message) -> None:
        match self._manner():
            case Manner.TAKES:
                self._answer(_OK)
            case Manner.SLOW:
                asyncio.get_running_loop().call_later(SLOW_S, self._answer, _OK)
            case Manner.NOT_IMPLEMENTED:
                self._answer(_NOT_IMPLEMENTED)

    def _answer(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


class Endpoint:
    """One participant's endpoint. After a call of `misbehave`, the endpoint misbehaves until the next call of `behave`.
    Before the first call of `misbehave`, and after a call of `behave`, the endpoint accepts every request.
    """

    def __init__(self, port: int, manner: Manner) -> None:
        self._port, self._bad = port, manner
        self._manner = Manner.TAKES
        self.seen: Counter[str] = Counter()

    async def listen(self) -> None:
        """Listens on the port. If `manner` is DEAD, does not listen."""
        if self._bad is not Manner.DEAD:
            loop = asyncio.get_running_loop()
            await loop.create_server(lambda: _Server(lambda: self._manner, self.seen), "127.0.0.1", self._port)

    def misbehave(self) -> None:
        self._manner = self._bad

    def behave(self) -> None:
        """Accepts requests again. The endpoint does not respond to earlier requests."""
        self._manner = Manner.TAKES
