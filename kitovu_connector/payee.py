"""The receiving side of payments: answers quotes and accepts transfers. The connector stores every answer durably
before it sends the answer.

The connector sends a fulfilment only if the transfer matches terms that this DFSP has given. The core credits the
customer only after the hub has reported COMMITTED. If the fulfilment has the state RESERVED, the hub reports COMMITTED
by PATCH. Otherwise the hub reports COMMITTED in its answer to GET /transfers/{ID}.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import structlog

from fspiop import bodies
from fspiop.bodies.transfers import TransferPost
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import asking_the_core, logs, payee_terms
from kitovu_connector.answering_lookups import Parties
from kitovu_connector.asking_the_core import No
from kitovu_connector.backend import Backend
from kitovu_connector.background import Background, Rounds
from kitovu_connector.client import Answer, HubClient, Said, Wanted
from kitovu_connector.config import Config
from kitovu_connector.conflicts import Conflict
from kitovu_connector.core_errors import NotUnderstood, Refused, Unavailable
from kitovu_connector.customer_existence_checks import CustomerChecks
from kitovu_connector.party_identifiers import Alias
from kitovu_connector.payment_and_quote_records import DONE, Incoming, QuoteGiven, Stage, Store
from kitovu_connector.payments_of_requests import RequestLinks
from kitovu_connector.requests_unknown_to_hub import UnknownRequests
from kitovu_connector.sender_shares import shares_of_answers
from kitovu_connector.transaction_states import TransactionStates

T = TypeVar("T")
log = structlog.get_logger(__name__)

# After these errors the payer DFSP no longer waits for a quote, because the hub has ended the quote or does not have
# it.
_TOO_LATE = frozenset({ErrorCode.QUOTE_ID_NOT_FOUND.code, ErrorCode.QUOTE_EXPIRED.code})
_ASK_FIRST_S = 1.0
_ASK_AT_MOST_EVERY_S = 15.0
_AGAIN_AT_MOST_EVERY_S = 60.0
_LOOK_FOR_OLD_QUOTES_EVERY_S = 600.0
_OLD_QUOTES_AT_ONCE = 500
_ANSWERED = (Stage.FULFILLED, Stage.REJECTED, Stage.COMMITTING, Stage.COMMITTED)


@dataclass(frozen=True, slots=True)
class Ending:
    """The outcome that the hub has reported for a transfer: COMMITTED or ABORTED."""

    state: str
    completed_at: str | None = None


class Payee:
    """All quotes that one DFSP has answered, and all its incoming transfers."""

    def __init__(
        self,
        config: Config,
        store: Store,
        hub: HubClient,
        backend: Backend,
        parties: Parties,
        transactions: TransactionStates,
    ) -> None:
        self._config, self._store, self._hub = config, store, hub
        self._backend, self._transactions = backend, transactions
        self._background = Background()
        self._rounds = Rounds(self._background)
        self._told: dict[str, asyncio.Event] = {}
        self._requests = RequestLinks(store)
        self._checks = CustomerChecks(parties, self._background)
        self._refusals = shares_of_answers(config.connections)
        self._unknown = UnknownRequests()

    async def resume(self) -> None:
        """Continues all unfinished quotes and transfers that have no task.

        Runs after this instance has started or taken over records.
        """
        for quote in await self._store.unfinished_quotes():
            self._begin_answer(quote)
        for incoming in await self._store.unfinished_incoming():
            if incoming.stage is Stage.IN_BULK or incoming.transfer_id in self._rounds:
                continue  # an item of a bulk continues together with its bulk
            self.carry_on(incoming.transfer_id, is_repeated=True)
        self._background.start_once("delete old quotes", self._delete_old_quotes)

    def changed(self, transfer_id: str) -> None:
        """Continues a transfer of this instance after another instance has changed the transfer."""
        if transfer_id in self._told:
            self._told[transfer_id].set()
        else:
            self.carry_on(transfer_id)

    async def close(self) -> None:
        """Stops all tasks immediately. No step is lost, because every step is already stored."""
        await self._background.close()

    # --- quotes -----------------------------------------------------------------------------------------------------

    async def take_quote(self, quote: QuoteGiven, payee: Alias) -> None:
        """Stores a request for terms, and answers it in the background.

        Raises Conflict if this id is already stored with different content.

        If a request is about an unknown customer, the connector answers the request but never stores it. Raises
        FspiopError 2005 if the lookup of the customer takes too long, or if the stored requests of the payer DFSP have
        too many octets.
        """
        if await self._store.quote(quote.quote_id) is not None:
            await self._store_quote(quote)
            return
        await self._checks.run(
            quote.quote_id,
            (quote.digest, quote.payer_fsp),
            [payee],
            asker=quote.payer_fsp,
            keep=lambda: self._store_quote(quote),
            refuse=lambda no: self._refusals.start(
                self._background, quote.payer_fsp, lambda: self._send_quote_error(quote, no)
            ),
        )

    async def _store_quote(self, quote: QuoteGiven) -> None:
        stored, is_new = await self._store.add_quote(quote, most=self._config.stored_quotes_bytes)
        if is_new or stored.is_taken:
            self._begin_answer(stored)

    def _begin_answer(self, quote: QuoteGiven) -> None:
        self._background.start_once(quote.quote_id, lambda: self._answer_quote(quote))

    async def _answer_quote(self, quote: QuoteGiven) -> None:
        if not quote.answer:
            quote = await self._decide(quote)
            if not await self._store.save_quote(quote):
                return  # another instance has taken over
        if quote.is_refusal:
            path = f"/quotes/{quote.quote_id}/error"
            await self._send_until(path, quote.answer, quote.payer_fsp, self._config.quote_expiry_s)
        else:
            path = f"/quotes/{quote.quote_id}"
            answer = await self._send_until(path, quote.answer, quote.payer_fsp, self._config.quote_expiry_s)
            if answer.said is Said.NO and answer.code not in _TOO_LATE:
                no = No(ErrorCode.PAYEE_FSP_REJECTED_QUOTE.code, f"the hub refused the terms: {answer.text}")
                await self._send_quote_error(quote, no)
        await self._store.save_quote(msgspec.structs.replace(quote, is_taken=True))

    async def _send_quote_error(self, quote: QuoteGiven, no: No) -> None:
        path = f"/quotes/{quote.quote_id}/error"
        await self._send_until(path, asking_the_core.error_put(no), quote.payer_fsp, self._config.request_s)

    async def _send_until(self, path: str, body: bytes, destination: str, seconds: float) -> Answer:
        give_up = time.monotonic() + seconds
        return await self._hub.send_until_taken(
            "PUT",
            path,
            body,
            destination=destination,
            caused_by=destination,
            still_wanted=lambda: time.monotonic() < give_up,
        )

    async def _decide(self, quote: QuoteGiven) -> QuoteGiven:
        quote = msgspec.structs.replace(quote, home_request_id=await self._requests.home_id_of(quote))
        given = await self._terms_of(quote)
        # Looks for the request to pay again, now with the core's terms: a fee can reduce the payee's amount below the
        # requested amount.
        if isinstance(given, QuoteGiven):
            return msgspec.structs.replace(given, home_request_id=await self._requests.home_id_of(given))
        return msgspec.structs.replace(quote, answer=asking_the_core.error_put(given), is_refusal=True)

    async def _terms_of(self, quote: QuoteGiven) -> QuoteGiven | No:
        try:
            wanted = payee_terms.wanted_of(quote, self._config.dfsp)
        except (FspiopError, ValueError) as error:  # an earlier version with fewer checks stored this request
            return No(ErrorCode.VALIDATION_ERROR.code, str(error))
        given = await asking_the_core.ask(
            lambda: self._backend.give_terms(wanted),
            seconds=self._config.request_s,
            otherwise=ErrorCode.PAYEE_FSP_REJECTED_QUOTE,
        )
        if isinstance(given, No):
            return given
        try:
            return payee_terms.offer(quote, wanted, given, self._config, now=self._hub.clock.at_hub())
        except (NotUnderstood, AttributeError, TypeError) as error:
            return asking_the_core.not_understood(error)
        except ValueError as error:
            log.warning("no_terms", quote=quote.quote_id, why=str(error))
            return No(ErrorCode.PAYEE_FSP_REJECTED_QUOTE.code, str(error))

    async def _delete_old_quotes(self) -> None:
        """Deletes expired terms that no open transfer needs."""
        while True:
            try:
                before = time.time() - self._config.quote_retention_s
                deleted = _OLD_QUOTES_AT_ONCE
                while deleted == _OLD_QUOTES_AT_ONCE:
                    deleted = await self._store.delete_old_quotes(before, _OLD_QUOTES_AT_ONCE)
            except Exception as error:  # an error such as a full disk must not end this task
                log.error("old_quotes_not_deleted", error=logs.trace_of(error))
            await asyncio.sleep(min(self._config.quote_retention_s, _LOOK_FOR_OLD_QUOTES_EVERY_S))

    # --- transfers --------------------------------------------------------------------------------------------------

    async def take_transfer(self, incoming: Incoming, *, came_via_hub: bool) -> None:
        """Stores a transfer and processes it in the background. Raises Conflict if this id is already stored with
        different content, or as an item of a bulk.

        Rejects a transfer without usable terms. Never stores a transfer without usable terms, because any DFSP can send
        many such transfers. Raises FspiopError 2005 if the connector still has to send too many rejections to the payer
        DFSP, or if the hub does not know many of this DFSP's open transfers.
        """
        is_on_us = incoming.payer_fsp == self._config.dfsp
        if await self._store.incoming(incoming.transfer_id) is None:
            if not is_on_us:
                await self._store.check_is_not_own(incoming.transfer_id)
            if not came_via_hub:
                self._unknown.check_has_room(incoming.payer_fsp)
            problem = await self._problem_of(incoming)
            if problem is not None:
                rejected = _rejected(problem)
                self._refusals.start(
                    self._background, incoming.payer_fsp, lambda: self._send_rejection(incoming, rejected)
                )
                return
        stored, is_new = await self._store.add_incoming(incoming, may_be_own=is_on_us)
        if stored.bulk_id is not None:
            raise Conflict  # the id belongs to an item of a bulk
        if not is_new and stored.answer and stored.stage in _ANSWERED:
            await self._send_answer(stored)  # a repeated request gets the stored answer
        # A repeated request can arrive after a restart, before `resume` has continued the transfer.
        self.carry_on(stored.transfer_id, is_repeated=not is_new)

    async def _problem_of(self, incoming: Incoming) -> str | None:
        """Returns the reason why a new transfer must be rejected, or None."""
        body = bodies.read(TransferPost, incoming.body)
        quote = await self._store.quote_of_condition(body.condition)
        margin_s = self._config.clock_margin_s
        problem = payee_terms.problem_of(
            body, incoming.payer_fsp, quote, now=self._hub.clock.at_hub(), margin_s=margin_s
        )
        if problem is None and not await self._store.has_usable_terms([body.condition], incoming.payer_fsp):
            return "the terms belong to another transfer"
        return problem

    async def _send_rejection(self, incoming: Incoming, no: No) -> None:
        log.info("transfer_rejected", transfer=incoming.transfer_id, code=no.code, why=logs.without_numbers(no.text))
        path = f"/transfers/{incoming.transfer_id}/error"
        await self._send_until(path, asking_the_core.error_put(no), incoming.payer_fsp, self._config.request_s)

    async def take_ending(self, transfer_id: str, ending: Ending) -> None:
        """Processes the hub's report about the end of a transfer. The core credits the customer only if the outcome is
        COMMITTED.
        """
        after = Stage.COMMITTING if ending.state == "COMMITTED" else Stage.RELEASING
        while (incoming := await self._store.incoming(transfer_id)) is not None:
            if incoming.stage in (Stage.COMMITTED, Stage.ABORTED, Stage.COMMITTING, Stage.RELEASING):
                return
            if incoming.stage is Stage.REJECTED and after is Stage.RELEASING:
                return
            # `save_incoming` returns False if another task has stored a step meanwhile, such as FULFILLED. The loop
            # then reads the transfer again.
            ended = msgspec.structs.replace(incoming, stage=after, completed_at=ending.completed_at)
            if await self._store.save_incoming(incoming, ended):
                event = self._told.get(transfer_id)
                if event is not None:
                    event.set()
                self.carry_on(transfer_id)
                return

    def is_awaiting_end(self, transfer_id: str) -> bool:
        """Returns whether a task of this instance waits for the hub's report about this transfer."""
        return transfer_id in self._told

    def unknown_to_hub(self, incoming: Incoming) -> None:
        """Notes the hub's report that it does not know this transfer. The hub may receive the transfer later."""
        if self.is_awaiting_end(incoming.transfer_id):
            self._unknown.note(incoming.transfer_id, incoming.payer_fsp)

    def known_to_hub(self, transfer_id: str) -> None:
        """Notes that the hub has this transfer."""
        self._unknown.forget(transfer_id)

    def carry_on(self, transfer_id: str, *, is_repeated: bool = False) -> None:
        """Processes a transfer of this instance until it is finished. `is_repeated` is true if the core may already
        have the transfer, from an earlier run of the connector.
        """
        self._rounds.begin(
            transfer_id, lambda is_again: self._work_on(transfer_id, is_repeated=is_repeated or is_again)
        )

    async def _work_on(self, transfer_id: str, *, is_repeated: bool) -> None:
        """Takes the next steps of a transfer of this instance. Repeats each failed step until it succeeds."""
        pause = 1.0
        while True:
            stage = None
            try:
                incoming = await self._store.own_incoming(transfer_id)
                if incoming is None or incoming.stage in DONE:
                    return
                stage = incoming.stage
                await self._take_step(incoming, is_repeated=is_repeated)
                pause = 1.0
            except Exception as error:
                is_repeated = True  # the core may have reserved the money before the error
                log.error("step_failed", transfer=transfer_id, stage=stage, error=logs.trace_of(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, _AGAIN_AT_MOST_EVERY_S)

    async def _take_step(self, incoming: Incoming, *, is_repeated: bool) -> None:
        match incoming.stage:
            case Stage.RECEIVED:
                await self._reserve(incoming, is_repeated=is_repeated)
            case Stage.FULFILLING | Stage.REJECTING:
                await self._answer(incoming)
            case Stage.FULFILLED:
                await self._await_ending(incoming)
            case Stage.COMMITTING:
                await self._finish(incoming, Stage.COMMITTED)
            case Stage.RELEASING:
                await self._finish(incoming, Stage.ABORTED)

    async def _reserve(self, incoming: Incoming, *, is_repeated: bool) -> None:
        body = bodies.read(TransferPost, incoming.body)
        quote = await self._store.quote_of_condition(body.condition)
        margin_s = self._config.clock_margin_s
        problem = payee_terms.problem_of(
            body, incoming.payer_fsp, quote, now=self._hub.clock.at_hub(), margin_s=margin_s
        )
        if problem is not None or quote is None:
            await self._reject(incoming, _rejected(problem or "unknown terms"), is_perhaps_reserved=is_repeated)
            return
        if not await self._store.claim_quote(incoming.transfer_id, quote.quote_id):
            await self._reject(incoming, _rejected("the terms belong to another transfer"))
            return
        await self._transactions.add(quote, incoming.transfer_id)
        if (request_id := await self._requests.answered_by(quote)) is not None:
            await self._requests.add(request_id, incoming.transfer_id)
        calls = itertools.count(int(is_repeated))
        dfsp = self._config.dfsp
        gives_up_at = incoming.expires_at + margin_s

        def reserve() -> Awaitable[None]:
            return self._backend.reserve(payee_terms.money_of(incoming, quote, dfsp, is_repeated=next(calls) > 0))

        try:
            await self._until_done(reserve, until=gives_up_at)
        except Refused as no:
            refusal = asking_the_core.allowed(no, ErrorCode.PAYEE_FSP_REJECTED_TRANSACTION)
            await self._reject(incoming, refusal, is_perhaps_reserved=no.is_perhaps_done)
            return
        except NotUnderstood as error:
            # The payer DFSP still needs an answer. If the core has reserved the money, the core must release it.
            await self._reject(incoming, asking_the_core.not_understood(error), is_perhaps_reserved=True)
            return
        except TimeoutError:
            # Now it is too late for the fulfilment. If the core has reserved the money, the core must release it.
            await self._move(incoming, stage=Stage.RELEASING)
            return
        if self._hub.clock.at_hub() >= gives_up_at:
            await self._move(incoming, stage=Stage.RELEASING)
            return
        answer = payee_terms.fulfilment_of(quote, self._config)
        await self._move(
            incoming,
            stage=Stage.FULFILLING,
            answer=answer,
            quote_id=quote.quote_id,
            transaction_request_id=request_id,
            home_request_id=quote.home_request_id,
        )

    async def _reject(self, incoming: Incoming, no: No, *, is_perhaps_reserved: bool = False) -> None:
        log.info("transfer_rejected", transfer=incoming.transfer_id, code=no.code, why=logs.without_numbers(no.text))
        await self._move(
            incoming,
            stage=Stage.REJECTING,
            answer=asking_the_core.error_put(no),
            is_refusal=True,
            error_code=no.code,
            is_perhaps_reserved=is_perhaps_reserved,
        )

    async def _answer(self, incoming: Incoming) -> None:
        async def is_wanted() -> bool:
            is_open = await self._is_at(incoming.transfer_id, incoming.stage)
            return is_open and time.time() < incoming.expires_at + 3600

        answer = await self._send_answer(incoming, is_wanted=is_wanted)
        if not incoming.is_refusal:
            if answer.said is Said.NO:
                await self._withdraw_fulfilment(incoming, answer)
            await self._move(incoming, stage=Stage.FULFILLED)
        elif incoming.is_perhaps_reserved:
            await self._move(incoming, stage=Stage.RELEASING)
        else:
            await self._move(incoming, stage=Stage.REJECTED)

    async def _withdraw_fulfilment(self, incoming: Incoming, refused: Answer) -> None:
        """Sends an error after the hub has refused the fulfilment. Because of this error, the payer DFSP does not have
        to wait for the expiration.

        The error does not end the transfer, because the hub may have accepted an earlier copy of the fulfilment. So the
        transfer stays FULFILLED until the hub reports the outcome.
        """
        no = _rejected(f"the hub refused the fulfilment: {refused.text}")
        path = f"/transfers/{incoming.transfer_id}/error"
        await self._send_until(path, asking_the_core.error_put(no), incoming.payer_fsp, self._config.request_s)
        await self._ask_for_state(incoming)

    async def _send_answer(self, incoming: Incoming, is_wanted: Wanted = lambda: False) -> Answer:
        path = f"/transfers/{incoming.transfer_id}" + ("/error" if incoming.is_refusal else "")
        return await self._hub.send_until_taken(
            "PUT",
            path,
            incoming.answer,
            destination=incoming.payer_fsp,
            caused_by=incoming.payer_fsp,
            still_wanted=is_wanted,
        )

    async def _ask_for_state(self, incoming: Incoming) -> None:
        await self._hub.send("GET", f"/transfers/{incoming.transfer_id}", caused_by=incoming.payer_fsp)

    async def _await_ending(self, incoming: Incoming) -> None:
        """Waits for the hub's report. If the report is overdue, requests the state of the transfer from the hub."""
        event = self._told.setdefault(incoming.transfer_id, asyncio.Event())
        pause = self._config.callback_s if self._config.fulfil_state == "RESERVED" else _ASK_FIRST_S
        try:
            while await self._is_at(incoming.transfer_id, Stage.FULFILLED):
                try:
                    await asyncio.wait_for(event.wait(), pause)
                    event.clear()
                except TimeoutError:
                    await self._ask_for_state(incoming)
                    pause = self._unknown.longer(pause, incoming.transfer_id, _ASK_AT_MOST_EVERY_S)
        finally:
            self._told.pop(incoming.transfer_id, None)
            self._unknown.forget(incoming.transfer_id)

    async def _is_at(self, transfer_id: str, stage: Stage) -> bool:
        now = await self._store.incoming(transfer_id)
        return now is not None and now.stage is stage

    async def _finish(self, incoming: Incoming, stage: Stage) -> None:
        # The hub has decided, so the connector repeats the call until the core has accepted the decision.
        if stage is Stage.COMMITTED:
            body = bodies.read(TransferPost, incoming.body)
            quote = await self._store.quote_of_condition(body.condition)
            assert quote is not None, "the hub committed a transfer without a fulfilment of this DFSP"
            announced = payee_terms.money_of(incoming, quote, self._config.dfsp)
            await self._until_done(lambda: self._backend.commit(announced))
        else:
            await self._until_done(lambda: self._backend.release(incoming.transfer_id))
        await self._move(incoming, stage=stage)
        log.info("transfer_ended", transfer=incoming.transfer_id, state=stage)

    async def _move(self, incoming: Incoming, **changes: object) -> None:
        # If another task has meanwhile stored a new stage, the loop reads this stage next.
        await self._store.save_incoming(incoming, msgspec.structs.replace(incoming, **changes))

    async def _until_done(self, call: Callable[[], Awaitable[T]], *, until: float | None = None) -> T:
        """Calls a method of the core repeatedly, until a call returns. Raises TimeoutError if no call has returned
        before the time `until` of the hub's clock.

        If `until` is given, the core may refuse the call. Otherwise the hub has already decided, so a refusal is a
        fault that the core's operators must correct.
        """
        pause = 0.2
        while True:
            try:
                return await asking_the_core.timely(call, self._config.request_s)
            except Unavailable as error:
                log.warning("core_not_available", why=logs.without_numbers(str(error)))
            except Exception as error:
                if until is not None and isinstance(error, Refused | NotUnderstood):
                    raise
                log.error("core_failed", error=logs.trace_of(error))
            if until is not None and self._hub.clock.at_hub() + pause >= until:
                raise TimeoutError
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)


def _rejected(text: str) -> No:
    return No(ErrorCode.PAYEE_FSP_REJECTED_TRANSACTION.code, text)
