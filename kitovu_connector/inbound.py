"""The server for the hub's requests. Checks the size, headers and signature of each message, and passes the message to
its handler.

The server responds only after the handler has stored the message's data.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence

import structlog
from aiohttp import web

from fspiop import headers, jws, strictjson, versions
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import logs, party_identifiers, tls
from kitovu_connector.callers import check_encoding
from kitovu_connector.config import Config
from kitovu_connector.conflicts import Conflict
from kitovu_connector.inbound_message import SHOWN_HEADERS, Handler, HasRoutes, Message
from kitovu_connector.inbound_party_messages import PartyMessages
from kitovu_connector.known_keys import KnownKeys
from kitovu_connector.message_forms import MessageForms
from kitovu_connector.received_messages import ReceivedMessages
from kitovu_connector.relay import Relay

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 65_536
MAX_BULK_BYTES = 5_242_880
# Each limit is above the size of the largest valid message. A packet has up to 32 KiB, a party about 10 KiB, and an
# error has extensions.
_MOST_BYTES = {
    "parties": 32_768,
    "participants": 8_192,
    "services": 8_192,
    "authorizations": 8_192,
    "bulkQuotes": MAX_BULK_BYTES,
    "bulkTransfers": MAX_BULK_BYTES,
}
_MOST_BYTES_OF_AN_ERROR = _MOST_BYTES_OF_A_PATCH = 16_384
_MOST_BYTES_OF_A_GET = 0
_UNSIGNED = frozenset({"GET", "DELETE"})


class Inbound:
    """Accepts the requests and callbacks that the hub may send to this DFSP. `parts` handle these messages."""

    def __init__(
        self,
        config: Config,
        keys: KnownKeys,
        parties: PartyMessages,
        parts: Sequence[HasRoutes],
        relay: Relay | None,
        received: ReceivedMessages | None,
    ) -> None:
        self._config, self._keys, self._parties, self._relay = config, keys, parties, relay
        self._received = received
        self._parts = (parties, *parts)
        self._forms = MessageForms(config)

    def application(self) -> web.Application:
        """Returns the aiohttp application, which serves the path prefix that this DFSP has registered at the hub."""
        app = web.Application(client_max_size=MAX_BULK_BYTES, middlewares=[_no_such_resource])
        prefix = self._config.inbound_prefix.rstrip("/")
        for method, path, handler in [route for part in self._parts for route in part.routes()]:
            app.router.add_route(method, prefix + path, self._doorway(f"{method} {path}", handler))
            if self._relay is not None:
                self._relay.add(f"{method} {path}", handler)

        async def health(_: web.Request) -> web.Response:
            return web.json_response({"status": "OK"})

        app.router.add_get("/health", health)
        return app

    def _doorway(self, route: str, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            try:
                return web.Response(status=await self._handle(route, handler, await self._let_in(route, request)))
            except FspiopError as error:
                refusal = error
            except web.HTTPRequestEntityTooLarge:
                refusal = _too_large(MAX_BULK_BYTES)
            except (ConnectionError, web.RequestPayloadError):
                refusal = FspiopError(ErrorCode.MALFORMED_SYNTAX, "the body ended too early")
            except Conflict:
                refusal = FspiopError(ErrorCode.MODIFIED_REQUEST, "this ID was used with other content")
            except Exception as error:
                log.error("message_failed", method=request.method, error=logs.trace_of(error))
                return _error_response(FspiopError(ErrorCode.INTERNAL_SERVER_ERROR))
            log.warning(
                "message_refused",
                method=request.method,
                resource=self._path_of(request).split("/")[1],
                source=logs.without_numbers(request.headers.get("FSPIOP-Source", "")[:32]),
                code=refusal.code,
                why=logs.without_numbers(refusal.description),
            )
            return _error_response(refusal)

        return answer

    async def _handle(self, route: str, handler: Handler, message: Message) -> int:
        """Returns the HTTP status from the handler.

        If no caller in this instance waits for a callback, relays the callback to the other instances.
        """
        try:
            status = await handler(message)
        except FspiopError:
            if self._relay is None or message.is_awaited is not False:
                raise
            status = 200
        if self._relay is not None and message.is_awaited is False:
            await self._relay.publish(route, message)
        return status

    def _path_of(self, request: web.Request) -> str:
        """Returns the path without the prefix, in the sender's encoding."""
        return request.raw_path.removeprefix(self._config.inbound_prefix.rstrip("/"))

    async def _let_in(self, route: str, request: web.Request) -> Message:
        if self._config.is_pinned and not self._is_connection_of_hub(request):
            raise FspiopError(ErrorCode.CLIENT_ERROR, "this connection is not from the hub", http_status=403)
        check_encoding(request)
        path = self._path_of(request)
        resource = re.split(r"[/?]", path)[1]
        if resource not in versions.SUPPORTED:  # the path includes the host, or has letters that are percent-encoded
            raise FspiopError(ErrorCode.UNKNOWN_URI, http_status=404)
        _check_identifiers(request)
        raw = await self._body_of(request, resource)
        most_values = max(MAX_BODY_BYTES, _most_bytes(request, resource)) // strictjson.OCTETS_OF_A_VALUE
        strictjson.check_structure(raw, most_values=most_values)
        read = headers.read_headers(
            request.method, resource, request.headers.get, needs_content_type=request.method not in _UNSIGNED
        )
        if read.destination not in (None, self._config.dfsp):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-destination: names another DFSP")
        is_signed = await self._verify(request, read, raw, path, resource)
        # Without signatures and without a pinned certificate, FSPIOP-Source is the only evidence of the sender. In this
        # case, the network must let only the hub reach this port.
        is_proven = self._config.is_pinned or is_signed or not self._config.verify_jws
        raw = self._forms.received(request.method, resource, read, raw, is_error=route.endswith("/error"))
        if self._received is not None:
            self._received.add(request.method, resource, request.match_info, request.headers, raw)
        return Message(
            names=dict(request.match_info),
            headers={name: request.headers[name] for name in SHOWN_HEADERS if name in request.headers},
            raw=raw,
            source=read.source,
            sent_at=read.date.timestamp(),
            is_from_hub=is_proven and read.source == self._config.hub_id,
            came_via_hub=self._config.is_pinned,
            query=dict(request.query),
        )

    async def _body_of(self, request: web.Request, resource: str) -> bytes:
        """Reads and returns the body. The body must not exceed the resource's size limit, and must arrive within
        `request_s`.
        """
        most = _most_bytes(request, resource)
        if (request.content_length or 0) > most:
            raise _too_large(most)
        try:
            async with asyncio.timeout(self._config.request_s):
                raw = await _read_at_most(request, most)
        except TimeoutError:
            raise FspiopError(ErrorCode.CLIENT_ERROR, "the body did not come in time", http_status=408) from None
        return raw

    def _is_connection_of_hub(self, request: web.Request) -> bool:
        certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
        return self._config.inbound_client_name in tls.names_of(certificate)

    async def _verify(self, request: web.Request, read: headers.Headers, raw: bytes, path: str, resource: str) -> bool:
        """Returns whether the request has a valid signature of the sender.

        Raises FspiopError 3105 if a signature is wrong, or if a required signature is missing.
        """
        if not self._config.verify_jws:
            return False
        if not self._keys.of(read.source):
            await self._keys.fetch()
        if not self._keys.of(read.source):
            # A GET has no signature. But the connector refuses a GET from a sender without a known key, because the
            # connector could not verify this sender's later messages.
            await self._end_lookups_of(request, read.source, resource)
            raise FspiopError(ErrorCode.INVALID_SIGNATURE, f"no key of {read.source} is known")
        if request.method in _UNSIGNED:
            return False
        if resource == "parties" and not self._config.verify_put_parties and read.signature is None:
            return False
        if read.signature is None:
            raise FspiopError(ErrorCode.INVALID_SIGNATURE, "fspiop-signature is missing")
        try:
            self._check_signature(request, read.source, read.signature, raw, path)
        except FspiopError:
            if not await self._keys.fetch():
                raise
            self._check_signature(request, read.source, read.signature, raw, path)  # the sender may have a new key
        return True

    def _check_signature(self, request: web.Request, source: str, signature: str, raw: bytes, path: str) -> None:
        jws.verify_compat(
            signature,
            raw,
            keys=self._keys.of(source),
            method=request.method,
            uri=path,
            headers={name.lower(): value for name, value in request.headers.items()},
        )

    async def _end_lookups_of(self, request: web.Request, source: str, resource: str) -> None:
        """Ends a lookup if the connector cannot verify the signature of the answer. The waiting payment then ends
        immediately. Does this only if the connection proves that the message came from the hub.
        """
        if not (self._config.is_pinned and (request.method, resource) == ("PUT", "parties")):
            return
        found = request.match_info
        await self._parties.end_lookups((found["id_type"], found["id_value"], found.get("sub_id")), source)


