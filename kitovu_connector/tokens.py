"""The access token for the hub (OAuth2 client credentials).

The connector requests the token when it first needs one, and renews the token before its expiration.
"""

import asyncio
import base64
import time
from pathlib import Path

import aiohttp
import msgspec
import structlog

from kitovu_connector.config import Config

log = structlog.get_logger(__name__)

_ANSWER_AT_MOST = 16 * 1024
# the part of a token's lifetime after which the connector renews it; without this, a token could expire while a request
# is on its way
_RENEW_AT = 0.75


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: float

    def __repr__(self) -> str:
        return f"_Granted(expires_in={self.expires_in})"


class NoToken(Exception):
    """The error if the hub returned no token.

    A later attempt can succeed. If `is_refused` is true, people must correct the credentials before the next attempt.
    """

    def __init__(self, text: str, *, is_refused: bool = False) -> None:
        super().__init__(text)
        self.is_refused = is_refused


class Tokens:
    """One token, which all requests use. Even if many callers wait for a new token, the connector sends only one
    request for it.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._token = ""
        self._renew_at = self._ends_at = 0.0
        self._renewing = asyncio.Lock()

    async def token(self, session: aiohttp.ClientSession) -> str:
        """Returns a token that is valid now. Raises NoToken if the hub returns no token."""
        if self._config.hub_token_file:
            try:  # reads the file each time, because another program can replace the file
                return _text_of(self._config.hub_token_file)
            except OSError as error:
                raise NoToken(f"hub_token_file cannot be read: {error.strerror}") from None
        if time.monotonic() < self._renew_at:
            return self._token
        async with self._renewing:
            if time.monotonic() < self._renew_at:
                return self._token
            began = time.monotonic()
            try:
                granted = await self._fetch(session)
            except (aiohttp.ClientError, TimeoutError, OSError, NoToken) as error:
                if began < self._ends_at:
                    return self._token  # the old token is still valid for a while
                why = str(error) if isinstance(error, NoToken) else type(error).__name__
                log.warning("no_token", error=why)
                raise NoToken(f"no token: {why}", is_refused=isinstance(error, NoToken) and error.is_refused) from None
            self._token = granted.access_token
            self._renew_at = began + granted.expires_in * _RENEW_AT
            self._ends_at = began + granted.expires_in
            return self._token

    def refused(self, token: str) -> bool:
        """Removes a token that the hub refused. Returns whether the connector can request a new token now."""
        if self._config.hub_token_file:
            return False
        if token == self._token:
            self._renew_at = self._ends_at = 0.0
        return True

    async def _fetch(self, session: aiohttp.ClientSession) -> _Granted:
        pair = f"{self._config.token_client}:{self._secret()}".encode()
        async with session.post(
            self._config.token_url,
            data={"grant_type": "client_credentials"},
            headers={"Authorization": "Basic " + base64.b64encode(pair).decode()},
            allow_redirects=False,
        ) as response:
            raw = await response.content.read(_ANSWER_AT_MOST)
            if response.status != 200:
                is_refused = 400 <= response.status < 500 and response.status not in (408, 425, 429)
                raise NoToken(f"HTTP {response.status}", is_refused=is_refused)
        try:
            return msgspec.json.decode(raw, type=_Granted)
        except msgspec.MsgspecError:
            raise NoToken("the response has no token") from None

    def _secret(self) -> str:
        if self._config.token_secret_file:
            return _text_of(self._config.token_secret_file)
        return self._config.token_secret


def _text_of(file: str) -> str:
    return Path(file).read_text("utf-8").strip()
