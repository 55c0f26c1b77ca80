"""The connector of an FXP. The connector answers requests for the terms of a conversion, and later promises the
conversion on these terms.

A conversion is a part of another DFSP's payment. The FXP's customer is the initiating DFSP. If the hub reports
COMMITTED, the initiating DFSP pays the source amount, and the FXP pays the target amount. The connector stores every
answer durably before it sends the answer.
"""

import asyncio
import hmac
import time
from enum import StrEnum
from functools import partial
from typing import Protocol, runtime_checkable

import msgspec
import structlog

from fspiop import base64url, bodies, ilp, strictjson
from fspiop import time as fsptime
from fspiop.bodies.fx_quotes import FxConversion, FxQuotePost, FxQuotePut
from fspiop.bodies.fx_transfers import FxTransferPatch, FxTransferPost, FxTransferPut
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import asking_the_core, logs, own_ids_closed_to_others, payee_terms
from kitovu_connector.asking_the_core import No
from kitovu_connector.backend import Backend
from kitovu_connector.background import Background, Rounds
from kitovu_connector.client import HubClient, Said
from kitovu_connector.config import Config
from kitovu_connector.conflicts import Conflict
from kitovu_connector.core_errors import NotUnderstood, Refused, Unavailable
from kitovu_connector.inbound_message import Message, Route, check_fulfilment
from kitovu_connector.payment_and_quote_records import Store
from kitovu_connector.record_store import Records
from kitovu_connector.requests_unknown_to_hub import UnknownRequests
from kitovu_connector.sender_shares import shares_of_answers

log = structlog.get_logger(__name__)

_NOT_OFFERED = No(ErrorCode.PAYEE_FSP_UNSUPPORTED_TRANSACTION_TYPE.code, "this DFSP converts no currencies")
_REJECTED = ErrorCode.PAYEE_FSP_REJECTED_TRANSACTION.code
_USED = "the terms belong to another conversion"
_ASK_AT_MOST_EVERY_S = 30.0


@runtime_checkable
class FxBackend(Protocol):
    """The interface of an FXP's core. The connector can repeat each call."""

    async def give_conversion_terms(self, asked: FxQuotePost) -> FxConversion:
        """Returns the terms with the source amount and the target amount, or raises Refused."""

    async def reserve_conversion(self, asked: FxTransferPost, *, is_repeated: bool) -> None:
        """Reserves the target amount durably for a later payment, or raises Refused."""

    async def end_conversion(self, commit_request_id: str, end: "ConversionEnd") -> None:
        """Receives the end of a conversion.

        If this method raises an error, the connector repeats the call until it succeeds.
        """


class ConversionEnd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Reports to the core that a conversion has ended. Contains all earlier messages about this conversion."""

    state: str  # COMMITTED or ABORTED
    completed_at: str | None
    # true if the hub reported the end by PATCH, false if the hub reported the end by PUT, as the answer to a GET
    was_pushed: bool
    asked: bytes = b""  # the body of POST /fxTransfers
    answer: bytes = b""  # the body of PUT /fxTransfers
    quote_asked: bytes = b""  # the body of POST /fxQuotes
    quote_answer: bytes = b""  # the body of PUT /fxQuotes


class OfferState(StrEnum):
    """The state of the terms of a conversion."""

    RECEIVED = "RECEIVED"  # stored; next, the core must give the terms
    ANSWERED = "ANSWERED"  # the initiating DFSP has the answer


class Offer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request for the terms of a conversion, and the answer."""

    id: str
    source: str
    body: bytes
    digest: bytes
    state: OfferState = OfferState.RECEIVED
    answer: bytes = b""
    is_refusal: bool = False
    alias: str | None = None  # the condition by which the connector finds the terms of a conversion
    fulfilment: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the connector still has to send the answer."""
        return self.state is OfferState.RECEIVED


class ConversionState(StrEnum):
    """The state of a conversion."""

    RECEIVED = "RECEIVED"  # stored; the core must reserve the money next
    RESERVING = "RESERVING"  # reserved at the core; the connector must send the fulfilment next
    RESERVED = "RESERVED"  # the hub has the fulfilment; the hub's report is pending
    REJECTING = "REJECTING"  # refused; the connector must send the error next
    ENDING = "ENDING"  # the hub has decided; the connector must report the end to the core next
    ENDED = "ENDED"  # the core has accepted the end


class Conversion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A conversion that another DFSP requests."""

    id: str
    source: str
    body: bytes
    digest: bytes
    expires_at: float
    state: ConversionState = ConversionState.RECEIVED
    alias: str | None = None  # the condition of the terms; a unique index prevents a second use of the same terms
    answer: bytes = b""
    is_refusal: bool = False
    is_perhaps_reserved: bool = False
    end: ConversionEnd | None = None
    received_at: float = 0.0  # 0 in a record of an earlier version

    @property
    def is_open(self) -> bool:
        """Whether the connector still has to send something to the hub or to the core."""
        return self.state is not ConversionState.ENDED


