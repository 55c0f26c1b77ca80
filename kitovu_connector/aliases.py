"""Registers and withdraws customers' aliases at the hub, and waits for the hub's callback."""

import asyncio

from fspiop import bodies
from fspiop.bodies.common import ErrorInformation
from fspiop.bodies.participants import ParticipantPost
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import party_identifiers
from kitovu_connector.client import HubClient, Said
from kitovu_connector.config import Config
from kitovu_connector.errors import NO_ANSWER_YET, NothingBegun, Unanswered
from kitovu_connector.keyed_locks import KeyedLocks
from kitovu_connector.party_identifiers import Alias
from kitovu_connector.party_paths import party_path


class AliasRefused(NothingBegun, FspiopError):
    """The error for an alias that the hub refuses. `hub_code` and `hub_text` are the hub's error code and text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(ErrorCode.CLIENT_ERROR, f"{code} {text}")
        self.hub_code, self.hub_text = code, text


class Aliases:
    """Sends POST and DELETE /participants/{Type}/{ID}.

    The caller can send the same request again without harm. The hub returns the same result for a repeated request.
    """

    def __init__(self, config: Config, hub: HubClient) -> None:
        self._config, self._hub = config, hub
        self._turns = KeyedLocks()
        self._waiting: dict[Alias, asyncio.Future[ErrorInformation | None]] = {}

    async def register(self, alias: Alias, currency: str | None) -> None:
        """Registers an alias, and returns when the hub has registered the alias.

        Raises AliasRefused with the hub's reason if the hub refuses the alias, and Unanswered if the hub does not
        answer in time.
        """
        body = bodies.write(ParticipantPost(fsp_id=self._config.dfsp, currency=currency))
        await self._ask("POST", alias, body)

    async def withdraw(self, alias: Alias) -> None:
        """Withdraws an alias, and returns when the hub has removed the alias.

        Raises the same errors as `register`.
        """
        await self._ask("DELETE", alias, b"")

    def told(self, alias: Alias, error: ErrorInformation | None) -> bool:
        """Passes the hub's callback to the waiting request about this alias, if there is such a request.

        Returns whether a request was waiting.
        """
        future = self._waiting.get(party_identifiers.same(alias))
        if future is None or future.done():
            return False
        future.set_result(error)
        return True

    async def _ask(self, method: str, alias: Alias, body: bytes) -> None:
        """Sends one request at a time for each alias, because a callback does not name the request's method."""
        party_identifiers.check("", alias[1], alias[2])
        key = party_identifiers.same(alias)
        async with self._turns.hold(repr(key)):
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
            try:
                error = await self._answer_to(method, alias, body, future)
            finally:
                del self._waiting[key]
        if error is not None:
            code, text = str(error.error_code), error.error_description
            if code in NO_ANSWER_YET:
                raise Unanswered(NO_ANSWER_YET[code], text)
            raise AliasRefused(code, text)

    async def _answer_to(
        self, method: str, alias: Alias, body: bytes, future: asyncio.Future[ErrorInformation | None]
    ) -> ErrorInformation | None:
        answer = await self._hub.send(method, party_path("participants", *alias), body)
        if answer.said is Said.NO or answer.is_turned_away:
            raise AliasRefused(answer.code, answer.text)
        if answer.said is Said.NOTHING:
            raise Unanswered(ErrorCode.DESTINATION_COMMUNICATION_ERROR, "no response from the hub; try again")
        try:
            return await asyncio.wait_for(future, self._config.agree_s)
        except TimeoutError:
            raise Unanswered(ErrorCode.SERVER_TIMED_OUT, "no callback from the hub; try again") from None
