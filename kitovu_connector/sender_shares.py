"""Divides places among the DFSPs that send messages to the connector. No DFSP can use all places."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager

from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector.background import Background


class Shares:
    """Open work for other DFSPs. Refuses more than `most` pieces of work, and more than `most_of_one` for one DFSP."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._open = Counter[str]()

    def check_has_room(self, sender: str) -> None:
        """Raises FspiopError 2005 if too much work is open, either for all DFSPs together or for this sender."""
        if self._open.total() >= self._most or self._open[sender] >= self._most_of_one:
            raise FspiopError(ErrorCode.SERVER_BUSY, http_status=503)

    @contextmanager
    def place(self, sender: str) -> Iterator[None]:
        """Counts one piece of work for this sender, until the end of the context."""
        self._open[sender] += 1
        try:
            yield
        finally:
            self._end(sender)

    def start(self, background: Background, sender: str, work: Callable[[], Coroutine[None, None, object]]) -> None:
        """Runs the work for this sender in a task. Raises FspiopError 2005 if there is no room."""
        self.check_has_room(sender)
        self._open[sender] += 1
        background.start(self._until_over(sender, work()))

    async def _until_over(self, sender: str, work: Coroutine[None, None, object]) -> None:
        try:
            await work
        finally:
            self._end(sender)

    def _end(self, sender: str) -> None:
        self._open[sender] -= 1
        if not self._open[sender]:
            del self._open[sender]


def shares_of_answers(connections: int) -> Shares:
    """Returns the shares for answers to requests that the connector does not store."""
    return Shares(8 * connections, 2 * connections)


class Places:
    """A number of places. A free place goes to the waiting sender that has the fewest places. One sender can have at
    most seven eighths of the places.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._most_of_one = max(1, number - max(1, number // 8))
        self._held = Counter[str]()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def of(self, sender: str, seconds: float | None = None) -> AsyncIterator[None]:
        """Waits for a place, and has this place until the end of the context. Raises TimeoutError if no place is free
        for this sender within `seconds`. None means that there is no time limit.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(sender, deque()).append(turn)
        self._give()
        try:
            async with asyncio.timeout(seconds):
                await turn
        except (asyncio.CancelledError, TimeoutError):
            if turn.done() and not turn.cancelled():
                self._take_back(sender)  # the sender got the place at the same moment
            raise
        try:
            yield
        finally:
            self._take_back(sender)

    def _take_back(self, sender: str) -> None:
        self._free += 1
        self._held[sender] -= 1
        if not self._held[sender]:
            del self._held[sender]
        self._give()

    def _give(self) -> None:
        while self._free:
            ready = [sender for sender in self._waiting if self._held[sender] < self._most_of_one]
            if not ready:
                return
            sender = min(ready, key=lambda each: self._held[each])
            waiting = self._waiting.pop(sender)
            turn = waiting.popleft()
            if waiting:
                self._waiting[sender] = waiting  # this sender is now behind all other waiting senders
            if not turn.done():  # the caller was not cancelled
                self._free -= 1
                self._held[sender] += 1
                turn.set_result(None)
