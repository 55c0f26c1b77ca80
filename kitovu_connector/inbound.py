"""The server for the hub's requests. Checks headers, signature and body, stores the data, and then responds."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import cast, get_args

import structlog
from aiohttp import web

from fspiop import bodies, headers, jws, strictjson
from fspiop import time as fsptime
from fspiop.bodies.common import PartyIdType
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.participants import ParticipantPut, ParticipantsPut
from fspiop.bodies.parties import PartyPut
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.transfers import TransferPatch, TransferPost, TransferPut
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import identifiers, logs, terms, tls
from kitovu_connector.aliases import Aliases
from kitovu_connector.causes import cause_in
from kitovu_connector.client import HubClient
from kitovu_connector.config import Config
from kitovu_connector.exchanges import Exchanges
from kitovu_connector.inbound_message import SHOWN_HEADERS, Handler, HasRoutes, Message, Route
from kitovu_connector.known_keys import KnownKeys
from kitovu_connector.lookups import Lookups
from kitovu_connector.parties import Parties
from kitovu_connector.payee import Ending, Payee
from kitovu_connector.payer import Payer
from kitovu_connector.payment_events_and_actions import (
    EndClaimed,
    ErrorReported,
    OwnerFound,
    PartyFailed,
    PartyFound,
    QuoteFailed,
    Reported,
)
from kitovu_connector.payment_events_and_actions import QuoteGiven as QuoteTold
from kitovu_connector.payment_order import ref_of
from kitovu_connector.payment_states import Payment
from kitovu_connector.relay import Relay
from kitovu_connector.store import Conflict, Incoming, QuoteGiven, Store

log = structlog.get_logger(__name__)

PARTY_ID_TYPES = frozenset(get_args(PartyIdType))
MAX_BODY_BYTES = 65_536
MAX_BULK_BYTES = 5_242_880
# Limits above the largest legal messages: a packet has 32 KiB, a party about 10 KiB, and an error has extensions.
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
    """The requests and callbacks that the hub may send to this DFSP."""

    def __init__(
        self,
        config: Config,
        store: Store,
        hub: HubClient,
        payer: Payer,
        payee: Payee,
        parties: Parties,
        aliases: Aliases,
        lookups: Lookups,
        exchanges: Exchanges,
        keys: KnownKeys,
        relay: Relay | None,
        others: Sequence[HasRoutes] = (),
    ) -> None:
        self._config, self._store, self._hub = config, store, hub
        self._payer, self._payee, self._parties, self._aliases = payer, payee, parties, aliases
        self._lookups, self._exchanges, self._others = lookups, exchanges, others
        self._keys, self._relay = keys, relay

    def application(self) -> web.Application:
        """Returns the aiohttp application, at the prefix that the hub has registered for this DFSP."""
        app = web.Application(client_max_size=MAX_BULK_BYTES, middlewares=[_no_such_resource])
        prefix = self._config.inbound_prefix.rstrip("/")
        alias, sub_alias = "/{id_type}/{id_value}", "/{id_type}/{id_value}/{sub_id}"
        routes: list[Route] = [
            ("GET", "/participants" + alias, self._owner_asked),
            ("GET", "/participants" + sub_alias, self._owner_asked),
            ("PUT", "/participants/{id}", self._batch_told),
            ("PUT", "/participants/{id}/error", self._batch_failed),
            ("GET", "/parties" + alias, self._party_asked),
            ("GET", "/parties" + sub_alias, self._party_asked),
            ("PUT", "/parties" + alias + "/error", self._party_failed),
            ("PUT", "/parties" + sub_alias + "/error", self._party_failed),
            ("PUT", "/parties" + alias, self._party_told),
            ("PUT", "/parties" + sub_alias, self._party_told),
            ("PUT", "/participants" + alias + "/error", self._alias_failed),
            ("PUT", "/participants" + sub_alias + "/error", self._alias_failed),
            ("PUT", "/participants" + alias, self._alias_told),
            ("PUT", "/participants" + sub_alias, self._alias_told),
            ("POST", "/quotes", self._quote_asked),
            ("PUT", "/quotes/{id}/error", self._quote_failed),
            ("PUT", "/quotes/{id}", self._quote_told),
            ("POST", "/transfers", self._transfer_asked),
            ("PUT", "/transfers/{id}/error", self._transfer_failed),
            ("PUT", "/transfers/{id}", self._transfer_told),
            ("PATCH", "/transfers/{id}", self._transfer_patched),
        ]
        for method, path, handler in [*routes, *(route for part in self._others for route in part.routes())]:
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
                return web.Response(status=await self._handle(route, handler, await self._let_in(request)))
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
        """Returns the handler's status.

        Relays a callback to the other instances if no caller in this instance waits for it.
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
        """Returns the path without the prefix, as the sender encoded it."""
        return request.raw_path.removeprefix(self._config.inbound_prefix.rstrip("/"))

    async def _let_in(self, request: web.Request) -> Message:
        if self._config.is_pinned and not self._is_connection_of_hub(request):
            raise FspiopError(ErrorCode.CLIENT_ERROR, "this connection is not from the hub", http_status=403)
        path = self._path_of(request)
        resource = re.split(r"[/?]", path)[1]
        _check_identifiers(request)
        raw = await self._body_of(request, resource)
        most_values = max(MAX_BODY_BYTES, _most_bytes(request, resource)) // strictjson.OCTETS_OF_A_VALUE
        strictjson.check_structure(raw, most_values=most_values)
        read = headers.read_headers(
            request.method, resource, request.headers.get, needs_content_type=request.method not in _UNSIGNED
        )
        if read.content_version is not None and read.content_version.is_iso20022:
            raise FspiopError(ErrorCode.UNACCEPTABLE_VERSION, "ISO 20022 is not supported")
        if read.destination not in (None, self._config.dfsp):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-destination: names another DFSP")
        is_signed = await self._verify(request, read, raw, path, resource)
        # Without signatures and without a pinned certificate, FSPIOP-Source is the only evidence of the sender. In this
        # case, only the hub may be able to reach this port.
        is_proven = self._config.is_pinned or is_signed or not self._config.verify_jws
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
        """Returns the body if it is not too large for the resource and arrives within `request_s`."""
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
        """Returns whether the sender signed the request.

        Raises FspiopError 3105 if a signature is wrong, or if a required signature is missing.
        """
        if not self._config.verify_jws:
            return False
        if not self._keys.of(read.source):
            await self._keys.fetch()
        if not self._keys.of(read.source):
            # A GET has no signature. A GET of an unknown sender is refused too, because no later message of this sender
            # could be verified.
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
        """Ends a lookup whose answer the connector cannot verify, so that the waiting payment ends at once.

        Only a connection from the hub proves that the sender is the payee's DFSP.
        """
        if not (self._config.is_pinned and (request.method, resource) == ("PUT", "parties")):
            return
        found = request.match_info
        error = FspiopError(ErrorCode.INVALID_SIGNATURE, f"no key of {source} is known")
        failed = PartyFailed(error.code, error.description, source, is_proven=True)
        alias = found["id_type"], found["id_value"], found.get("sub_id")
        self._lookups.told(alias, failed)
        for payment in self._payer.looking_for(*alias):
            await self._payer.move(payment, failed)

    # --- parties and aliases ----------------------------------------------------------------------------------------

    async def _party_asked(self, message: Message) -> int:
        id_type, id_value, sub_id = message.alias
        if id_type not in PARTY_ID_TYPES:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "partyIdType: not a type of the API")
        # The callback goes to the hub, which forwards the callback to FSPIOP-Source or refuses it.
        self._parties.answer(message.source, cast(PartyIdType, id_type), id_value, sub_id)
        return 202

    async def _owner_asked(self, message: Message) -> int:
        """Handles GET /participants: another DFSP asks whether this DFSP has the customer."""
        id_type, id_value, sub_id = message.alias
        if id_type not in PARTY_ID_TYPES:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "partyIdType: not a type of the API")
        self._parties.answer_owner(message.source, cast(PartyIdType, id_type), id_value, sub_id)
        return 202

    async def _batch_told(self, message: Message) -> int:
        message.check_is_from_hub()
        message.met(self._exchanges.told(("participants", message.id), message.reply(message.read(ParticipantsPut))))
        return 200

    async def _batch_failed(self, message: Message) -> int:
        message.check_is_from_hub()
        message.met(self._exchanges.told(("participants", message.id), message.reply(message.error)))
        return 200

    async def _party_told(self, message: Message) -> int:
        party = ref_of(bodies.read(PartyPut, message.raw).party)
        return await self._move_lookups(message, PartyFound(party, message.source, message.came_via_hub))

    async def _party_failed(self, message: Message) -> int:
        error = bodies.read(ErrorPut, message.raw).error_information
        is_proven = message.is_from_hub or message.came_via_hub
        failed = PartyFailed(error.error_code, error.error_description, message.source, is_proven)
        return await self._move_lookups(message, failed)

    async def _move_lookups(self, message: Message, event: PartyFound | PartyFailed | OwnerFound) -> int:
        message.met(self._lookups.is_awaited(message.alias))
        refusal = self._lookups.told(message.alias, event)
        for payment in self._payer.looking_for(*message.alias):
            message.met(True)
            refusal = await self._payer.move(payment, event) or refusal
        if refusal is not None:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, refusal)
        return 200

    async def _alias_told(self, message: Message) -> int:
        message.check_is_from_hub()
        body = bodies.read(ParticipantPut, message.raw)
        owner = body.fsp_id or next((party.fsp_id for party in body.party_list or [] if party.fsp_id), None)
        if owner in (None, self._config.dfsp):
            message.met(self._aliases.told(message.alias, None))
        return 200 if owner is None else await self._move_lookups(message, OwnerFound(owner))

    async def _alias_failed(self, message: Message) -> int:
        message.check_is_from_hub()
        error = bodies.read(ErrorPut, message.raw).error_information
        if self._aliases.told(message.alias, error):
            return 200  # a new lookup of this alias follows
        failed = PartyFailed(error.error_code, error.error_description, message.source, is_proven=True)
        return await self._move_lookups(message, failed)

    # --- quotes -----------------------------------------------------------------------------------------------------

    async def _quote_asked(self, message: Message) -> int:
        body = bodies.read(QuotePost, message.raw)
        if body.payer.party_id_info.fsp_id not in (None, message.source):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payer.partyIdInfo.fspId: must be the FSPIOP-Source")
        if body.payee.party_id_info.fsp_id not in (None, self._config.dfsp):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payee.partyIdInfo.fspId: names another DFSP")
        terms.check(body)
        digest = strictjson.digest(strictjson.loads(message.raw))
        await self._payee.take_quote(
            QuoteGiven(quote_id=body.quote_id, digest=digest, request=message.raw, payer_fsp=message.source),
            ref_of(body.payee).alias,
        )
        return 202

    async def _quote_told(self, message: Message) -> int:
        quote = bodies.read(QuotePut, message.raw)
        if self._exchanges.told(("quotes", message.id), message.reply(quote)):
            return 200
        payment = self._payment_of_quote(message)
        if message.source != _payee_of(payment):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-source: must be the payee DFSP")
        await self._payer.move(payment, QuoteTold(quote))
        return 200

    async def _quote_failed(self, message: Message) -> int:
        error = message.error
        if self._exchanges.told(("quotes", message.id), message.reply(error)):
            return 200
        payment = self._payment_of_quote(message)
        if not message.is_from_hub and message.source != _payee_of(payment):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-source: must be the payee DFSP or the hub")
        await self._payer.move(payment, QuoteFailed(error.error_code, error.error_description))
        return 200

    def _payment_of_quote(self, message: Message) -> Payment:
        payment = self._store.payment_of_quote(message.id)
        if payment is None:
            message.met(False)
            raise FspiopError(ErrorCode.QUOTE_ID_NOT_FOUND)
        return payment

    # --- transfers --------------------------------------------------------------------------------------------------

    async def _transfer_asked(self, message: Message) -> int:
        body = bodies.read(TransferPost, message.raw)
        if body.payee_fsp != self._config.dfsp or body.payer_fsp != message.source:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payerFsp or payeeFsp does not match the headers")
        terms.check_amount("amount", body.amount)
        await self._payee.take_transfer(
            Incoming(
                transfer_id=body.transfer_id,
                digest=strictjson.digest(strictjson.loads(message.raw)),
                payer_fsp=message.source,
                body=message.raw,
                expires_at=fsptime.parse_datetime(body.expiration).timestamp(),
            )
        )
        return 202

    async def _transfer_told(self, message: Message) -> int:
        body = bodies.read(TransferPut, message.raw)
        payment = self._store.payment_of_transfer(message.id)
        if payment is None:
            was_asked = self._exchanges.told(("transfers", message.id), message.reply(body))
            incoming = self._store.incoming(message.id)
            message.met(was_asked or self._concerns_only(message, incoming))
            if not was_asked or incoming is not None:
                await self._end(message, body.transfer_state, body.completed_timestamp)
            return 200
        if self._is_confirmed_by_hub(message, payment):
            cause = cause_in(body.extension_list)
            event: Reported | EndClaimed = Reported(
                body.transfer_state, body.fulfilment, body.completed_timestamp, cause
            )
        else:
            event = EndClaimed(body.fulfilment)
        refusal = await self._payer.move(payment, event)
        if refusal is not None:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, refusal)
        return 200

    async def _transfer_patched(self, message: Message) -> int:
        body = bodies.read(TransferPatch, message.raw)
        await self._end(message, body.transfer_state, body.completed_timestamp)
        return 200

    async def _transfer_failed(self, message: Message) -> int:
        error = bodies.read(ErrorPut, message.raw).error_information
        payment = self._store.payment_of_transfer(message.id)
        if payment is not None:
            if self._is_confirmed_by_hub(message, payment):
                await self._payer.move(
                    payment, ErrorReported(error.error_code, error.error_description, message.sent_at)
                )
            else:
                await self._payer.move(payment, EndClaimed(cause=(error.error_code, error.error_description)))
            return 200
        was_asked = self._exchanges.told(("transfers", message.id), message.reply(error))
        known = self._store.incoming(message.id)
        message.met(was_asked or self._concerns_only(message, known))
        if was_asked and known is None:
            return 200
        incoming = self._incoming_of_hubs_message(message)
        # Two errors end an incoming transfer: the report that it has expired, and "not found" if the hub wrote that
        # error after the transfer's expiration.
        is_too_late = message.sent_at >= incoming.expires_at + self._config.clock_margin_s
        if error.error_code == ErrorCode.TRANSFER_EXPIRED.code or (
            error.error_code == ErrorCode.TRANSFER_ID_NOT_FOUND.code and is_too_late
        ):
            await self._payee.take_ending(message.id, Ending("ABORTED"))
        return 200

    def _concerns_only(self, message: Message, incoming: Incoming | None) -> bool:
        """Returns whether a report concerns only an incoming transfer.

        All instances share the records of incoming transfers.

        A core that uses the reference API perhaps waits at another instance for the hub's report.
        """
        return incoming is not None and not (self._config.reference_api and message.is_from_hub)

    def _is_confirmed_by_hub(self, message: Message, payment: Payment) -> bool:
        """Returns whether the hub sent or forwarded this message about an outgoing transfer.

        Any other message is only a claim of its sender.

        Raises FspiopError unless the sender is the hub or the payee DFSP.
        """
        if message.is_from_hub:
            return True
        if message.source != _payee_of(payment):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-source: only the hub may report how a transfer ended")
        return message.came_via_hub

    async def _end(self, message: Message, state: str, completed_at: str | None) -> None:
        self._incoming_of_hubs_message(message)
        if state in ("COMMITTED", "ABORTED"):
            await self._payee.take_ending(message.id, Ending(state, completed_at))

    def _incoming_of_hubs_message(self, message: Message) -> Incoming:
        incoming = self._store.incoming(message.id)
        if incoming is None:
            raise FspiopError(ErrorCode.TRANSFER_ID_NOT_FOUND)
        if not message.is_from_hub:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-source: only the hub may report how a transfer ended")
        return incoming


def _check_identifiers(request: web.Request) -> None:
    """Raises FspiopError unless each identifier in the path is one segment at every server."""
    found = request.match_info
    if not all(identifiers.is_segment(found[name]) for name in ("id_value", "sub_id") if name in found):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "the identifier in the path is not one of a party")


def _most_bytes(request: web.Request, resource: str) -> int:
    if request.method in _UNSIGNED:
        return _MOST_BYTES_OF_A_GET
    most = _MOST_BYTES.get(resource, MAX_BODY_BYTES)
    if request.method == "PATCH":
        return min(most, _MOST_BYTES_OF_A_PATCH)
    return min(most, _MOST_BYTES_OF_AN_ERROR) if request.path.endswith("/error") else most


async def _read_at_most(request: web.Request, most: int) -> bytes:
    """Returns the body. Stops reading when the body exceeds the size limit."""
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


def _payee_of(payment: Payment) -> str | None:
    return payment.payee.fsp_id if payment.payee is not None else None


def _error_response(error: FspiopError) -> web.Response:
    return web.Response(
        status=error.http_status, body=strictjson.canonical(error.body()), content_type="application/json"
    )
