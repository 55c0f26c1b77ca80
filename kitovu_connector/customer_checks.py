"""Looks a customer up at the core before the connector stores a request about this customer.

If a request is about an unknown customer, the connector answers the request but never stores it. If the connector
stored such requests, anybody could fill the connector's database.
"""

import asyncio
from collections.abc import Awaitable, Callable

from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector.background import Background
from kitovu_connector.conflicts import Conflict
from kitovu_connector.core_answers import No
from kitovu_connector.identifiers import Alias
from kitovu_connector.parties import Parties

_WAIT_FOR_A_LOOKUP_S = 2.0  # the hub waits five seconds for the response to a message


class _Check:
    """A request that the connector has not yet acknowledged."""

    def __init__(self, content: object) -> None:
        self.content = content
        self.is_done = asyncio.Event()
        self.fault: Exception | None = None


class CustomerChecks:
    """The requests that wait until the core has looked up their customers."""

    def __init__(self, parties: Parties, background: Background) -> None:
        self._parties, self._background = parties, background
        self._checks: dict[str, _Check] = {}  # each key is the id of a request

    async def run(
        self,
        request_id: str,
        content: object,
        customer: Alias,
        *,
        asker: str,
        keep: Callable[[], Awaitable[None]],
        refuse: Callable[[No], None],
    ) -> None:
        """Looks the customer up. Calls `keep` if the customer exists, and otherwise `refuse`.

        Calls `keep` immediately if the core has just answered a lookup of this customer. Raises Conflict if a different
        request with this id waits. Raises FspiopError 2005 if the core takes too long. After error 2005, the hub sends
        the request again, because the connector has not acknowledged it.
        """
        if self._parties.is_known(customer):
            await keep()
            return
        check = self._checks.get(request_id)
        if check is None:
            self._parties.check_has_room(asker)
            check = self._checks[request_id] = _Check(content)
            self._background.start(self._finish(request_id, check, customer, asker, keep, refuse))
        elif check.content != content:
            raise Conflict
        try:
            await asyncio.wait_for(check.is_done.wait(), _WAIT_FOR_A_LOOKUP_S)
        except TimeoutError:
            raise FspiopError(ErrorCode.SERVER_BUSY, http_status=503) from None
        if check.fault is not None:
            raise check.fault

    async def _finish(
        self,
        request_id: str,
        check: _Check,
        customer: Alias,
        asker: str,
        keep: Callable[[], Awaitable[None]],
        refuse: Callable[[No], None],
    ) -> None:
        try:
            found = await self._parties.find(customer, asker)
            if isinstance(found, No):
                refuse(found)
            else:
                await keep()
        except Exception as error:  # the connector does not acknowledge the request
            check.fault = error
        finally:
            self._checks.pop(request_id, None)
            check.is_done.set()
