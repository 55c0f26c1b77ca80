"""The receiving side of bulks: many requests for terms at once, and many transfers at once.

The store has separate terms and a separate transfer for each item of a bulk, exactly as for a single payment. So single
payments and items have the same rules, and `payee` processes the end of each item. The connector answers a bulk once,
for all its items.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

import msgspec
import structlog

from fspiop import bodies, strictjson
from fspiop import time as fsptime
from fspiop.bodies.bulk_quotes import BulkQuotePost, BulkQuotePut, IndividualQuote, IndividualQuoteResult
from fspiop.bodies.bulk_transfers import (
    BulkTransferPost,
    BulkTransferPut,
    IndividualTransfer,
    IndividualTransferResult,
)
from fspiop.bodies.common import ErrorInformation
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.transfers import TransferPost, TransferPut
from fspiop.errors import MAX_DESCRIPTION, ErrorCode, FspiopError, text_of
from kitovu_connector import core_answers, logs, terms
from kitovu_connector.backend import Backend, IncomingMoney, Terms, TermsWanted
from kitovu_connector.background import Background
from kitovu_connector.client import HubClient
from kitovu_connector.config import Config
from kitovu_connector.core_answers import No
from kitovu_connector.core_errors import NotUnderstood, Refused
from kitovu_connector.inbound_message import Message, Route
from kitovu_connector.payee import Ending, Payee
from kitovu_connector.payment_record import moment
from kitovu_connector.records import Records
from kitovu_connector.store import Incoming, QuoteGiven, Stage, Store

log = structlog.get_logger(__name__)

_ASK_AT_MOST_EVERY_S = 60.0
_REJECTED = ErrorCode.PAYEE_FSP_REJECTED_TRANSACTION.code


@runtime_checkable
class BulkBackend(Protocol):
    """The interface of a core that processes bulks as a whole.

    Each list has one entry per item, in the order of the items.
    """

    async def give_bulk_terms(
        self, bulk: BulkQuotePost, wanted: Sequence[TermsWanted], *, is_repeated: bool
    ) -> list[Terms | Refused]:
        """Returns the terms of each payment, or raises Refused for all payments."""

    async def reserve_bulk(
        self, bulk: BulkTransferPost, incoming: Sequence[IncomingMoney], *, is_repeated: bool
    ) -> list[Refused | None]:
        """Reserves each payment, or raises Refused for all payments."""


class BulkState(StrEnum):
    """The state of an incoming bulk."""

    RECEIVED = "RECEIVED"  # stored; next: the core's decision
    ANSWERING = "ANSWERING"  # decided; next: send the answer to the hub
    ANSWERED = "ANSWERED"  # the hub has the answer; for transfers, the hub's report is pending
    ENDED = "ENDED"  # the final state of the bulk; each item has its own final state


class IncomingBulk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bulk of quotes or of transfers."""

    id: str
    payer_fsp: str
    body: bytes
    digest: bytes
    expires_at: float = 0.0
    state: BulkState = BulkState.RECEIVED
    answer: bytes = b""
    is_refusal: bool = False
    alias: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the connector still has to send something to the hub or to the core."""
        return self.state is not BulkState.ENDED


@dataclass(frozen=True, slots=True)
class _Refusal:
    no: No
    is_perhaps_reserved: bool = False  # the core received the request, and may have reserved the money before it failed


@dataclass(frozen=True, slots=True)
class _Item:
    sent: IndividualTransfer
    incoming: Incoming
    quote: QuoteGiven | None
    problem: str | None


class BulkPayee:
    """All incoming bulks of one DFSP."""

    def __init__(self, config: Config, store: Store, hub: HubClient, backend: Backend, payee: Payee) -> None:
        self._config, self._store, self._hub, self._backend, self._payee = config, store, hub, backend, payee
        self._quotes = Records(store.database, "bulk_quote_received", IncomingBulk)
        self._bulks = Records(store.database, "bulk_received", IncomingBulk)
        self._background = Background()
        self._busy: set[str] = set()

    def routes(self) -> list[Route]:
        """Returns the routes for the messages that this class receives.

        `told` and `failed` receive the hub's report about a bulk.
        """
        return [
            ("POST", "/bulkQuotes", self._quotes_asked),
            ("GET", "/bulkQuotes/{id}", self._quotes_asked_again),
            ("POST", "/bulkTransfers", self._transfers_asked),
        ]

    async def resume(self) -> None:
        """Continues with every open bulk after a restart of the connector."""
        for quotes in self._quotes.unfinished():
            self._background.start(self._answer_quotes(quotes, is_repeated=True))
        for bulk in self._bulks.unfinished():
            self._carry_on(bulk.id, is_repeated=True)
        self._background.start(self._quotes.delete_old(self._config.quote_retention_s))

    async def close(self) -> None:
        """Stops all tasks at once. No step is lost, because the store has every step."""
        await self._background.close()

    # --- terms --------------------------------------------------------------------------------------------------------

    async def _quotes_asked(self, message: Message) -> int:
        body = message.read(BulkQuotePost)
        if body.payer.party_id_info.fsp_id not in (None, message.source):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payer.partyIdInfo.fspId: must be the FSPIOP-Source")
        for item in body.individual_quotes:
            if item.payee.party_id_info.fsp_id not in (None, self._config.dfsp):
                raise FspiopError(ErrorCode.VALIDATION_ERROR, "payee.partyIdInfo.fspId: names another DFSP")
            terms.check(_single(body, item))
        new = _bulk(body.bulk_quote_id, message)
        stored, is_new = await self._quotes.add(new)
        if is_new or not stored.is_open:
            self._background.start(self._answer_quotes(stored))
        return 202

    async def _quotes_asked_again(self, message: Message) -> int:
        """Handles GET /bulkQuotes/{id}: sends the stored answer to the payer's DFSP again."""
        found = self._quotes.get(message.id)
        if found is None or found.payer_fsp != message.source:
            raise FspiopError(ErrorCode.BULK_QUOTE_ID_NOT_FOUND)
        if not found.is_open:
            self._background.start(self._answer_quotes(found))
        return 202

    async def _answer_quotes(self, found: IncomingBulk, *, is_repeated: bool = False) -> None:
        if not found.answer:
            found = await self._decide_quotes(found, is_repeated=is_repeated)
        path = f"/bulkQuotes/{found.id}" + ("/error" if found.is_refusal else "")
        await self._send(path, found.answer, found.payer_fsp, self._config.quote_expiry_s)
        await self._quotes.save(found, msgspec.structs.replace(found, state=BulkState.ENDED))

    async def _decide_quotes(self, found: IncomingBulk, *, is_repeated: bool) -> IncomingBulk:
        body = bodies.read(BulkQuotePost, found.body)
        quotes = [
            QuoteGiven(
                quote_id=item.quote_id,
                digest=strictjson.digest(msgspec.to_builtins(_single(body, item))),
                request=bodies.write(_single(body, item)),
                payer_fsp=found.payer_fsp,
                is_taken=True,
            )
            for item in body.individual_quotes
        ]
        wanted = [terms.wanted_of(quote, self._config.dfsp) for quote in quotes]
        given = await core_answers.ask(
            lambda: self._terms_of(body, wanted, is_repeated=is_repeated),
            seconds=self._config.request_s,
            otherwise=ErrorCode.PAYEE_FSP_REJECTED_QUOTE,
        )
        if isinstance(given, No):
            decided = msgspec.structs.replace(found, answer=core_answers.error_put(given), is_refusal=True)
        else:
            now = self._hub.clock.at_hub()
            offers = [self._offer(*parts, now) for parts in zip(quotes, wanted, given, strict=True)]
            await asyncio.gather(*(self._keep(offer) for offer in offers if isinstance(offer, QuoteGiven)))
            expires_at = min((o.expires_at for o in offers if isinstance(o, QuoteGiven)), default=now + 60.0)
            results = [_quote_result(quote, offer) for quote, offer in zip(quotes, offers, strict=True)]
            answer = BulkQuotePut(expiration=moment(expires_at), individual_quote_results=results)
            decided = msgspec.structs.replace(found, answer=bodies.write(answer))
        await self._quotes.save(found, decided)
        return decided

    async def _terms_of(
        self, body: BulkQuotePost, wanted: Sequence[TermsWanted], *, is_repeated: bool
    ) -> list[Terms | Refused]:
        if isinstance(self._backend, BulkBackend):
            given = await self._backend.give_bulk_terms(body, wanted, is_repeated=is_repeated)
            if len(given) != len(wanted):
                raise NotUnderstood("the core's answer has another number of items")
            return given
        return [await self._terms_of_one(one) for one in wanted]

    async def _terms_of_one(self, wanted: TermsWanted) -> Terms | Refused:
        try:
            return await self._backend.give_terms(wanted)
        except Refused as no:
            return no

    def _offer(self, quote: QuoteGiven, wanted: TermsWanted, given: Terms | Refused, now: float) -> QuoteGiven | No:
        if isinstance(given, Refused):
            return core_answers.allowed(given, ErrorCode.PAYEE_FSP_REJECTED_QUOTE)
        try:
            return terms.offer(quote, wanted, given, self._config, now=now)
        except NotUnderstood as error:
            return core_answers.not_understood(error)
        except ValueError as error:
            return No(ErrorCode.PAYEE_FSP_REJECTED_QUOTE.code, str(error))

    async def _keep(self, offer: QuoteGiven) -> None:
        await self._store.add_quote(offer)
        await self._store.save_quote(offer)

    # --- transfers ----------------------------------------------------------------------------------------------------

    async def _transfers_asked(self, message: Message) -> int:
        body = message.read(BulkTransferPost)
        if body.payee_fsp != self._config.dfsp or body.payer_fsp not in (message.source, None):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payerFsp or payeeFsp does not match the headers")
        for item in body.individual_transfers:
            terms.check_amount("transferAmount", item.transfer_amount)
        expires_at = fsptime.parse_datetime(body.expiration).timestamp()
        new = msgspec.structs.replace(_bulk(body.bulk_transfer_id, message), expires_at=expires_at)
        stored, _ = await self._bulks.add(new)
        self._carry_on(stored.id)
        return 202

    def _carry_on(self, bulk_id: str, *, is_repeated: bool = False) -> None:
        if bulk_id not in self._busy:
            self._busy.add(bulk_id)
            self._background.start(self._work_on(bulk_id, is_repeated=is_repeated))

    async def _work_on(self, bulk_id: str, *, is_repeated: bool) -> None:
        pause = 1.0
        try:
            while (bulk := self._bulks.get(bulk_id)) is not None and bulk.is_open:
                try:
                    if bulk.state is BulkState.RECEIVED:
                        await self._reserve(bulk, is_repeated=is_repeated)
                    elif bulk.state is BulkState.ANSWERING:
                        await self._answer(bulk)
                    else:
                        await self._await_report(bulk)
                    pause = 1.0
                except Exception as error:
                    is_repeated = True
                    log.error("step_failed", bulk=bulk_id, state=bulk.state, error=logs.trace_of(error))
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, 60.0)
        finally:
            self._busy.discard(bulk_id)

    async def _reserve(self, bulk: IncomingBulk, *, is_repeated: bool) -> None:
        body = bodies.read(BulkTransferPost, bulk.body)
        items = [await self._item(bulk, body, sent) for sent in body.individual_transfers]
        good = [item for item in items if item.problem is None]
        given = await self._decisions(bulk, body, good, is_repeated=is_repeated)
        refusals: dict[str, _Refusal] = {
            item.sent.transfer_id: _Refusal(No(_REJECTED, item.problem)) for item in items if item.problem is not None
        }
        for item, no in zip(good, given, strict=True):
            if no is not None:
                refusals[item.sent.transfer_id] = no
        results = []
        for item in items:
            refusal = refusals.get(item.sent.transfer_id)
            results.append(_transfer_result(item, refusal, self._config))
            if item.incoming.stage is Stage.IN_BULK:
                await self._store.save_incoming(item.incoming, _after_decision(item, refusal, self._config))
                self._payee.carry_on(item.sent.transfer_id)
        is_refused = len(refusals) == len(items)
        answer = BulkTransferPut(
            bulk_transfer_state="REJECTED" if is_refused else "COMPLETED", individual_transfer_results=results
        )
        decided = msgspec.structs.replace(bulk, state=BulkState.ANSWERING, answer=bodies.write(answer))
        await self._bulks.save(bulk, decided)

    async def _item(self, bulk: IncomingBulk, body: BulkTransferPost, sent: IndividualTransfer) -> _Item:
        """Stores an item as a transfer. Returns the reason if the item must not be fulfilled."""
        transfer = TransferPost(
            transfer_id=sent.transfer_id,
            payer_fsp=body.payer_fsp,
            payee_fsp=body.payee_fsp,
            amount=sent.transfer_amount,
            ilp_packet=sent.ilp_packet,
            condition=sent.condition,
            expiration=body.expiration,
            extension_list=sent.extension_list,
        )
        new = Incoming(
            transfer_id=sent.transfer_id,
            digest=strictjson.digest(msgspec.to_builtins(transfer)),
            payer_fsp=bulk.payer_fsp,
            body=bodies.write(transfer),
            expires_at=bulk.expires_at,
            bulk_id=bulk.id,
            stage=Stage.IN_BULK,
        )
        incoming, _ = await self._store.add_incoming(new)
        quote = self._store.quote_of_condition(sent.condition)
        now, margin_s = self._hub.clock.at_hub(), self._config.clock_margin_s
        problem = terms.problem_of(transfer, bulk.payer_fsp, quote, now=now, margin_s=margin_s)
        if incoming.bulk_id != bulk.id:
            problem = "the id belongs to another transfer"
        if problem is None and quote is not None:
            if await self._store.claim_quote(sent.transfer_id, quote.quote_id):
                incoming = msgspec.structs.replace(incoming, quote_id=quote.quote_id)
            else:
                problem = "the terms belong to another transfer"
        return _Item(sent, incoming, quote, problem)

    async def _decisions(
        self, bulk: IncomingBulk, body: BulkTransferPost, items: Sequence[_Item], *, is_repeated: bool
    ) -> list["_Refusal | None"]:
        if not items:
            return []
        dfsp = self._config.dfsp
        calls = itertools.count(int(is_repeated))

        def reserve() -> Awaitable[list[Refused | None]]:
            again = next(calls) > 0
            money = [
                terms.money_of(item.incoming, item.quote, dfsp, is_repeated=again)
                for item in items
                if item.quote is not None
            ]
            return self._reserved(body, money, is_repeated=again)

        seconds = max(1.0, bulk.expires_at - self._hub.clock.at_hub())
        given = await core_answers.ask(
            reserve,
            seconds=min(seconds, 10 * self._config.request_s),
            otherwise=ErrorCode.PAYEE_FSP_REJECTED_TRANSACTION,
        )
        if isinstance(given, No):
            return [_Refusal(given, is_perhaps_reserved=True)] * len(items)
        otherwise = ErrorCode.PAYEE_FSP_REJECTED_TRANSACTION
        return [
            None
            if no is None
            else _Refusal(core_answers.allowed(no, otherwise), is_perhaps_reserved=no.is_perhaps_done)
            for no in given
        ]

    async def _reserved(
        self, body: BulkTransferPost, money: Sequence[IncomingMoney], *, is_repeated: bool
    ) -> list[Refused | None]:
        if isinstance(self._backend, BulkBackend):
            given = await self._backend.reserve_bulk(body, money, is_repeated=is_repeated)
            if len(given) != len(money):
                raise NotUnderstood("the core's answer has another number of items")
            return given
        return [await self._reserved_one(one) for one in money]

    async def _reserved_one(self, money: IncomingMoney) -> Refused | None:
        try:
            await self._backend.reserve(money)
        except Refused as no:
            return no
        return None

    async def _answer(self, bulk: IncomingBulk) -> None:
        until = max(time.monotonic() + 60.0, time.monotonic() + bulk.expires_at - time.time() + 3600)
        await self._hub.send_until_taken(
            "PUT",
            f"/bulkTransfers/{bulk.id}",
            bulk.answer,
            destination=bulk.payer_fsp,
            still_wanted=lambda: time.monotonic() < until,
        )
        await self._bulks.save(bulk, msgspec.structs.replace(bulk, state=BulkState.ANSWERED))

    async def _await_report(self, bulk: IncomingBulk) -> None:
        pause = self._config.callback_s
        while (now := self._bulks.get(bulk.id)) is not None and now.state is BulkState.ANSWERED:
            await asyncio.sleep(pause)
            now = self._bulks.get(bulk.id)
            if now is not None and now.state is BulkState.ANSWERED:
                await self._hub.send("GET", f"/bulkTransfers/{bulk.id}")
                pause = min(pause * 2, _ASK_AT_MOST_EVERY_S)

    # --- the hub's report ---------------------------------------------------------------------------------------------

    def has(self, record_id: str) -> bool:
        """Returns whether this DFSP has received a request with this id."""
        return self._bulks.get(record_id) is not None

    async def told(self, message: Message) -> int:
        """Handles PUT /bulkTransfers/{id} from the hub: credits the committed items, and releases all other items."""
        bulk = self._bulk_of(message)
        body = message.read(BulkTransferPut)
        if body.bulk_transfer_state not in ("COMPLETED", "REJECTED") or bulk.state is BulkState.ENDED:
            return 200
        committed = {
            result.transfer_id for result in body.individual_transfer_results or [] if result.fulfilment is not None
        }
        await self._end(bulk, committed, body.completed_timestamp)
        return 200

    async def failed(self, message: Message) -> int:
        """Handles PUT /bulkTransfers/{id}/error from the hub. The error 3303 ends the bulk without a payment."""
        bulk = self._bulk_of(message)
        if str(message.error.error_code) == ErrorCode.TRANSFER_EXPIRED.code and bulk.state is not BulkState.ENDED:
            await self._end(bulk, set(), None)
        return 200

    def _bulk_of(self, message: Message) -> IncomingBulk:
        bulk = self._bulks.get(message.id)
        if bulk is None:
            raise FspiopError(ErrorCode.BULK_TRANSFER_ID_NOT_FOUND)
        message.check_is_from_hub()
        return bulk

    async def _end(self, bulk: IncomingBulk, committed: set[str], completed_at: str | None) -> None:
        body = bodies.read(BulkTransferPost, bulk.body)
        for item in body.individual_transfers:
            incoming = self._store.incoming(item.transfer_id)
            if incoming is not None and incoming.bulk_id == bulk.id:
                state = "COMMITTED" if item.transfer_id in committed else "ABORTED"
                await self._payee.take_ending(item.transfer_id, Ending(state, completed_at))
        while (now := self._bulks.get(bulk.id)) is not None and now.is_open:
            if await self._bulks.save(now, msgspec.structs.replace(now, state=BulkState.ENDED)):
                return

    async def _send(self, path: str, body: bytes, destination: str, seconds: float) -> None:
        give_up = time.monotonic() + seconds
        await self._hub.send_until_taken(
            "PUT", path, body, destination=destination, still_wanted=lambda: time.monotonic() < give_up
        )


