"""Keep-alive connections to one hub.

The connections use callbacks, because futures would double the work of each exchange.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from bench.http_parser import Message, Reader

NO_ANSWER = 0
Done = Callable[[int], None]


class Sender(Protocol):
    """Sends a DFSP's requests, and passes each HTTP status to a callback."""

    def send(self, request: bytes, done: Done) -> None: ...


class Client:
    """Sends requests over at most `most` connections. Passes each HTTP status, or NO_ANSWER, to a callback."""

    def __init__(self, host: str, port: int, *, most: int = 128) -> None:
        self._host, self._port, self._most = host, port, most
        self._idle: list[_Connection] = []
        self._waiting: deque[tuple[bytes, Done]] = deque()
        self._connections = 0
        self._connecting: set[asyncio.Task[None]] = set()

    def send(self, request: bytes, done: Done) -> None:
        """Sends the request as soon as a connection is free."""
        if self._idle:
            self._idle.pop().ask(request, done)  # the most recently used connection, so the others can stay idle
            return
        self._waiting.append((request, done))
        if self._connections < self._most:
            self._connections += 1
            task = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _Connection(self), self._host, self._port)
        except OSError:
            self._connections -= 1
            if self._waiting:
                self._waiting.popleft()[1](NO_ANSWER)

    def free(self, connection: "_Connection") -> None:
        """Marks a connection as free after the response to its request."""
        if self._waiting:
            connection.ask(*self._waiting.popleft())
        else:
            self._idle.append(connection)

    def lost(self, connection: "_Connection") -> None:
        """Removes a closed connection.

        If the connection has already delivered a response, sends the interrupted request again on another connection.
        """
        self._connections -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        asked = connection.asked
        if asked is None:
            return
        if connection.answers:
            self.send(*asked)  # sometimes a server closes an idle connection just when the client uses the connection
        else:
            asked[1](NO_ANSWER)


class _Connection(asyncio.Protocol):
    """A connection that sends one request at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None
        self.asked: tuple[bytes, Done] | None = None
        self.answers = 0

    def ask(self, request: bytes, done: Done) -> None:
        assert self._transport is not None
        self.asked = (request, done)
        self._transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._client.free(self)

    def data_received(self, data: bytes) -> None:
        for message in self._reader.feed(data):
            self._answered(message)

    def _answered(self, message: Message) -> None:
        asked, self.asked = self.asked, None
        if asked is None:
            return
        self.answers += 1
        self._client.free(self)
        asked[1](message.status)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.lost(self)
