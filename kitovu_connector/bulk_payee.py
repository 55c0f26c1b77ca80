"""The receiving side of bulk transfers. A bulk consists of many transfers, each for one customer.

The connector stores each item of a bulk as a separate transfer, exactly like the transfer of a single payment. So the
same rules apply to items and to single payments, and the module `payee` processes the end of each item. The connector
sends one answer to a bulk, for all its items.
"""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import structlog

from fspiop import bodies, strictjson
from fspiop import time as fsptime
from fspiop.bodies.bulk_transfers import (
    BulkTransferPost,
    BulkTransferPut,
    IndividualTransfer,
    IndividualTransferResult,
)
from fspiop.bodies.transfers import TransferPost, TransferPut
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import asking_the_core, logs, own_ids_closed_to_others, payee_terms
from kitovu_connector.asking_the_core import No
from kitovu_connector.backend import Backend, IncomingMoney
from kitovu_connector.background import Background, Rounds
from kitovu_connector.client import HubClient
from kitovu_connector.config import Config
from kitovu_connector.conflicts import Conflict
from kitovu_connector.core_errors import NotUnderstood, Refused
from kitovu_connector.inbound_message import Message, Route, check_fulfilment
from kitovu_connector.incoming_bulk_records import BulkBackend, BulkState, IncomingBulk, bulk_of, error_of
from kitovu_connector.payee import Ending, Payee
from kitovu_connector.payment_and_quote_records import Incoming, QuoteGiven, Stage, Store
from kitovu_connector.record_store import Records
from kitovu_connector.requests_unknown_to_hub import UnknownRequests
from kitovu_connector.sender_shares import Places, shares_of_answers

log = structlog.get_logger(__name__)

_ASK_AT_MOST_EVERY_S = 60.0
_FOREIGN = "the id belongs to another transfer"
_USED = "the terms belong to another transfer"
_OTHERWISE = ErrorCode.PAYEE_FSP_REJECTED_TRANSACTION
_REJECTED = _OTHERWISE.code


@dataclass(frozen=True, slots=True)
class _Refusal:
    no: No
    is_perhaps_reserved: bool = False  # the request failed, but the core may have reserved the money


@dataclass(frozen=True, slots=True)
class _Item:
    sent: IndividualTransfer
    incoming: Incoming
    quote: QuoteGiven | None
    problem: str | None
    # False if the connector refuses the item and has not stored it; another transfer with this id stays unchanged
    is_stored: bool


