"""Asks the core for the customers of a request, before the connector stores the request.

If the core knows none of these customers, the connector answers the request but never stores it. If the connector
stored such requests, anybody could fill the connector's database.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector.answering_lookups import Parties
from kitovu_connector.asking_the_core import No
from kitovu_connector.background import Background
from kitovu_connector.conflicts import Conflict
from kitovu_connector.party_identifiers import Alias

_WAIT_FOR_A_LOOKUP_S = 2.0  # the hub waits five seconds for the response to a message
_LONGEST_CHECK_S = 30.0  # a bulk can name a thousand customers, and a slow core takes seconds for each
# The hub sends a request again if the check took too long. The check of a refused request must not begin again then.
_REFUSED_FOR_S = 60.0
_MOST_REFUSED = 10_000


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
        # the refused requests by id: the content, the reason, and the time until which the refusal is valid
        self._refused: OrderedDict[str, tuple[object, No, float]] = OrderedDict()

    async def run(
        self,
        request_id: str,
        content: object,
        customers: Sequence[Alias],
        *,
        asker: str,
        keep: Callable[[], Awaitable[None]],
        refuse: Callable[[No], None],
    ) -> None:
        """Looks up the customers, one after another. Calls `keep` as soon as the core has found one of the customers.
        Calls `refuse` if none of the customers exists.

        Calls `keep` immediately if the core has just answered a lookup of one of these customers. Calls `refuse`
        immediately if this request has just been refused. Calls `refuse` with error 1001 if the core has not found a
        customer within `_LONGEST_CHECK_S` seconds. Raises Conflict if a different request with this id waits. Raises
        FspiopError 2005 if the core takes too long. After error 2005, the hub sends the request again, because the
        connector has not acknowledged the request.
        """
        if any(self._parties.is_known(customer) for customer in customers):
            await keep()
            return
        refused_content, no, until = self._refused.get(request_id, (None, None, 0.0))
        if no is not None and refused_content == content and until > time.monotonic():
            refuse(no)
            return
        check = self._checks.get(request_id)
        if check is None:
            self._parties.check_has_room(asker)
            check = self._checks[request_id] = _Check(content)
            self._background.start(self._finish(request_id, check, customers, asker, keep, refuse))
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
        customers: Sequence[Alias],
        asker: str,
        keep: Callable[[], Awaitable[None]],
        refuse: Callable[[No], None],
    ) -> None:
        try:
            no = await self._why_nobody(customers, asker)
            if no is None:
                await keep()
            else:
                self._note(request_id, check.content, no)
                refuse(no)
        except Exception as error:  # the connector does not acknowledge the request
            check.fault = error
        finally:
            self._checks.pop(request_id, None)
            check.is_done.set()

    def _note(self, request_id: str, content: object, no: No) -> None:
        self._refused[request_id] = (content, no, time.monotonic() + _REFUSED_FOR_S)
        self._refused.move_to_end(request_id)
        if len(self._refused) > _MOST_REFUSED:
            self._refused.popitem(last=False)

    async def _why_nobody(self, customers: Sequence[Alias], asker: str) -> No | None:
        """Returns None as soon as the core has found one of these customers. If the core finds no customer, returns the
        reason.
        """
        no = No(ErrorCode.PARTY_NOT_FOUND.code)
        try:
            async with asyncio.timeout(_LONGEST_CHECK_S):
                for customer in customers:
                    found = await self._parties.find(customer, asker)
                    if not isinstance(found, No):
                        return None
                    no = found
                    if no.code == ErrorCode.DESTINATION_COMMUNICATION_ERROR.code:
                        break  # the core does not answer
        except TimeoutError:
            return No(ErrorCode.DESTINATION_COMMUNICATION_ERROR.code)
        return no
