"""The server for tests: the test API of Mojaloop's SDK. The server shows the messages that the hub has sent to this
DFSP. No call of the server changes anything.
"""

import asyncio

from aiohttp import WSCloseCode, web

from kitovu_connector.callers import Callers
from kitovu_connector.received_messages import Kind, ReceivedMessages, Subject, Watcher
from kitovu_connector.reference_api.errors import ApiError, answer_errors

_MOST_WEBSOCKETS = 64
_HEARTBEAT_S = 30.0
_UNAVAILABLE = 503


class ShownMessages:
    """The calls of the test API, and the open websockets."""

    def __init__(self, received: ReceivedMessages) -> None:
        self._received = received
        self._open: set[web.WebSocketResponse] = set()

    def application(self, callers: Callers) -> web.Application:
        """Returns the aiohttp application. The network must let only the tests reach the application's address."""
        app = web.Application(middlewares=[answer_errors, callers.middleware])
        app.router.add_get("/", self._all)
        for path in ("/requests", "/callbacks"):
            app.router.add_get(path, self._all_of_kind)
            app.router.add_get(path + "/{id}", self._one)
        app.on_shutdown.append(self._close)
        return app

    async def _all(self, request: web.Request) -> web.StreamResponse:
        if not _wants_websocket(request):
            return web.Response(status=204)
        return await self._show_each(request)

    async def _all_of_kind(self, request: web.Request) -> web.StreamResponse:
        if not _wants_websocket(request):
            raise web.HTTPNotFound
        return await self._show_each(request, _kind_of(request))

    async def _one(self, request: web.Request) -> web.StreamResponse:
        subject = _kind_of(request), request.match_info["id"]
        if _wants_websocket(request):
            return await self._show_each(request, *subject)
        found = self._received.of(subject)
        return web.Response(status=204) if found is None else web.Response(body=found, content_type="application/json")

    async def _show_each(self, request: web.Request, *wanted: str) -> web.StreamResponse:
        """Sends each message whose subject begins with `wanted`, until the test closes the websocket."""

        def wants(subject: Subject) -> bool:
            return subject[: len(wanted)] == wanted

        if len(self._open) >= _MOST_WEBSOCKETS:
            raise ApiError(_UNAVAILABLE, "2000", f"at most {_MOST_WEBSOCKETS} websockets can be open")
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_S, compress=False, max_msg_size=1_024)
        self._open.add(socket)
        try:
            with self._received.watch(wants) as watcher:  # before the test sees that the websocket is open
                await socket.prepare(request)
                sending = asyncio.create_task(_send(socket, watcher))
                try:
                    async for _ in socket:
                        pass  # the SDK ignores what a test sends
                finally:
                    sending.cancel()
        finally:
            self._open.discard(socket)
        return socket

    async def _close(self, _: web.Application) -> None:
        await asyncio.gather(*(socket.close(code=WSCloseCode.GOING_AWAY) for socket in self._open))


async def _send(socket: web.WebSocketResponse, watcher: Watcher) -> None:
    try:
        while (message := await watcher.next()) is not None:
            await socket.send_str(message.decode())
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER)
    except ConnectionError:
        pass  # the test has closed the websocket


def _wants_websocket(request: web.Request) -> bool:
    return web.WebSocketResponse().can_prepare(request).ok


def _kind_of(request: web.Request) -> Kind:
    return "callbacks" if request.path.startswith("/callbacks") else "requests"