class BulkPayee:
    """All incoming bulk transfers of one DFSP."""

    def __init__(self, config: Config, store: Store, hub: HubClient, backend: Backend, payee: Payee) -> None:
        self._config, self._store, self._hub, self._backend, self._payee = config, store, hub, backend, payee
        self._bulks = Records(store.database, "bulk_received", IncomingBulk)
        self._background = Background()
        self._rounds = Rounds(self._background)
        self._rejections = shares_of_answers(config.connections)
        self._unknown = UnknownRequests()
        self._places = Places(config.connections)

    def routes(self) -> list[Route]:
        """Returns the routes for the messages that this class receives.

        The connector passes the hub's report about a bulk to `told` or `failed`.
        """
        return [("POST", "/bulkTransfers", self._transfers_asked)]

    async def resume(self) -> None:
        """Continues every open bulk that no task processes yet. Runs after this instance has started or taken over
        records.
        """
        for bulk in await self._bulks.unfinished():
            self._carry_on(bulk.id, is_repeated=True)
        self._background.start_once("delete old bulks", lambda: self._bulks.delete_old(self._config.quote_retention_s))

    async def close(self) -> None:
        """Stops all tasks immediately. No step is lost, because every step is already stored."""
        await self._background.close()

    # --- transfers ----------------------------------------------------------------------------------------------------

    async def _transfers_asked(self, message: Message) -> int:
        body = message.read(BulkTransferPost)
        # A hub that has refused some items itself writes a bulk with the others. Mojaloop's hub writes every bulk.
        is_of_payer = message.is_from_hub or body.payer_fsp == message.source
        if body.payee_fsp != self._config.dfsp or not is_of_payer:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payerFsp or payeeFsp does not match the headers")
        if len({item.transfer_id for item in body.individual_transfers}) < len(body.individual_transfers):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "individualTransfers: a transferId is used twice")
        for item in body.individual_transfers:
            payee_terms.check_amount("transferAmount", item.transfer_amount)
        expires_at = fsptime.parse_datetime(body.expiration).timestamp()
        payee_terms.check_expiration(expires_at, now=self._hub.clock.at_hub())
        new = msgspec.structs.replace(bulk_of(body.bulk_transfer_id, message, body.payer_fsp), expires_at=expires_at)
        is_on_us = new.payer_fsp == self._config.dfsp
        if await self._bulks.get(new.id) is None:
            if not is_on_us:
                await self._store.check_is_not_own(new.id)
            if not message.came_via_hub:
                self._unknown.check_has_room(new.payer_fsp)
            conditions = [item.condition for item in body.individual_transfers]
            if not await self._store.has_usable_terms(conditions, new.payer_fsp):
                self._rejections.start(self._background, new.payer_fsp, lambda: self._send_rejection(new, body))
                return 202
        stored, is_new = await self._bulks.add_counted(
            new,
            sender=new.payer_fsp,
            octets=len(new.body),
            most=self._config.stored_terms_bytes,
            also=None if is_on_us else partial(own_ids_closed_to_others.check_is_not_own, ids=[new.id]),
        )
        # A repeated request can arrive after a restart, before `resume` has continued the bulk.
        self._carry_on(stored.id, is_repeated=not is_new)
        return 202

    async def _send_rejection(self, bulk: IncomingBulk, body: BulkTransferPost) -> None:
        """Rejects a bulk for which there are no usable terms. Never stores this bulk, because any DFSP can send many
        bulks without usable terms."""
        log.info("bulk_rejected", bulk=bulk.id)
        information = error_of(No(_REJECTED, "no terms were given with this condition"))
        results = [
            IndividualTransferResult(transfer_id=item.transfer_id, error_information=information)
            for item in body.individual_transfers
        ]
        answer = BulkTransferPut(bulk_transfer_state="REJECTED", individual_transfer_results=results)
        await self._send(bulk, bodies.write(answer), self._config.request_s)

    def _carry_on(self, bulk_id: str, *, is_repeated: bool = False) -> None:
        self._rounds.begin(bulk_id, lambda is_again: self._work_on(bulk_id, is_repeated=is_repeated or is_again))

    async def _work_on(self, bulk_id: str, *, is_repeated: bool) -> None:
        pause = 1.0
        while True:
            state = None
            try:
                bulk = await self._bulks.own(bulk_id)
                if bulk is None or not bulk.is_open:
                    return
                state = bulk.state
                if bulk.state is BulkState.RECEIVED:
                    await self._reserve(bulk, is_repeated=is_repeated)
                elif bulk.state is BulkState.ANSWERING:
                    await self._answer(bulk)
                else:
                    await self._await_report(bulk)
                pause = 1.0
            except Exception as error:
                is_repeated = True
                log.error("step_failed", bulk=bulk_id, state=state, error=logs.trace_of(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, 60.0)

    async def _reserve(self, bulk: IncomingBulk, *, is_repeated: bool) -> None:
        body = bodies.read(BulkTransferPost, bulk.body)
        items = [await self._item(bulk, body, sent) for sent in body.individual_transfers]
        good = [item for item in items if item.problem is None]
        given = await self._decisions(bulk, body, good, is_repeated=is_repeated)
        refusals: dict[str, _Refusal] = {
            # An earlier run of the connector may have reserved the money.
            item.sent.transfer_id: _Refusal(No(_REJECTED, item.problem), is_perhaps_reserved=is_repeated)
            for item in items
            if item.problem is not None
        }
        for item, no in zip(good, given, strict=True):
            if no is not None:
                refusals[item.sent.transfer_id] = no
        results = []
        for item in items:
            refusal = refusals.get(item.sent.transfer_id)
            results.append(_transfer_result(item, refusal, self._config))
            if item.incoming.stage is Stage.IN_BULK and item.is_stored:
                await self._store.save_incoming(item.incoming, _after_decision(item, refusal, self._config))
                self._payee.carry_on(item.sent.transfer_id)
        is_refused = len(refusals) == len(items)
        answer = BulkTransferPut(
            bulk_transfer_state="REJECTED" if is_refused else "COMPLETED", individual_transfer_results=results
        )
        decided = msgspec.structs.replace(bulk, state=BulkState.ANSWERING, answer=bodies.write(answer))
        await self._bulks.save(bulk, decided)

    async def _item(self, bulk: IncomingBulk, body: BulkTransferPost, sent: IndividualTransfer) -> _Item:
        """Stores an item as a transfer. If the connector must not fulfil the item, the result contains the reason.

        Never stores an item without usable terms, because any DFSP can add many such items to a bulk.
        """
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
        quote = await self._store.quote_of_condition(sent.condition)
        now, margin_s = self._hub.clock.at_hub(), self._config.clock_margin_s
        problem = payee_terms.problem_of(transfer, bulk.payer_fsp, quote, now=now, margin_s=margin_s)
        if await self._store.incoming(sent.transfer_id) is None:
            if problem is None and not await self._store.has_usable_terms([sent.condition], bulk.payer_fsp):
                problem = _USED
            if problem is not None:
                return _Item(sent, new, None, problem, is_stored=False)
        try:
            is_on_us = bulk.payer_fsp == self._config.dfsp
            incoming, _ = await self._store.add_incoming(new, may_be_own=is_on_us)
        except Conflict:
            return _Item(sent, new, None, _FOREIGN, is_stored=False)
        if incoming.bulk_id != bulk.id:
            return _Item(sent, incoming, None, _FOREIGN, is_stored=False)
        if problem is None and quote is not None:
            if await self._store.claim_quote(sent.transfer_id, quote.quote_id):
                incoming = msgspec.structs.replace(incoming, quote_id=quote.quote_id)
            else:
                problem = _USED
        return _Item(sent, incoming, quote, problem, is_stored=True)

    async def _decisions(
        self, bulk: IncomingBulk, body: BulkTransferPost, items: Sequence[_Item], *, is_repeated: bool
    ) -> list["_Refusal | None"]:
        if not items:
            return []
        backend = self._backend
        if not isinstance(backend, BulkBackend):
            return await self._reserve_each(bulk, items, is_repeated=is_repeated)
        calls = itertools.count(int(is_repeated))

        async def reserve() -> list[Refused | None]:
            again = next(calls) > 0
            money = [self._money(item, is_repeated=again) for item in items]
            given = await backend.reserve_bulk(body, money, is_repeated=again)
            if len(given) != len(money):
                raise NotUnderstood("the core's answer has a different number of items")
            return given

        given = await asking_the_core.ask(reserve, seconds=self._time_for(bulk), otherwise=_OTHERWISE)
        if isinstance(given, No):
            return [_Refusal(given, is_perhaps_reserved=True)] * len(items)
        return [_refusal_of(no) for no in given]

    async def _reserve_each(
        self, bulk: IncomingBulk, items: Sequence[_Item], *, is_repeated: bool
    ) -> list["_Refusal | None"]:
        """Reserves the money of each item, several items at a time. Repeats the call for an item until the core
        answers.

        If the core does not answer about one item in time, or if the bulk has expired, does not ask about the items
        that still wait.
        """
        expired = No(_REJECTED, "the transfer has expired")
        gives_up_at = bulk.expires_at + self._config.clock_margin_s
        unanswered: list[No] = []

        async def decide(item: _Item) -> _Refusal | None:
            async with self._places.of(bulk.payer_fsp):
                if unanswered:
                    return _Refusal(unanswered[0], is_perhaps_reserved=is_repeated)
                if self._hub.clock.at_hub() >= gives_up_at:
                    return _Refusal(expired, is_perhaps_reserved=is_repeated)
                given = await self._reserve_one(item, self._time_for(bulk), is_repeated=is_repeated)
            if not isinstance(given, No):
                return _refusal_of(given)
            if given.code == ErrorCode.DESTINATION_COMMUNICATION_ERROR.code:
                unanswered.append(given)
            return _Refusal(given, is_perhaps_reserved=True)

        return await asyncio.gather(*(decide(item) for item in items))

    async def _reserve_one(self, item: _Item, seconds: float, *, is_repeated: bool) -> Refused | No | None:
        calls = itertools.count(int(is_repeated))

        async def reserve() -> Refused | None:
            money = self._money(item, is_repeated=next(calls) > 0)
            try:
                await asking_the_core.timely(lambda: self._backend.reserve(money), self._config.request_s)
            except Refused as no:
                return no
            return None

        return await asking_the_core.ask(reserve, seconds=seconds, otherwise=_OTHERWISE)

    def _money(self, item: _Item, *, is_repeated: bool) -> IncomingMoney:
        assert item.quote is not None
        return payee_terms.money_of(item.incoming, item.quote, self._config.dfsp, is_repeated=is_repeated)

    def _time_for(self, bulk: IncomingBulk) -> float:
        """Returns the time that the core has for the decision."""
        return min(max(1.0, bulk.expires_at - self._hub.clock.at_hub()), 10 * self._config.request_s)

    async def _answer(self, bulk: IncomingBulk) -> None:
        await self._send(bulk, bulk.answer, max(60.0, bulk.expires_at - time.time() + 3600))
        await self._bulks.save(bulk, msgspec.structs.replace(bulk, state=BulkState.ANSWERED))

    async def _send(self, bulk: IncomingBulk, body: bytes, seconds: float) -> None:
        until = time.monotonic() + seconds
        await self._hub.send_until_taken(
            "PUT",
            f"/bulkTransfers/{bulk.id}",
            body,
            destination=bulk.payer_fsp,
            caused_by=bulk.payer_fsp,
            still_wanted=lambda: time.monotonic() < until,
        )

    async def _await_report(self, bulk: IncomingBulk) -> None:
        pause = self._config.callback_s
        try:
            while await self._is_awaiting_report(bulk):
                await asyncio.sleep(pause)
                if await self._is_awaiting_report(bulk):
                    await self._hub.send("GET", f"/bulkTransfers/{bulk.id}", caused_by=bulk.payer_fsp)
                    pause = self._unknown.longer(pause, bulk.id, _ASK_AT_MOST_EVERY_S)
        finally:
            self._unknown.forget(bulk.id)

    async def _is_awaiting_report(self, bulk: IncomingBulk) -> bool:
        now = await self._bulks.get(bulk.id)
        return now is not None and now.state is BulkState.ANSWERED

    # --- the hub's report ---------------------------------------------------------------------------------------------

    async def has(self, record_id: str) -> bool:
        """Returns whether this DFSP has received a request with this id."""
        return await self._bulks.get(record_id) is not None

    async def told(self, message: Message) -> int:
        """Handles PUT /bulkTransfers/{id} from the hub: credits the committed items, and releases all other items."""
        bulk = await self._bulk_of(message)
        body = message.read(BulkTransferPut)
        self._unknown.forget(bulk.id)
        if body.bulk_transfer_state not in ("COMPLETED", "REJECTED") or bulk.state is BulkState.ENDED:
            return 200
        committed = _committed(bulk, body)
        await self._end(bulk, committed, body.completed_timestamp)
        return 200

    async def failed(self, message: Message) -> int:
        """Handles PUT /bulkTransfers/{id}/error from the hub.

        Two errors end the bulk without a payment: the error 3303, and an error "not found" that the hub wrote after the
        bulk's expiration.
        """
        bulk = await self._bulk_of(message)
        is_over = message.ends_without_payment(bulk.expires_at, self._config.clock_margin_s)
        if is_over and bulk.state is not BulkState.ENDED:
            await self._end(bulk, set(), None)
        elif message.reports_unknown_id and bulk.state is BulkState.ANSWERED and bulk.id in self._rounds:
            self._unknown.note(bulk.id, bulk.payer_fsp)
        return 200

    async def _bulk_of(self, message: Message) -> IncomingBulk:
        bulk = await self._bulks.get(message.id)
        if bulk is None:
            raise FspiopError(ErrorCode.BULK_TRANSFER_ID_NOT_FOUND)
        message.check_is_from_hub()
        return bulk

    async def _end(self, bulk: IncomingBulk, committed: set[str], completed_at: str | None) -> None:
        if bulk.state is BulkState.RECEIVED:
            # The core may still be reserving the money, and the release must come after the reservation. After its
            # answer, the connector requests the bulk's state from the hub, and the hub reports the end again.
            return
        body = bodies.read(BulkTransferPost, bulk.body)
        for item in body.individual_transfers:
            incoming = await self._store.incoming(item.transfer_id)
            if incoming is not None and incoming.bulk_id == bulk.id:
                state = "COMMITTED" if item.transfer_id in committed else "ABORTED"
                await self._payee.take_ending(item.transfer_id, Ending(state, completed_at))
        while (now := await self._bulks.get(bulk.id)) is not None and now.is_open:
            if await self._bulks.save(now, msgspec.structs.replace(now, state=BulkState.ENDED)):
                return


def _committed(bulk: IncomingBulk, told: BulkTransferPut) -> set[str]:
    """Returns the ids of the committed items. Raises FspiopError if a fulfilment does not fit its item."""
    conditions = {
        item.transfer_id: item.condition for item in bodies.read(BulkTransferPost, bulk.body).individual_transfers
    }
    fulfilments = {
        result.transfer_id: result.fulfilment
        for result in told.individual_transfer_results or []
        if result.fulfilment is not None and result.transfer_id in conditions
    }
    for transfer_id, fulfilment in fulfilments.items():
        check_fulfilment(fulfilment, conditions[transfer_id], transfer_id)
    return set(fulfilments)


def _refusal_of(no: Refused | None) -> _Refusal | None:
    if no is None:
        return None
    if not isinstance(no, Refused):
        return _Refusal(asking_the_core.not_understood(TypeError("reserve_bulk: no Refused")), is_perhaps_reserved=True)
    refusal = asking_the_core.allowed(no, _OTHERWISE)
    return _Refusal(refusal, is_perhaps_reserved=no.is_perhaps_done)


def _transfer_result(item: _Item, refusal: _Refusal | None, config: Config) -> IndividualTransferResult:
    if refusal is not None or item.quote is None:
        information = error_of(refusal.no if refusal is not None else No(_REJECTED))
        return IndividualTransferResult(transfer_id=item.sent.transfer_id, error_information=information)
    fulfilled = bodies.read(TransferPut, payee_terms.fulfilment_of(item.quote, config))
    return IndividualTransferResult(transfer_id=item.sent.transfer_id, fulfilment=fulfilled.fulfilment)


def _after_decision(item: _Item, refusal: _Refusal | None, config: Config) -> Incoming:
    if refusal is not None or item.quote is None:
        no, is_perhaps_reserved = (refusal.no, refusal.is_perhaps_reserved) if refusal else (No(_REJECTED), False)
        stage = Stage.RELEASING if is_perhaps_reserved else Stage.REJECTED
        body = asking_the_core.error_put(no)
        return msgspec.structs.replace(item.incoming, stage=stage, answer=body, is_refusal=True)
    answer = payee_terms.fulfilment_of(item.quote, config)
    return msgspec.structs.replace(item.incoming, stage=Stage.FULFILLED, answer=answer)
