"""The receiving side: answers lookups and quotes, and accepts transfers. Every answer is durable before it is sent.

A fulfilment is sent only for a transfer that fits terms of this DFSP. The customer is credited only when the hub has
reported COMMITTED: by PATCH if the fulfilment had RESERVED, otherwise in its answer to GET /transfers/{ID}.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import structlog

from connector import terms
from connector.backend import Backend, Refused, Unavailable
from connector.client import HubClient, Said
from connector.config import Config
from connector.store import Incoming, QuoteGiven, Stage, Store
from fspiop import bodies
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.transfers import TransferPost
from fspiop.errors import ErrorCode, error_body, text_of

T = TypeVar("T")
log = structlog.get_logger(__name__)

_ASK_FIRST_S = 1.0
_ASK_AT_MOST_EVERY_S = 15.0


@dataclass(frozen=True, slots=True)
class Ending:
    """The outcome of a transfer as the hub reports it: COMMITTED or ABORTED."""

    state: str


class Payee:
    """All quotes given and all incoming transfers of one DFSP."""

    def __init__(self, config: Config, store: Store, hub: HubClient, backend: Backend) -> None:
        self._config, self._store, self._hub, self._backend = config, store, hub, backend
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[str] = set()
        self._told: dict[str, asyncio.Event] = {}

    async def resume(self) -> None:
        """At start: continues with every unfinished quote and transfer."""
        for quote in self._store.unfinished_quotes():
            self._spawn(self._answer_quote(quote))
        for incoming in self._store.unfinished_incoming():
            self.carry_on(incoming.transfer_id)

    async def close(self) -> None:
        """Stops all tasks at once; the store has every step."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- quotes -----------------------------------------------------------------------------------------------------

    async def take_quote(self, quote: QuoteGiven) -> None:
        """Stores a request for terms and answers it in the background; Conflict if the id had other content."""
        stored, is_new = await self._store.add_quote(quote)
        if is_new or stored.is_taken:
            self._spawn(self._answer_quote(stored))

    async def _answer_quote(self, quote: QuoteGiven) -> None:
        if not quote.answer:
            quote = await self._decide(quote)
            await self._store.save_quote(quote)
        path = f"/quotes/{quote.quote_id}" + ("/error" if quote.is_refusal else "")
        give_up = time.time() + self._config.quote_expiry_s
        answer = await self._hub.send_until_taken(
            "PUT", path, quote.answer, destination=quote.payer_fsp, still_wanted=lambda: time.time() < give_up
        )
        if answer.said is Said.NO:
            log.warning("terms_not_taken", quote=quote.quote_id, code=answer.code)
        await self._store.save_quote(msgspec.structs.replace(quote, is_taken=True))

    async def _decide(self, quote: QuoteGiven) -> QuoteGiven:
        wanted = terms.wanted_of(quote, self._config.dfsp)
        try:
            given = await self._until_available(
                lambda: self._backend.give_terms(wanted), until=time.time() + self._config.agree_s
            )
            return terms.offer(quote, wanted, given, self._config, now=time.time())
        except Refused as no:
            return _refusal(quote, no.code, no.text)
        except Unavailable:
            return _refusal(quote, ErrorCode.DESTINATION_COMMUNICATION_ERROR.code, "")
        except ValueError as error:
            return _refusal(quote, ErrorCode.PAYEE_FSP_REJECTED_QUOTE.code, str(error))

    # --- transfers --------------------------------------------------------------------------------------------------

    async def take_transfer(self, incoming: Incoming) -> None:
        """Stores a transfer and processes it in the background; Conflict if the id had other content."""
        stored, is_new = await self._store.add_incoming(incoming)
        if not is_new and stored.stage in (Stage.FULFILLED, Stage.REJECTED):
            await self._send_answer(stored)  # a repeated request gets the same answer
        self.carry_on(stored.transfer_id)

    async def take_ending(self, transfer_id: str, ending: Ending) -> None:
        """Processes the hub's report of how a transfer ended. Only COMMITTED credits the customer."""
        after = Stage.COMMITTING if ending.state == "COMMITTED" else Stage.RELEASING
        while (incoming := self._store.incoming(transfer_id)) is not None:
            if incoming.stage in (Stage.COMMITTED, Stage.ABORTED, Stage.COMMITTING, Stage.RELEASING):
                return
            if incoming.stage is Stage.REJECTED and after is Stage.RELEASING:
                return
            # False if another step was stored meanwhile, such as FULFILLED. The loop then reads the transfer again.
            if await self._store.save_incoming(incoming, msgspec.structs.replace(incoming, stage=after)):
                event = self._told.get(transfer_id)
                if event is not None:
                    event.set()
                self.carry_on(transfer_id)
                return

    def carry_on(self, transfer_id: str) -> None:
        """Processes a transfer until it is finished, unless a task already does."""
        if transfer_id not in self._busy:
            self._busy.add(transfer_id)
            self._spawn(self._work_on(transfer_id))

    async def _work_on(self, transfer_id: str) -> None:
        try:
            while (incoming := self._store.incoming(transfer_id)) is not None:
                match incoming.stage:
                    case Stage.RECEIVED:
                        await self._reserve(incoming)
                    case Stage.FULFILLING | Stage.REJECTING:
                        await self._answer(incoming)
                    case Stage.FULFILLED:
                        await self._await_ending(incoming)
                    case Stage.COMMITTING:
                        await self._finish(incoming, Stage.COMMITTED)
                    case Stage.RELEASING:
                        await self._finish(incoming, Stage.ABORTED)
                    case _:
                        return
        finally:
            self._busy.discard(transfer_id)

    async def _reserve(self, incoming: Incoming) -> None:
        body = bodies.read(TransferPost, incoming.body)
        quote = self._store.quote_of_condition(body.condition)
        problem = terms.problem_of(body, incoming.payer_fsp, quote, now=time.time())
        if problem is not None or quote is None:
            await self._reject(incoming, ErrorCode.PAYEE_FSP_REJECTED_TRANSACTION.code, problem or "unknown terms")
            return
        if not await self._store.claim_quote(incoming.transfer_id, quote.quote_id):
            text = "the terms belong to another transfer"
            await self._reject(incoming, ErrorCode.PAYEE_FSP_REJECTED_TRANSACTION.code, text)
            return
        announced = terms.money_of(body, quote, self._config.dfsp)
        try:
            await self._until_available(lambda: self._backend.reserve(announced), until=incoming.expires_at)
        except Refused as no:
            await self._reject(incoming, no.code, no.text)
            return
        except Unavailable:
            # Too late to fulfil, and perhaps reserved: the core must release it.
            await self._move(incoming, stage=Stage.RELEASING)
            return
        if time.time() >= incoming.expires_at:
            await self._move(incoming, stage=Stage.RELEASING)
            return
        answer = terms.fulfilment_of(quote, self._config, now=time.time())
        await self._move(incoming, stage=Stage.FULFILLING, answer=answer, quote_id=quote.quote_id)

    async def _reject(self, incoming: Incoming, code: str, text: str) -> None:
        log.info("transfer_rejected", transfer=incoming.transfer_id, code=code)
        answer = _error(code, text)
        await self._move(incoming, stage=Stage.REJECTING, answer=answer, is_refusal=True, error_code=code)

    async def _answer(self, incoming: Incoming) -> None:
        def is_wanted() -> bool:
            now = self._store.incoming(incoming.transfer_id)
            return now is not None and now.stage is incoming.stage and time.time() < incoming.expires_at + 3600

        await self._send_answer(incoming, is_wanted=is_wanted)
        await self._move(incoming, stage=Stage.REJECTED if incoming.is_refusal else Stage.FULFILLED)

    async def _send_answer(self, incoming: Incoming, is_wanted: Callable[[], bool] = lambda: False) -> None:
        path = f"/transfers/{incoming.transfer_id}" + ("/error" if incoming.is_refusal else "")
        await self._hub.send_until_taken(
            "PUT", path, incoming.answer, destination=incoming.payer_fsp, still_wanted=is_wanted
        )

    async def _await_ending(self, incoming: Incoming) -> None:
        """Waits for the hub's report, and requests it if it is overdue."""
        event = self._told.setdefault(incoming.transfer_id, asyncio.Event())
        pause = self._config.callback_s if self._config.fulfil_state == "RESERVED" else _ASK_FIRST_S
        while (now := self._store.incoming(incoming.transfer_id)) is not None and now.stage is Stage.FULFILLED:
            try:
                await asyncio.wait_for(event.wait(), pause)
            except TimeoutError:
                await self._hub.send("GET", f"/transfers/{incoming.transfer_id}")
                pause = min(pause * 2, _ASK_AT_MOST_EVERY_S)
        self._told.pop(incoming.transfer_id, None)

    async def _finish(self, incoming: Incoming, stage: Stage) -> None:
        # The hub has decided: the connector retries until the core has accepted this, however long that takes.
        if stage is Stage.COMMITTED:
            body = bodies.read(TransferPost, incoming.body)
            quote = self._store.quote_of_condition(body.condition)
            assert quote is not None, "the hub committed a transfer that was never fulfilled"
            announced = terms.money_of(body, quote, self._config.dfsp)
            await self._until_available(lambda: self._backend.commit(announced), until=float("inf"))
        else:
            await self._until_available(lambda: self._backend.release(incoming.transfer_id), until=float("inf"))
        await self._move(incoming, stage=stage)
        log.info("transfer_ended", transfer=incoming.transfer_id, state=stage)

    async def _move(self, incoming: Incoming, **changes: object) -> None:
        # If another task has moved it, the next read finds its new stage.
        await self._store.save_incoming(incoming, msgspec.structs.replace(incoming, **changes))

    async def _until_available(self, call: Callable[[], Awaitable[T]], *, until: float) -> T:
        pause = 0.2
        while True:
            try:
                return await call()
            except Unavailable as error:
                if time.time() + pause >= until:
                    raise
                log.warning("core_not_available", why=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except Exception:  # a restart or a repeated message continues
                log.exception("incoming_step_failed")

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _refusal(quote: QuoteGiven, code: str, text: str) -> QuoteGiven:
    return msgspec.structs.replace(quote, answer=_error(code, text), is_refusal=True)


def _error(code: str, text: str) -> bytes:
    description = (text or text_of(code))[:128]
    return bodies.write(bodies.read(ErrorPut, msgspec.json.encode(error_body(code, description))))