def _bulk(bulk_id: str, message: Message) -> IncomingBulk:
    return IncomingBulk(
        id=bulk_id,
        payer_fsp=message.source,
        body=message.raw,
        digest=strictjson.digest([strictjson.loads(message.raw), message.source]),
    )


def _single(body: BulkQuotePost, item: IndividualQuote) -> QuotePost:
    """Returns the request for the terms of one item."""
    return QuotePost(
        quote_id=item.quote_id,
        transaction_id=item.transaction_id,
        payee=item.payee,
        payer=body.payer,
        amount_type=item.amount_type,
        amount=item.amount,
        transaction_type=item.transaction_type,
        fees=item.fees,
        note=item.note,
        geo_code=body.geo_code,
        expiration=body.expiration,
        extension_list=item.extension_list,
    )


def _quote_result(quote: QuoteGiven, offer: QuoteGiven | No) -> IndividualQuoteResult:
    if isinstance(offer, No):
        return IndividualQuoteResult(quote_id=quote.quote_id, error_information=_error(offer))
    given = bodies.read(QuotePut, offer.answer)
    return IndividualQuoteResult(
        quote_id=quote.quote_id,
        transfer_amount=given.transfer_amount,
        payee_receive_amount=given.payee_receive_amount,
        payee_fsp_fee=given.payee_fsp_fee,
        payee_fsp_commission=given.payee_fsp_commission,
        ilp_packet=given.ilp_packet,
        condition=given.condition,
        extension_list=given.extension_list,
    )


