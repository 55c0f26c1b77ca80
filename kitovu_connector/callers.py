"""Checks each program that sends a request to one of the connector's servers for the core. Refuses web pages and
compressed bodies. If the settings require a client certificate or a token, refuses callers without it.

Any web page that a person opens can send requests to the servers on the person's machine. In a request from a web page,
the browser adds the header Origin with the site's name.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web

from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import tls
from kitovu_connector.config import Config, ConfigError

_LEAST_CHARACTERS = 32
_OPEN_TO_ALL = frozenset({"/", "/health", "/health/live"})
"""A program that restarts the connector has no token and no certificate, but may call these paths."""


class Callers:
    """The programs that may send requests to the connector's servers for the core."""

    def __init__(self, config: Config) -> None:
        self._file, self._wants_certificate = config.outbound_token_file, bool(config.outbound_client_ca)
        self._name = config.outbound_client_name
        self._digests: list[bytes] = []
        self.use_file()

    def use_file(self) -> None:
        """Reads the file `outbound_token_file` again. Raises ConfigError for a faulty file."""
        if self._file:
            self._digests = [_digest(token) for token in tokens_in(self._file)]

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuses a request if the caller has no access. Another middleware turns the FspiopError into a response."""
        if "Origin" in request.headers:
            raise FspiopError(ErrorCode.CLIENT_ERROR, "origin: a web page may not call the connector", http_status=403)
        check_encoding(request)
        if request.path not in _OPEN_TO_ALL or "Upgrade" in request.headers:  # a websocket on "/" shows messages
            self._check_certificate(request)
            if self._file and not self._is_proven(request):
                text = "authorization: must have a token of outbound_token_file"
                raise FspiopError(ErrorCode.CLIENT_ERROR, text, http_status=401)
        return await handler(request)

    def _check_certificate(self, request: web.Request) -> None:
        if not self._wants_certificate:
            return
        certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
        if not certificate:
            text = "a client certificate of outbound_client_ca is required"
            raise FspiopError(ErrorCode.CLIENT_ERROR, text, http_status=401)
        if self._name and self._name not in tls.names_of(certificate):
            text = "the client certificate has another name than outbound_client_name"
            raise FspiopError(ErrorCode.CLIENT_ERROR, text, http_status=403)

    def _is_proven(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        found = _digest(token.strip())
        is_known = any([hmac.compare_digest(found, digest) for digest in self._digests])  # noqa: C419 - each is compared
        return scheme.lower() == "bearer" and is_known


def tokens_in(file: str) -> list[str]:
    """Returns the tokens in a file that has one token on each line. The first token is the newest. Raises ConfigError
    for a faulty file.
    """
    try:
        tokens = Path(file).read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"outbound_token_file: {file} cannot be read: {error}") from None
    if not tokens or any(len(token) < _LEAST_CHARACTERS or not token.isascii() for token in tokens):
        text = f"outbound_token_file: {file} must have a token of {_LEAST_CHARACTERS} characters or more on each line"
        raise ConfigError(text)
    return tokens


def check_encoding(request: web.Request) -> None:
    """Raises FspiopError for a compressed body, because a small compressed body can fill the memory."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FspiopError(ErrorCode.MALFORMED_SYNTAX, "content-encoding: is not supported")


def is_on_network(config: Config) -> bool:
    """Returns whether programs on other machines can call the servers for the core."""
    hosts = [config.outbound_host, *([config.reference_host] if config.reference_api else [])]
    return not all(map(_is_loopback, hosts))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
