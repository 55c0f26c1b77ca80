"""The server for a front end of Mojaloop's SDK. The server answers all requests synchronously, in JSON."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from aiohttp import web

from kitovu_connector.callers import Callers
from kitovu_connector.reference_api.errors import answer_errors

MAX_BODY_BYTES = 5_242_880  # of a bulk


class HasCalls(Protocol):
    """The interface for classes that serve a part of the SDK's API."""

    def add_to(self, app: web.Application) -> None:
        """Adds this part's routes to an application."""


@runtime_checkable
class _CanBeWell(Protocol):
    async def is_well(self) -> bool: ...


def application(parts: Sequence[HasCalls], backend: object, callers: Callers) -> web.Application:
    """Returns the aiohttp application. The network must let only the front end reach the application's address."""

    async def health(_: web.Request) -> web.Response:
        """Returns 200 while the connector runs. The body shows whether the core answers."""
        is_well = await backend.is_well() if isinstance(backend, _CanBeWell) else None
        core = {True: "OK", False: "NO_ANSWER", None: "NOT_ASKED"}[is_well]
        return web.json_response({"status": "OK", "core": core})

    app = web.Application(middlewares=[answer_errors, callers.middleware], client_max_size=MAX_BODY_BYTES)
    app.router.add_get("/", _health)
    app.router.add_get("/health", health)
    for part in parts:
        part.add_to(app)
    return app


async def _health(_: web.Request) -> web.Response:
    """Returns 200 with an empty body while the connector runs, as the SDK does."""
    return web.Response(status=200)
