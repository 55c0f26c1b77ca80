"""Sends requests that move no money. For each request, returns the callback with the answer.

One call sends the request and waits for the callback.

The module stores nothing. If the connector stops during a call, the caller sends the request again with the same id.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from fspiop.bodies.common import ErrorInformation
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector.client import HubClient, Said

Key = tuple[str, str]
"""The name of a resource, and the id in the path of the callback."""


class NoAnswer(Exception):
    """The error for a request that was refused, or that was not answered in time.

    `code` is a code of the API.
    """

    def __init__(self, code: str, text: str, *, is_late: bool = False, error: ErrorInformation | None = None) -> None:
        super().__init__(f"{code} {text}")
        self.code, self.text, self.is_late, self.error = code, text, is_late, error


@dataclass(frozen=True, slots=True)
class Reply:
    """A callback, with its body as a typed message, its sender, and the headers that the caller can read."""

    body: Any
    source: str
    headers: dict[str, str] = field(default_factory=dict)


class _Waiting:
    def __init__(self, senders: frozenset[str]) -> None:
        self.senders = senders
        self.answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()


class Exchanges:
    """The requests that wait for their callbacks."""

    def __init__(self, hub: HubClient, hub_id: str, *, seconds: float, again_s: float) -> None:
        self._hub, self._hub_id, self._seconds, self._again_s = hub, hub_id, seconds, again_s
        self._waiting: dict[Key, list[_Waiting]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    async def ask(self, key: Key, method: str, path: str, body: bytes = b"", destination: str | None = None) -> Reply:
        """Sends a request, repeats it if necessary, and returns its callback. Raises NoAnswer if no callback arrives.

        The destination or the hub may send the callback.
        """
        waiting = _Waiting(frozenset({self._hub_id, destination or self._hub_id}))
        self._waiting.setdefault(key, []).append(waiting)
        try:
            return await self._until_answered(waiting, method, path, body, destination)
        finally:
            self._waiting[key].remove(waiting)
            if not self._waiting[key]:
                del self._waiting[key]

    def told(self, key: Key, reply: Reply) -> bool:
        """Passes a callback to the calls that wait for this callback. Returns whether any call was waiting.

        Raises FspiopError if the sender is not the destination of the request.
        """
        found = self._waiting.get(key, [])
        asked = [waiting for waiting in found if reply.source in waiting.senders]
        if found and not asked:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-source: was not asked")
        for waiting in asked:
            if not waiting.answer.done():
                waiting.answer.set_result(reply)
        return bool(asked)

    async def _until_answered(
        self, waiting: _Waiting, method: str, path: str, body: bytes, destination: str | None
    ) -> Reply:
        until, pause = time.monotonic() + self._seconds, self._again_s
        while (left := until - time.monotonic()) > 0:
            sent = await self._hub.send(method, path, body, destination=destination)
            if (sent.said is Said.NO or sent.is_turned_away) and not waiting.answer.done():
                raise NoAnswer(sent.code, sent.text)  # a late refusal of a repetition does not undo the answer
            try:
                reply = await asyncio.wait_for(asyncio.shield(waiting.answer), min(pause, max(0.0, left)))
            except TimeoutError:
                pause *= 2
                continue
            if isinstance(reply.body, ErrorInformation):
                code, text = str(reply.body.error_code), reply.body.error_description
                raise NoAnswer(code, text, error=reply.body)
            return reply
        raise NoAnswer(ErrorCode.SERVER_TIMED_OUT.code, f"no answer to {method} {path.split('/')[1]}", is_late=True)