class Fxp:
    """All conversions of one FXP."""

    def __init__(self, config: Config, store: Store, hub: HubClient, backend: Backend) -> None:
        self._config, self._store, self._hub, self._backend = config, store, hub, backend
        self._offers = Records(store.database, "conversion_offer", Offer)
        self._conversions = Records(store.database, "conversion_received", Conversion)
        self._background = Background()
        self._rounds = Rounds(self._background)
        self._refusals = shares_of_answers(config.connections)
        self._unknown = UnknownRequests()
        self._told: dict[str, asyncio.Event] = {}

    def routes(self) -> list[Route]:
        """Returns the routes for the messages that this class receives. The functions `told` and `failed` get the hub's
        messages about a conversion.
        """
        return [
            ("POST", "/fxQuotes", self._terms_asked),
            ("POST", "/fxTransfers", self._asked),
            ("PATCH", "/fxTransfers/{id}", self._patched),
        ]

    async def resume(self) -> None:
        """Continues the work on all open records that no task processes yet. Runs after a start or a takeover of
        records.
        """
        for offer in await self._offers.unfinished():
            self._begin_answer(offer)
        for found in await self._conversions.unfinished():
            self._carry_on(found.id, is_repeated=True)
        self._background.start_once(
            "delete old offers", lambda: self._offers.delete_old(self._config.quote_retention_s)
        )

    def changed(self, record_id: str) -> None:
        """Continues a conversion of this instance after another instance has changed the conversion."""
        if record_id in self._told:
            self._told[record_id].set()
        else:
            self._carry_on(record_id)

    async def close(self) -> None:
        """Stops all tasks immediately. No step is lost, because every step is already stored."""
        await self._background.close()

    # --- terms --------------------------------------------------------------------------------------------------------

    async def _terms_asked(self, message: Message) -> int:
        body = message.read(FxQuotePost)
        wanted = body.conversion_terms
        if wanted.initiating_fsp != message.source or wanted.counter_party_fsp != self._config.dfsp:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "conversionTerms: the DFSPs do not match the headers")
        if not isinstance(self._backend, FxBackend):
            self._send_no(f"/fxQuotes/{body.conversion_request_id}", _NOT_OFFERED, message.source)
            return 202
        digest = strictjson.digest([strictjson.loads(message.raw), message.source])
        new = Offer(id=body.conversion_request_id, source=message.source, body=message.raw, digest=digest)
        offer, is_new = await self._offers.add_counted(
            new, sender=new.source, octets=len(new.body), most=self._config.stored_terms_bytes
        )
        if is_new or not offer.is_open:
            self._begin_answer(offer)
        return 202

    def _begin_answer(self, offer: Offer) -> None:
        self._background.start_once(offer.id, lambda: self._answer_terms(offer))

    async def _answer_terms(self, offer: Offer) -> None:
        if not offer.answer:
            offer = await self._decided(offer)
        path = f"/fxQuotes/{offer.id}" + ("/error" if offer.is_refusal else "")
        await self._send(path, offer.answer, offer.source, self._config.quote_expiry_s)
        await self._offers.save(offer, msgspec.structs.replace(offer, state=OfferState.ANSWERED))

    async def _decided(self, offer: Offer) -> Offer:
        asked = bodies.read(FxQuotePost, offer.body)
        given = await asking_the_core.ask(
            lambda: self._terms_of(asked), seconds=self._config.request_s, otherwise=ErrorCode.PAYEE_FSP_REJECTED_QUOTE
        )
        if isinstance(given, No):
            decided = msgspec.structs.replace(offer, answer=asking_the_core.error_put(given), is_refusal=True)
        else:
            # Only this DFSP can compute the fulfilment. Each offer has its own fulfilment.
            secret = hmac.digest(self._config.ilp_key, b"conversion " + offer.id.encode(), "sha256")
            fulfilment = base64url.encode(secret)
            condition = ilp.condition_for(fulfilment)
            answer = bodies.write(FxQuotePut(conversion_terms=given, condition=condition))
            decided = msgspec.structs.replace(offer, answer=answer, alias=condition, fulfilment=fulfilment)
        await self._offers.save(offer, decided)
        return decided

    async def _terms_of(self, asked: FxQuotePost) -> FxConversion:
        assert isinstance(self._backend, FxBackend)
        given = await self._backend.give_conversion_terms(asked)
        wanted = asked.conversion_terms
        same = ("conversion_id", "determining_transfer_id", "initiating_fsp", "counter_party_fsp", "amount_type")
        if any(getattr(given, name) != getattr(wanted, name) for name in same):
            raise NotUnderstood("conversionTerms: about another conversion")
        for name in ("source_amount", "target_amount"):
            offered, fixed = getattr(given, name), getattr(wanted, name)
            if offered.amount is None or offered.currency != fixed.currency:
                raise NotUnderstood(f"conversionTerms: {name} is missing or in another currency")
        return given

    # --- conversions --------------------------------------------------------------------------------------------------

    async def _asked(self, message: Message) -> int:
        body = message.read(FxTransferPost)
        if body.initiating_fsp != message.source or body.counter_party_fsp != self._config.dfsp:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "initiatingFsp or counterPartyFsp does not match the headers")
        expires_at = fsptime.parse_datetime(body.expiration).timestamp() if body.expiration else time.time() + 60
        payee_terms.check_expiration(expires_at, now=self._hub.clock.at_hub())
        new = Conversion(
            id=body.commit_request_id,
            source=message.source,
            body=message.raw,
            digest=strictjson.digest([strictjson.loads(message.raw), message.source]),
            expires_at=expires_at,
            received_at=time.time(),
        )
        is_on_us = message.source == self._config.dfsp
        if await self._conversions.get(new.id) is None:
            if not is_on_us:
                await self._store.check_is_not_own(new.id)
            if not message.came_via_hub:
                self._unknown.check_has_room(new.source)
            # The connector never stores a conversion without usable terms, because anybody can send many such
            # conversions.
            problem = self._problem_of(body, new, await self._offers.of_alias(body.condition))
            if problem is None and await self._conversions.of_alias(body.condition) is not None:
                problem = _USED
            if problem is not None:
                self._send_no(f"/fxTransfers/{new.id}", No(_REJECTED, problem), new.source)
                return 202
        found, is_new = await self._conversions.add(
            new, None if is_on_us else partial(own_ids_closed_to_others.check_is_not_own, ids=[new.id])
        )
        if found.state in (ConversionState.RESERVED, ConversionState.ENDED) and found.answer:
            # a repeated request gets the stored answer
            self._background.start_once(f"answer {found.id}", lambda: self._send_answer(found))
        # A repeated request can arrive after a restart, before `resume` has continued the conversion.
        self._carry_on(found.id, is_repeated=not is_new)
        return 202

    def _carry_on(self, record_id: str, *, is_repeated: bool = False) -> None:
        self._rounds.begin(record_id, lambda is_again: self._work_on(record_id, is_repeated=is_repeated or is_again))

    async def _work_on(self, record_id: str, *, is_repeated: bool) -> None:
        pause = 1.0
        while True:
            state = None
            try:
                found = await self._conversions.own(record_id)
                if found is None or not found.is_open:
                    return
                state = found.state
                await self._take_step(found, is_repeated=is_repeated)
                pause = 1.0
            except Exception as error:
                is_repeated = True
                log.error("step_failed", conversion=record_id, state=state, error=logs.trace_of(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, 60.0)

    async def _take_step(self, found: Conversion, *, is_repeated: bool) -> None:
        match found.state:
            case ConversionState.RECEIVED:
                await self._reserve(found, is_repeated=is_repeated)
            case ConversionState.RESERVING | ConversionState.REJECTING:
                await self._answer(found)
            case ConversionState.RESERVED:
                await self._await_report(found)
            case ConversionState.ENDING:
                await self._finish(found)

    async def _reserve(self, found: Conversion, *, is_repeated: bool) -> None:
        body = bodies.read(FxTransferPost, found.body)
        offer = await self._offers.of_alias(body.condition)
        problem = self._problem_of(body, found, offer)
        if problem is not None or offer is None:
            # An earlier run of the connector may have reserved the money.
            await self._reject(
                found, No(_REJECTED, problem or ""), is_perhaps_reserved=is_repeated and found.alias is not None
            )
            return
        used = msgspec.structs.replace(found, alias=body.condition)
        try:
            await self._conversions.save(found, used)
        except Conflict:
            await self._reject(found, No(_REJECTED, _USED))
            return
        backend = self._backend
        assert isinstance(backend, FxBackend)
        until = found.expires_at + self._config.clock_margin_s
        pause = 0.2
        while True:
            try:
                reserve = partial(backend.reserve_conversion, body, is_repeated=is_repeated)
                await asking_the_core.timely(reserve, self._config.request_s)
                break
            except Refused as no:
                refusal = asking_the_core.allowed(no, ErrorCode.PAYEE_FSP_REJECTED_TRANSACTION)
                await self._reject(used, refusal, is_perhaps_reserved=no.is_perhaps_done)
                return
            except NotUnderstood as error:
                await self._reject(used, asking_the_core.not_understood(error), is_perhaps_reserved=True)
                return
            except Unavailable as error:
                log.warning("core_not_available", why=logs.without_numbers(str(error)))
            except Exception as error:
                log.error("core_failed", error=logs.trace_of(error))
            is_repeated = True
            if self._hub.clock.at_hub() + pause >= until:
                no_time = No(ErrorCode.TRANSFER_EXPIRED.code, "the FXP's core did not answer in time")
                await self._reject(used, no_time, is_perhaps_reserved=True)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)
        answer = bodies.write(FxTransferPut(conversion_state="RESERVED", fulfilment=offer.fulfilment))
        await self._change(used, state=ConversionState.RESERVING, answer=answer)

    def _problem_of(self, body: FxTransferPost, found: Conversion, offer: Offer | None) -> str | None:
        if offer is None or offer.fulfilment is None:
            return "no terms were given with this condition"
        offered = bodies.read(FxQuotePut, offer.answer).conversion_terms
        if offer.source != found.source:
            return "the terms were given to another DFSP"
        for name, sent, known in (
            ("source amount", body.source_amount, offered.source_amount),
            ("target amount", body.target_amount, offered.target_amount),
        ):
            if (sent.currency, sent.amount) != (known.currency, known.amount):
                return f"the {name} does not match the terms"
        if offered.determining_transfer_id not in (None, body.determining_transfer_id):
            return "the transfer does not match the terms"
        now = self._hub.clock.at_hub()
        if now >= fsptime.parse_datetime(offered.expiration).timestamp():
            return "the terms have expired"
        if now >= found.expires_at + self._config.clock_margin_s:
            return "the conversion has expired"
        return None

    async def _reject(self, found: Conversion, no: No, *, is_perhaps_reserved: bool = False) -> None:
        log.info("conversion_rejected", conversion=found.id, code=no.code, why=logs.without_numbers(no.text))
        await self._change(
            found,
            state=ConversionState.REJECTING,
            answer=asking_the_core.error_put(no),
            is_refusal=True,
            is_perhaps_reserved=is_perhaps_reserved,
        )

    async def _answer(self, found: Conversion) -> None:
        answer = await self._send_answer(found)
        if found.is_refusal:
            end = ConversionEnd(state="ABORTED", completed_at=None, was_pushed=False, asked=found.body)
            state = ConversionState.ENDING if found.is_perhaps_reserved else ConversionState.ENDED
            await self._change(found, state=state, end=end)
            return
        if answer is Said.NO:
            await self._hub.send("GET", f"/fxTransfers/{found.id}", caused_by=found.source)
        await self._change(found, state=ConversionState.RESERVED)

    async def _send_answer(self, found: Conversion) -> Said:
        path = f"/fxTransfers/{found.id}" + ("/error" if found.is_refusal else "")
        until = time.monotonic() + max(60.0, found.expires_at - time.time() + 3600)
        answer = await self._hub.send_until_taken(
            "PUT",
            path,
            found.answer,
            destination=found.source,
            caused_by=found.source,
            still_wanted=lambda: time.monotonic() < until,
        )
        return answer.said

    async def _await_report(self, found: Conversion) -> None:
        event = self._told.setdefault(found.id, asyncio.Event())
        pause = self._config.callback_s
        try:
            while (now := await self._conversions.get(found.id)) is not None and now.state is ConversionState.RESERVED:
                try:
                    await asyncio.wait_for(event.wait(), pause)
                    event.clear()
                except TimeoutError:
                    await self._hub.send("GET", f"/fxTransfers/{found.id}", caused_by=found.source)
                    pause = self._unknown.longer(pause, found.id, _ASK_AT_MOST_EVERY_S)
        finally:
            self._told.pop(found.id, None)
            self._unknown.forget(found.id)

    async def _finish(self, found: Conversion) -> None:
        assert isinstance(self._backend, FxBackend)
        assert found.end is not None
        body = bodies.read(FxTransferPost, found.body)
        offer = await self._offers.of_alias(body.condition)
        known = msgspec.structs.replace(
            found.end,
            asked=found.body,
            answer=found.answer,
            quote_asked=offer.body if offer is not None else b"",
            quote_answer=offer.answer if offer is not None else b"",
        )
        backend = self._backend
        await asking_the_core.timely(lambda: backend.end_conversion(found.id, known), self._config.request_s)
        await self._change(found, state=ConversionState.ENDED)
        log.info("conversion_ended", conversion=found.id, state=known.state)

    async def _change(self, found: Conversion, **changes: object) -> None:
        # If another task has meanwhile stored a new state, the loop reads that state next.
        await self._conversions.save(found, msgspec.structs.replace(found, **changes))

    # --- the hub's report ---------------------------------------------------------------------------------------------

    async def _patched(self, message: Message) -> int:
        body = message.read(FxTransferPatch)
        await self._end(message, body.conversion_state, body.completed_timestamp, was_pushed=True)
        return 200

    async def has(self, record_id: str) -> bool:
        """Returns whether this DFSP has received a request with this id."""
        return await self._conversions.get(record_id) is not None

    async def told(self, message: Message) -> int:
        """Handles PUT /fxTransfers/{id}, the hub's answer to GET /fxTransfers/{id}."""
        body = message.read(FxTransferPut)
        found = await self._conversions.get(message.id)
        if found is not None and message.is_from_hub and body.fulfilment is not None:
            check_fulfilment(body.fulfilment, bodies.read(FxTransferPost, found.body).condition, message.id)
        await self._end(message, body.conversion_state, body.completed_timestamp, was_pushed=False)
        return 200

    async def failed(self, message: Message) -> int:
        """Handles PUT /fxTransfers/{id}/error from the hub.

        Two errors end the conversion: the error 3303, and an error "not found" that the hub wrote after the
        conversion's expiration.
        """
        found = await self._conversions.get(message.id)
        if found is not None and message.ends_without_payment(found.expires_at, self._config.clock_margin_s):
            await self._end(message, "ABORTED", None, was_pushed=False)
        elif found is not None and message.reports_unknown_id and found.id in self._told:
            self._unknown.note(found.id, found.source)
        return 200

    async def _end(self, message: Message, state: str, completed_at: str | None, *, was_pushed: bool) -> None:
        if await self._conversions.get(message.id) is None:
            raise FspiopError(ErrorCode.ID_NOT_FOUND)
        message.check_is_from_hub()
        if state not in ("COMMITTED", "ABORTED"):
            self._unknown.forget(message.id)
            return
        end = ConversionEnd(state=state, completed_at=completed_at, was_pushed=was_pushed)
        while (found := await self._conversions.get(message.id)) is not None:
            if found.state in (ConversionState.ENDING, ConversionState.ENDED) or found.is_refusal:
                return
            if await self._conversions.save(
                found, msgspec.structs.replace(found, state=ConversionState.ENDING, end=end)
            ):
                if message.id in self._told:
                    self._told[message.id].set()
                self._carry_on(message.id)
                return

    def _send_no(self, path: str, no: No, destination: str) -> None:
        body = asking_the_core.error_put(no)
        self._refusals.start(
            self._background,
            destination,
            lambda: self._send(f"{path}/error", body, destination, self._config.request_s),
        )

    async def _send(self, path: str, body: bytes, destination: str, seconds: float) -> None:
        give_up = time.monotonic() + seconds
        await self._hub.send_until_taken(
            "PUT",
            path,
            body,
            destination=destination,
            caused_by=destination,
            still_wanted=lambda: time.monotonic() < give_up,
        )
