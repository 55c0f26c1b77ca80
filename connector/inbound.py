"""The server that the hub calls: headers, signature and body are checked, what must last is stored, then it answers."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast, get_args

import structlog
from aiohttp import web

from connector.aliases import Aliases
from connector.client import HubClient
from connector.config import Config
from connector.events import ErrorReported, PartyFailed, PartyFound, QuoteFailed, Reported
from connector.events import QuoteGiven as QuoteTold
from connector.order import PartyRef
from connector.parties import Parties
from connector.payee import Ending, Payee
from connector.payer import Payer
from connector.store import Conflict, Incoming, QuoteGiven, Store
from fspiop import bodies, headers, jws, money, strictjson
from fspiop import time as fsptime
from fspiop.bodies.common import Party, PartyIdType
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.parties import PartyPut
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.transfers import TransferPatch, TransferPost, TransferPut
from fspiop.errors import ErrorCode, FspiopError

log = structlog.get_logger(__name__)

PARTY_ID_TYPES = frozenset(get_args(PartyIdType))
MAX_BODY_BYTES = 65_536  # nothing that a connector takes is about many at once
_UNSIGNED = frozenset({"GET", "DELETE"})
Handler = Callable[[web.Request, headers.Headers, bytes], Awaitable[int]]


class Inbound:
    """What the hub may say to this DFSP."""

    def __init__(
        self,
        config: Config,
        store: Store,
        hub: HubClient,
        payer: Payer,
        payee: Payee,
        parties: Parties,
        aliases: Aliases,
    ) -> None:
        self._config, self._store, self._hub = config, store, hub
        self._payer, self._payee, self._parties, self._aliases = payer, payee, parties, aliases
        self._keys = {
            sender: [jws.load_public_key(Path(file).read_bytes()) for file in files]
            for sender, files in config.jws_keys.items()
        }

    def application(self) -> web.Application:
        """The aiohttp application, at the prefix that the hub has registered for us."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        prefix = self._config.inbound_prefix.rstrip("/")
        alias, sub_alias = "/{id_type}/{id_value}", "/{id_type}/{id_value}/{sub_id}"
        routes: list[tuple[str, str, Handler]] = [
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
        for method, path, handler in routes:
            app.router.add_route(method, prefix + path, self._doorway(handler))

        async def health(_: web.Request) -> web.Response:
            return web.json_response({"status": "OK"})

        app.router.add_get("/health", health)
        return app

    def _doorway(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            try:
                path = request.raw_path.removeprefix(self._config.inbound_prefix.rstrip("/"))
                resource = re.split(r"[/?]", path)[1]
                raw = await request.read()
                strictjson.check_structure(raw, most_values=MAX_BODY_BYTES // strictjson.OCTETS_OF_A_VALUE)
                read = headers.read_headers(
                    request.method, resource, request.headers.get, needs_content_type=request.method not in _UNSIGNED
                )
                if read.destination is not None and read.destination != self._config.dfsp:
                    raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-destination: this is another DFSP")
                self._verify(request, read, raw, path, resource)
                return web.Response(status=await handler(request, read, raw))
            except FspiopError as error:
                log.warning("message_refused", method=request.method, code=error.code, why=error.description)
                return _error_response(error)
            except web.HTTPRequestEntityTooLarge:
                return _error_response(FspiopError(ErrorCode.TOO_LARGE_PAYLOAD, f"at most {MAX_BODY_BYTES} bytes"))
            except Conflict:
                return _error_response(FspiopError(ErrorCode.MODIFIED_REQUEST, "this ID was used with other content"))

        return answer

    def _verify(self, request: web.Request, read: headers.Headers, raw: bytes, path: str, resource: str) -> None:
        if not self._config.verify_jws or request.method in _UNSIGNED:
            return
        if resource == "parties" and not self._config.verify_put_parties and read.signature is None:
            return
        if read.signature is None:
            raise FspiopError(ErrorCode.INVALID_SIGNATURE, "fspiop-signature is missing")
        jws.verify_compat(
            read.signature,
            raw,
            keys=self._keys.get(read.source, []),
            method=request.method,
            uri=path,
            headers={name.lower(): value for name, value in request.headers.items()},
        )

    # --- parties and aliases ----------------------------------------------------------------------------------------

    async def _party_asked(self, request: web.Request, read: headers.Headers, raw: bytes) -> int:
        id_type, id_value, sub_id = _alias(request)
        if id_type not in PARTY_ID_TYPES:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"partyIdType: {id_type} is none")
        self._parties.answer(read.source, cast(PartyIdType, id_type), id_value, sub_id)
        return 202

    async def _party_told(self, request: web.Request, read: headers.Headers, raw: bytes) -> int:
        party = bodies.read(PartyPut, raw).party
        for payment in self._payer.looking_for(*_alias(request)):
            await self._payer.move(payment, PartyFound(_party_ref(party)))
        return 200

    async def _party_failed(self, request: web.Request, read: headers.Headers, raw: bytes) -> int:
        error = bodies.read(ErrorPut, raw).error_information
        for payment in self._payer.looking_for(*_alias(request)):
            await self._payer.move(payment, PartyFailed(error.error_code, error.error_description))
        return 200

    async def _alias_told(self, request: web.Request, read: headers.Headers, raw: bytes) -> int:
        strictjson.loads(raw)
        self._aliases.told(_alias(request), None)
        return 200

    async def _alias_failed(self, request: web.Request, read: headers.Headers, raw: bytes) -> int:
        error = bodies.read(ErrorPut, raw).error_information
        self._aliases.told(_alias(request), error)
        return 200

    # --- quotes -----------------------------------------------------------------------------------------------------

    async def _quote_asked(self, request: web.Request, read: headers.Headers, raw: bytes) -> int:
        body = bodies.read(QuotePost, raw)
        digest = strictjson.digest(strictjson.loads(raw))
        await self._payee.take_quote(
            QuoteGiven(quote_id=body.quote_id, digest=digest, request=raw, payer_fsp=read.source)
        )
        return 202

    async def _quote_told(self, request: web.Request, read: headers.Headers, raw: bytes) -> int:
        quote = bodies.read(QuotePut, raw)
        payment = self._store.payment_of_quote(request.match_info["id"])
        if payment is None:
            raise FspiopError(ErrorCode.QUOTE_ID_NOT_FOUND)
        if payment.payee is not None and read.source != payment.payee.fsp_id:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-source: only the payee's DFSP gives the terms")
        await self._payer.move(payment, QuoteTold(quote))
        return 200

    async def _quote_failed(self, request: web.Request, read: headers.Headers, raw: bytes) -> int:
        error = bodies.read(ErrorPut, raw).error_information
        payment = self._store.payment_of_quote(request.match_info["id"])
        if payment is None:
            raise FspiopError(ErrorCode.QUOTE_ID_NOT_FOUND)
        await self._payer.move(payment, QuoteFailed(error.error_code, error.error_description))
        return 200

    # --- transfers --------------------------------------------------------------------------------------------------

    async def _transfer_asked(self, request: web.Request, read: headers.Headers, raw: bytes) -> int:
        body = bodies.read(TransferPost, raw)
        if body.payee_fsp != self._config.dfsp or body.payer_fsp != read.source:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payerFsp or payeeFsp is not who the headers say")
        money.parse_amount(body.amount.amount)
        await self._payee.take_transfer(
            Incoming(
                transfer_id=body.transfer_id,
                digest=strictjson.digest(strictjson.loads(raw)),
                payer_fsp=read.source,
                body=raw,
                expires_at=fsptime.parse_datetime(body.expiration).timestamp(),
            )
        )
        return 202

    async def _transfer_told(self, request: web.Request, read: headers.Headers, raw: bytes) -> int:
        body = bodies.read(TransferPut, raw)
        transfer_id = request.match_info["id"]
        payment = self._store.payment_of_transfer(transfer_id)
        if payment is not None:
            refusal = await self._payer.move(
                payment, Reported(body.transfer_state, body.fulfilment, body.completed_timestamp)
            )
            if refusal is not None:
                raise FspiopError(ErrorCode.VALIDATION_ERROR, refusal)
            return 200
        await self._end(transfer_id, read, body.transfer_state)
        return 200

    async def _transfer_patched(self, request: web.Request, read: headers.Headers, raw: bytes) -> int:
        await self._end(request.match_info["id"], read, bodies.read(TransferPatch, raw).transfer_state)
        return 200

    async def _transfer_failed(self, request: web.Request, read: headers.Headers, raw: bytes) -> int:
        error = bodies.read(ErrorPut, raw).error_information
        transfer_id = request.match_info["id"]
        payment = self._store.payment_of_transfer(transfer_id)
        if payment is not None:
            await self._payer.move(payment, ErrorReported(error.error_code, error.error_description))
            return 200
        # Of the errors about an incoming transfer only its expiry, or our own refusal of it, tells how it ended.
        if error.error_code == ErrorCode.TRANSFER_EXPIRED.code:
            await self._end(transfer_id, read, "ABORTED")
        return 200

    async def _end(self, transfer_id: str, read: headers.Headers, state: str) -> None:
        if self._store.incoming(transfer_id) is None:
            raise FspiopError(ErrorCode.TRANSFER_ID_NOT_FOUND)
        if read.source != self._config.hub_id:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-source: only the hub says how a transfer ended")
        if state in ("COMMITTED", "ABORTED"):
            await self._payee.take_ending(transfer_id, Ending(state))


def _alias(request: web.Request) -> tuple[str, str, str | None]:
    found = request.match_info
    return found["id_type"], found["id_value"], found.get("sub_id")


def _party_ref(party: Party) -> PartyRef:
    info = party.party_id_info
    return PartyRef(
        id_type=info.party_id_type,
        id_value=info.party_identifier,
        sub_id=info.party_sub_id_or_type,
        name=party.name,
        fsp_id=info.fsp_id,
    )


def _error_response(error: FspiopError) -> web.Response:
    return web.Response(
        status=error.http_status, body=strictjson.canonical(error.body()), content_type="application/json"
    )
