"""Forwards two kinds of requests from the core to the hub: for the DFSP's positions, and for the hub's statement."""

from urllib.parse import urlencode

from aiohttp import web

from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector.core_messages import Positions
from kitovu_connector.hub_api import HubApi, HubRefused, HubUnreachable
from kitovu_connector.outbound import shown

_QUERY = {"since": "from", "until": "to", "after": "after", "limit": "limit"}


class OutboundHub:
    """Gives the server for the core its routes for positions and statements."""

    def __init__(self, api: HubApi) -> None:
        self._api = api

    def add_to(self, app: web.Application) -> None:
        """Adds the routes. The caller's application must turn a raised FspiopError into a response."""
        app.router.add_get("/positions", self._positions)
        app.router.add_get("/statement", self._statement)

    async def _positions(self, _: web.Request) -> web.Response:
        try:
            return shown(Positions(positions=await self._api.positions()))
        except (HubRefused, HubUnreachable) as error:
            raise _failure(error) from None

    async def _statement(self, request: web.Request) -> web.Response:
        """Returns one page of the hub's statement. The statement covers everything that arrived at the hub between
        `since` and `until`.
        """
        unknown = sorted(set(request.query) - set(_QUERY))
        missing = [name for name in ("since", "until") if name not in request.query]
        if unknown or missing:
            text = f"{unknown[0][:32]}: not a parameter of this request" if unknown else f"{missing[0]}: is required"
            raise FspiopError(ErrorCode.VALIDATION_ERROR, text)
        query = {_QUERY[name]: value for name, value in request.query.items()}
        try:
            return shown(await self._api.statement_page(urlencode(query)))
        except (HubRefused, HubUnreachable) as error:
            raise _failure(error) from None


def _failure(error: HubRefused | HubUnreachable) -> FspiopError:
    """Returns the error for the core: 400 if the hub refused values that the core chose, and otherwise 502."""
    if isinstance(error, HubRefused) and error.status == 400:
        return FspiopError(ErrorCode.VALIDATION_ERROR, error.text[:128])
    text = str(error)[:128] or "the hub does not answer"
    return FspiopError(ErrorCode.DESTINATION_COMMUNICATION_ERROR, text, http_status=502)