def _check_identifiers(request: web.Request) -> None:
    """Raises FspiopError if any server could read an identifier in the path as several segments."""
    found = request.match_info
    if not all(party_identifiers.is_segment(found[name]) for name in ("id_value", "sub_id") if name in found):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "the identifier in the path is not one of a party")


def _most_bytes(request: web.Request, resource: str) -> int:
    if request.method in _UNSIGNED:
        return _MOST_BYTES_OF_A_GET
    most = _MOST_BYTES.get(resource, MAX_BODY_BYTES)
    if request.method == "PATCH":
        return min(most, _MOST_BYTES_OF_A_PATCH)
    return min(most, _MOST_BYTES_OF_AN_ERROR) if request.path.endswith("/error") else most


async def _read_at_most(request: web.Request, most: int) -> bytes:
    """Returns the body. Reads a body, but stops when the body exceeds the size limit."""
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
    return b"".join(parts)


def _too_large(most: int) -> FspiopError:
    return FspiopError(ErrorCode.TOO_LARGE_PAYLOAD, f"at most {most} bytes")


@web.middleware
async def _no_such_resource(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        log.warning("message_refused", method=request.method, code=ErrorCode.UNKNOWN_URI.code, why="no such resource")
        return _error_response(FspiopError(ErrorCode.UNKNOWN_URI))


def _error_response(error: FspiopError) -> web.Response:
    return web.Response(
        status=error.http_status, body=strictjson.canonical(error.body()), content_type="application/json"
    )
