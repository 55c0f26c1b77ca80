"""Closes those connections of a server on which no request arrives. Otherwise a program that opens connections and
sends nothing could use up all connections.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from kitovu_connector.background import Background

_FIRST_REQUEST_S = 15.0  # the longest time from the opening of a connection to the end of the first request's headers
_IDLE_S = 120.0  # the longest pause between two requests
_MOST = 512  # many systems let a process open only 1,024 files
_LOOK_EVERY_S = 0.5

Connection = RequestHandler


class IdleConnections:
    """The connections of one server."""

    def __init__(self) -> None:
        self._busy = Counter[Connection]()  # the number of requests whose headers have arrived
        self._idle_from: dict[Connection, float] = {}
        self._has_asked: set[Connection] = set()
        self._background = Background()

    def start(self, server: web.Server) -> None:
        """Starts the checks of the server's connections."""
        self._background.start(self._look_now_and_then(server))

    async def close(self) -> None:
        """Stops the checks."""
        await self._background.close()

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Records that a connection has sent a request."""
        connection = request.protocol
        self._busy[connection] += 1
        self._has_asked.add(connection)
        try:
            return await handler(request)
        finally:
            self._busy[connection] -= 1
            if not self._busy[connection]:
                del self._busy[connection]
            self._idle_from[connection] = time.monotonic()

    async def _look_now_and_then(self, server: web.Server) -> None:
        while True:
            self._look(server.connections)
            await asyncio.sleep(_LOOK_EVERY_S)

    def _look(self, connections: list[Connection]) -> None:
        """Closes the connections that have been idle for too long. If too many connections are open, also closes the
        connections that have been idle for the longest time."""
        now = time.monotonic()
        self._idle_from = {each: self._idle_from.get(each, now) for each in connections}
        self._has_asked.intersection_update(connections)
        idle = sorted((each for each in connections if each not in self._busy), key=self._idle_from.__getitem__)
        too_many = len(connections) - _MOST
        for place, each in enumerate(idle):
            allowed = _IDLE_S if each in self._has_asked else _FIRST_REQUEST_S
            if place < too_many or now - self._idle_from[each] >= allowed:
                each.force_close()
