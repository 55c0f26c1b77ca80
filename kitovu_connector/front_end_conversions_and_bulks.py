"""Runs the conversions and bulks that the front end itself sends, by the rules of
`front_end_conversion_and_bulk_states`."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog

from fspiop import bodies
from fspiop.bodies.bulk_transfers import BulkTransferPut
from fspiop.bodies.fx_transfers import FxTransferPut
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import front_end_conversion_and_bulk_states as states
from kitovu_connector import own_ids_closed_to_others
from kitovu_connector import payment_conversion as conversion
from kitovu_connector.abort_cause import cause_in
from kitovu_connector.background import Background
from kitovu_connector.bulk_payee import BulkPayee
from kitovu_connector.client import Answer, HubClient, Said
from kitovu_connector.config import Config
from kitovu_connector.front_end_conversion_and_bulk_states import OVER, Answered, Failed, Next, Submission
from kitovu_connector.fxp import Fxp
from kitovu_connector.inbound_message import Message, Route
from kitovu_connector.keyed_locks import KeyedLocks
from kitovu_connector.payer import Payer
from kitovu_connector.payment_and_quote_records import Store
from kitovu_connector.payment_events_and_actions import AgreementFailed, Ask, ConversionReported
from kitovu_connector.record_store import Records

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 1.0
_AFTER_A_FAULT_S = 5.0
_ASK_AT_MOST_EVERY_S = 1.0  # the shortest pause between two requests, even if reports arrive more often
RESOURCES = ("fxTransfers", "bulkTransfers")


class Submissions:
    """The submissions of one DFSP. The class also handles the hub's messages about the submissions."""

    def __init__(
        self, config: Config, store: Store, hub: HubClient, payer: Payer, bulk_payee: BulkPayee, fxp: Fxp
    ) -> None:
        self._config, self._hub, self._payer = config, hub, payer
        self._is_shared, self._instance = store.is_shared, store.database.instance
        self._receivers: dict[str, BulkPayee | Fxp] = {"bulkTransfers": bulk_payee, "fxTransfers": fxp}
        self._asked: dict[str, float] = {}
        self._records = {resource: Records(store.database, resource, Submission) for resource in RESOURCES}
        self._background = Background()
        self._turns = KeyedLocks()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._changed: dict[str, asyncio.Event] = {}

    def routes(self) -> list[Route]:
        """Returns the routes for messages about the conversions and bulks that this DFSP sends or receives."""
        return [
            ("PUT", "/fxTransfers/{id}", self._conversion_told),
            ("PUT", "/fxTransfers/{id}/error", self._conversion_failed),
            ("PUT", "/bulkTransfers/{id}", self._bulk_told),
            ("PUT", "/bulkTransfers/{id}/error", self._bulk_failed),
        ]

    async def resume(self) -> None:
        """Continues every open submission that no task processes yet. Runs after this instance has started or taken
        over records.
        """
        for records in self._records.values():
            for found in await records.unfinished():
                if found.id not in self._timers and found.id not in self._turns:
                    self._background.start_once(found.id, partial(self._ask_hub, found.resource, found.id))

    def changed(self, record_id: str) -> None:
        """After another instance has changed a submission, wakes the callers that wait for the submission."""
        if record_id in self._changed:
            self._changed.pop(record_id).set()

    async def close(self) -> None:
        """Stops all tasks immediately. No step is lost, because every step is already stored."""
        for timer in self._timers.values():
            timer.cancel()
        await self._background.close()

    async def get(self, resource: str, record_id: str) -> Submission | None:
        """Returns the submission with this id, or None."""
        return await self._records[resource].get(record_id)

    async def send(self, new: Submission, seconds: float) -> Submission:
        """Begins a submission, or finds the submission that already has this id. Returns the submission when it has an
        answer for the front end, or at the latest after `seconds`.

        Raises Conflict if this id is already stored with different content.
        """
        ids = list(dict.fromkeys([new.id, *new.conditions]))
        found, is_new = await self._records[new.resource].add(
            new, lambda conn: own_ids_closed_to_others.claim(conn, ids, self._instance)
        )
        if is_new:
            self._background.start(self._post(found))
        until = time.monotonic() + seconds
        while True:
            # the method creates the asyncio event before it reads the submission, so the method cannot miss the answer
            event = self._changed.setdefault(found.id, asyncio.Event())
            found = await self.get(new.resource, new.id) or found
            if found.is_answered:
                self.changed(found.id)
                return found
            if (left := until - time.monotonic()) <= 0:
                return found
            with suppress(TimeoutError):
                # Another instance may store the answer. If the notification about the answer is lost, the method still
                # finds the answer in the stored submission.
                await asyncio.wait_for(event.wait(), min(left, _LOOK_EVERY_S) if self._is_shared else left)

    async def _post(self, found: Submission) -> None:
        answer = await self._hub.send("POST", f"/{found.resource}", found.body, destination=found.destination)
        async with self._turns.hold(found.id):
            await self._move(found, lambda now: self._after_answer(now, answer))

    def _after_answer(self, now: Submission, answer: Answer) -> Next:
        if answer.said is Said.YES:
            return states.taken(now, self._config.callback_s)
        if answer.said is Said.NO:
            return states.refused(now, answer.code, answer.text)
        return states.unclear(now)

    async def _ask_hub(self, resource: str, record_id: str) -> None:
        async with self._turns.hold(record_id):
            try:
                now = await self._records[resource].own(record_id)
            except Exception:  # the database does not respond for a moment
                self._wake_again(resource, record_id, _AFTER_A_FAULT_S)
                raise
            if now is not None:
                await self._move(now, states.waited)

    async def _move(self, found: Submission, decide: Callable[[Submission], Next]) -> None:
        """Calls `decide` with the present state, and stores the result. If another instance has stored a new state
        first, calls `decide` again with that state.

        Raises FspiopError if nothing proves the event.
        """
        records = self._records[found.resource]
        while (now := await records.get(found.id)) is not None and now.state not in OVER:
            following = decide(now)
            if following.refusal is not None:
                raise FspiopError(ErrorCode.VALIDATION_ERROR, following.refusal)
            try:
                is_stored = following.submission == now or await records.save(now, following.submission)
            except Exception:  # for example because the disk is full
                self._wake_again(now.resource, now.id, _AFTER_A_FAULT_S)
                raise
            if is_stored:
                await self._act(now, following)
                return

    async def _act(self, before: Submission, following: Next) -> None:
        after = following.submission
        if after != before and before.id in self._changed:
            self._changed.pop(before.id).set()
        self._stop_timer(after.id)
        if after.state in OVER:
            self._asked.pop(after.id, None)
            log.info("submission_ended", resource=after.resource, id=after.id, state=after.state, code=after.error_code)
            return
        now = time.monotonic()
        if following.asks and now - self._asked.get(after.id, 0.0) >= _ASK_AT_MOST_EVERY_S:
            self._asked[after.id] = now
            self._background.start(self._hub.send("GET", f"/{after.resource}/{after.id}"))
        if following.sends:
            self._background.start(self._post(after))
        seconds = self._config.callback_s if following.again_in_s is None else following.again_in_s
        # The timer starts before the submission is read, because this read can fail.
        self._wake_again(after.resource, after.id, seconds)
        if self._is_shared and await self._records[after.resource].own(after.id) is None:
            self._stop_timer(after.id)  # the timer runs in the other instance

    def _wake_again(self, resource: str, record_id: str, seconds: float) -> None:
        self._stop_timer(record_id)
        self._timers[record_id] = asyncio.get_running_loop().call_later(seconds, self._wake, resource, record_id)

    def _stop_timer(self, record_id: str) -> None:
        timer = self._timers.pop(record_id, None)
        if timer is not None:
            timer.cancel()

    def _wake(self, resource: str, record_id: str) -> None:
        self._timers.pop(record_id, None)
        self._background.start(self._ask_hub(resource, record_id))

    # --- the hub's messages -------------------------------------------------------------------------------------------

    async def _conversion_told(self, message: Message) -> int:
        if await self._is_received("fxTransfers", message):
            return await self._receivers["fxTransfers"].told(message)
        body = message.read(FxTransferPut)
        payment = self._payer.awaiting(Ask.FX_SEND, message.id)
        message.met(payment is not None)
        if payment is not None:
            message.check_sender(conversion.provider(payment))
            cause = cause_in(body.extension_list)
            event = ConversionReported(body.conversion_state, body.fulfilment, cause)
            refusal = await self._payer.move(payment, event)
            if refusal is not None:
                raise FspiopError(ErrorCode.VALIDATION_ERROR, refusal)
            return 200
        if body.conversion_state == "ABORTED":
            code, text = cause_in(body.extension_list) or (ErrorCode.PAYEE_ERROR.code, "the conversion was aborted")
            await self._on_error("fxTransfers", message, Failed(code, text, message.sent_at, message.is_from_hub))
            return 200
        fulfilments = {} if body.fulfilment is None else {message.id: body.fulfilment}
        is_answer = body.conversion_state in ("RESERVED", "COMMITTED") and body.fulfilment is not None
        # An FXP's own COMMITTED is only its promise. The conversion ends when the hub commits the transfer.
        is_end = is_answer and body.conversion_state == "COMMITTED" and message.is_from_hub
        answered = Answered(bodies.write(body), fulfilments, is_end, is_answer)
        await self._on_answer("fxTransfers", message, answered)
        return 200

    async def _conversion_failed(self, message: Message) -> int:
        if await self._is_received("fxTransfers", message):
            return await self._receivers["fxTransfers"].failed(message)
        error = message.error
        payment = self._payer.awaiting(Ask.FX_SEND, message.id)
        message.met(payment is not None)
        if payment is not None:
            message.check_sender(conversion.provider(payment))
            failed = AgreementFailed(Ask.FX_SEND, str(error.error_code), error.error_description)
            await self._payer.move(payment, failed)
            return 200
        await self._on_error("fxTransfers", message)
        return 200

    async def _bulk_told(self, message: Message) -> int:
        if await self._is_received("bulkTransfers", message):
            return await self._receivers["bulkTransfers"].told(message)
        body = message.read(BulkTransferPut)
        fulfilments = {
            result.transfer_id: result.fulfilment
            for result in body.individual_transfer_results or []
            if result.fulfilment is not None
        }
        is_end = body.bulk_transfer_state in ("COMPLETED", "REJECTED")
        is_paid = body.bulk_transfer_state != "REJECTED" or bool(fulfilments)
        answered = Answered(bodies.write(body), fulfilments, is_end, is_end)
        await self._on_answer("bulkTransfers", message, answered, is_paid=is_paid)
        return 200

    async def _bulk_failed(self, message: Message) -> int:
        if await self._is_received("bulkTransfers", message):
            return await self._receivers["bulkTransfers"].failed(message)
        await self._on_error("bulkTransfers", message)
        return 200

    async def _is_received(self, resource: str, message: Message) -> bool:
        return await self.get(resource, message.id) is None and await self._receivers[resource].has(message.id)

    async def _on_answer(self, resource: str, message: Message, event: Answered, *, is_paid: bool = True) -> None:
        async with self._turns.hold(message.id):
            found = await self._found(resource, message, is_paid=is_paid)
            if found is None:
                return
            if not self._is_proven(message):
                # nothing proves that the hub sent or forwarded the message, so the connector requests the state from
                # the hub
                await self._move(found, states.waited)
                return
            await self._move(found, lambda now: states.answered(now, event))

    async def _on_error(self, resource: str, message: Message, event: Failed | None = None) -> None:
        if event is None:
            error = message.error
            event = Failed(str(error.error_code), error.error_description, message.sent_at)
        async with self._turns.hold(message.id):
            found = await self._found(resource, message, is_paid=False)
            if found is None:
                return
            if not self._is_proven(message):
                await self._move(found, states.waited)
                return
            at_hub, margin_s = self._hub.clock.at_hub(), self._config.clock_margin_s
            await self._move(found, lambda now: states.failed(now, event, at_hub, margin_s))

    async def _found(self, resource: str, message: Message, *, is_paid: bool) -> Submission | None:
        found = await self.get(resource, message.id)
        if found is None:
            if resource == "fxTransfers":
                return None  # the message can be about a payment's conversion, which is not a submission
            if message.is_from_hub and not is_paid:
                return None  # the connector has not stored a received bulk that it rejected, and this is the bulk's end
            raise FspiopError(ErrorCode.ID_NOT_FOUND)
        message.met(True)
        message.check_sender(found.destination)
        return found if found.state not in OVER else None

    def _is_proven(self, message: Message) -> bool:
        """Returns whether it is proven that the hub sent or forwarded the message."""
        return message.is_from_hub or message.came_via_hub