def _transfer_result(item: _Item, refusal: _Refusal | None, config: Config) -> IndividualTransferResult:
    if refusal is not None or item.quote is None:
        information = _error(refusal.no if refusal is not None else No(_REJECTED))
        return IndividualTransferResult(transfer_id=item.sent.transfer_id, error_information=information)
    fulfilled = bodies.read(TransferPut, terms.fulfilment_of(item.quote, config))
    return IndividualTransferResult(transfer_id=item.sent.transfer_id, fulfilment=fulfilled.fulfilment)


def _after_decision(item: _Item, refusal: _Refusal | None, config: Config) -> Incoming:
    if refusal is not None or item.quote is None:
        no, is_perhaps_reserved = (refusal.no, refusal.is_perhaps_reserved) if refusal else (No(_REJECTED), False)
        stage = Stage.RELEASING if is_perhaps_reserved else Stage.REJECTED
        body = core_answers.error_put(no)
        return msgspec.structs.replace(item.incoming, stage=stage, answer=body, is_refusal=True)
    answer = terms.fulfilment_of(item.quote, config)
    return msgspec.structs.replace(item.incoming, stage=Stage.FULFILLED, answer=answer)


def _error(no: No) -> ErrorInformation:
    return ErrorInformation(
        error_code=no.code, error_description=(no.text.strip() or text_of(no.code))[:MAX_DESCRIPTION]
    )
