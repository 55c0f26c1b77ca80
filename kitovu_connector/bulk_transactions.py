"""Serves /bulkTransactions: the core orders many payments with one request. Each ordered payment is a separate payment
of the connector.

So the connector makes each payment once or not at all, independently of the other payments. A bulk stops when each of
its payments has ended or waits for the core. The record of a bulk contains its payments and two numbers: how often the
bulk has stopped, and how many of these stops the connector has reported to the core.
"""

import asyncio
import time
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import Any, Protocol, runtime_checkable

import msgspec
import structlog

from kitovu_connector import asking_the_core, logs
from kitovu_connector.backend import Backend
from kitovu_connector.background import Background, Rounds
from kitovu_connector.config import Config
from kitovu_connector.payer import Payer
from kitovu_connector.payment_and_quote_records import Store
from kitovu_connector.payment_events_and_actions import Cancelled, Confirmed
from kitovu_connector.payment_order import Order
from kitovu_connector.payment_record import ENDS, PAUSES, Payment, State
from kitovu_connector.record_store import Records

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 1.0
_LOOK_AGAIN_S = 60.0
_TELL_AT_MOST_EVERY_S = 60.0


@runtime_checkable
class BulkTransactionBackend(Protocol):
    """The interface for cores that order bulks of payments."""

    async def bulk_told(self, bulk: "BulkTransaction", payments: list[Payment]) -> None:
        """Receives the present states of a bulk's payments.

        If this method raises an error, the connector repeats the call for at most `webhook_give_up_s`.
        """


class Progress(StrEnum):
    """The progress of the payments of a bulk."""

    RUNNING = "RUNNING"  # some payments wait for another DFSP or the hub
    STOPPED = "STOPPED"  # all payments wait for the core or have ended
    ENDED = "ENDED"  # final: every payment has ended


class BulkTransaction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bulk of payments."""

    id: str
    home_id: str
    digest: bytes
    asked: bytes  # the front end's request
    orders: tuple[Order, ...]
    only_lookup: bool = False
    state: Progress = Progress.RUNNING
    stops: int = 0  # how often the bulk has stopped
    told: int = 0  # how many stops the connector has reported to the core
    stopped_at: float = 0.0  # the time of the latest stop; 0 in a record of an earlier version
    alias: str | None = None

    @property
    def is_open(self) -> bool:
        """True if any payment is open, or if the connector has not yet reported the bulk's latest stop to the core."""
        return self.state is not Progress.ENDED or self.told < self.stops


class BulkTransactions:
    """All bulks of payments of one DFSP."""

    def __init__(self, config: Config, store: Store, payer: Payer, backend: Backend) -> None:
        self._store, self._payer, self._backend = store, payer, backend
        self._records = Records(store.database, "bulk_transaction", BulkTransaction)
        self._background = Background()
        self._rounds = Rounds(self._background)
        self._reports = Rounds(self._background)  # to the core; the payments do not wait for these reports
        self._request_s, self._give_up_s = config.request_s, config.webhook_give_up_s
        self._places = asyncio.Semaphore(config.connections)
        self._wakes: dict[str, asyncio.Event] = {}
        self._stopped: dict[str, asyncio.Event] = {}  # set when the bulk has stopped

    async def resume(self) -> None:
        """Continues every open bulk that no task processes yet. Runs after this instance has started or taken over
        records.
        """
        for bulk in await self._records.unfinished():
            self._begin_run(bulk.id)
            self._begin_report(bulk.id)

    def changed(self, bulk_id: str) -> None:
        """Continues the work on a bulk that another instance has changed. Wakes the callers that wait for a stop of the
        bulk.
        """
        if bulk_id in self._wakes:
            self._wakes[bulk_id].set()
        if bulk_id in self._stopped:
            self._stopped.pop(bulk_id).set()

    async def close(self) -> None:
        """Stops all tasks immediately. No step is lost, because every step is already stored."""
        await self._background.close()

    async def begin(self, new: BulkTransaction) -> BulkTransaction:
        """Stores a bulk and begins its payments in the background. Raises Conflict if this id is already stored with
        different content.
        """
        bulk, is_new = await self._records.add(new)
        if is_new:
            self._begin_run(bulk.id)
        return bulk

    def _begin_run(self, bulk_id: str) -> None:
        self._rounds.begin(bulk_id, lambda _: self._run(bulk_id))

    def _begin_report(self, bulk_id: str) -> None:
        self._reports.begin(bulk_id, lambda _: self._tell_core(bulk_id))

    async def get(self, bulk_id: str) -> BulkTransaction | None:
        """Returns the bulk with this id, or None."""
        return await self._records.get(bulk_id)

    async def wait_for_stop(self, bulk_id: str, seconds: float) -> BulkTransaction | None:
        """Returns the bulk when it has stopped, or at the latest after `seconds`."""
        until = time.monotonic() + seconds
        while True:
            # the method creates the asyncio event before it reads the bulk, so the method cannot miss a stop
            event = self._stopped.setdefault(bulk_id, asyncio.Event())
            bulk = await self._records.get(bulk_id)
            if bulk is None or bulk.state is not Progress.RUNNING:
                self._stopped.pop(bulk_id, event).set()
                return bulk
            left = until - time.monotonic()
            if left <= 0:
                return bulk
            with suppress(TimeoutError):
                # Another instance may continue the bulk's payments. If the notification about a stop is lost, the
                # method still finds the stop in the stored state.
                await asyncio.wait_for(event.wait(), min(left, _LOOK_EVERY_S) if self._store.is_shared else left)

    async def payments(self, bulk: BulkTransaction) -> list[Payment]:
        """Returns the payments that have begun."""
        return await self._store.payments_of([order.home_id for order in bulk.orders])

    async def answer(self, bulk: BulkTransaction, answers: dict[str, tuple[str, bool]]) -> None:
        """Passes each answer of the front end to the answer's payment. The keys of `answers` are transfer ids. Each
        value has two parts: the subject of the answer, and True if the front end accepts this subject.
        """
        for payment in await self.payments(bulk):
            given = answers.get(payment.transfer_id)
            if given is None or payment.state not in PAUSES:
                continue
            accepts, is_accepted = given
            event = Confirmed("payee" if accepts == "payee" else "terms") if is_accepted else Cancelled()
            await self._payer.tell(payment.order.home_id, event)
        await self._change(bulk.id, state=Progress.RUNNING)
        if bulk.id in self._wakes:
            self._wakes[bulk.id].set()

    # --- in the background --------------------------------------------------------------------------------------------

    async def _run(self, bulk_id: str) -> None:
        event = self._wakes.setdefault(bulk_id, asyncio.Event())
        pause = 1.0
        try:
            while True:
                event.clear()
                try:
                    bulk = await self._records.own(bulk_id)
                    if bulk is None or bulk.state is Progress.ENDED:
                        return
                    await self._take_step(bulk, event)
                    pause = 1.0
                # for example a full disk; each payment later continues from its stored state
                except Exception as error:
                    log.error("step_failed", bulk=bulk_id, error=logs.trace_of(error))
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LOOK_AGAIN_S)
        finally:
            self._wakes.pop(bulk_id, None)

    async def _take_step(self, bulk: BulkTransaction, event: asyncio.Event) -> None:
        if bulk.state is Progress.RUNNING:
            await self._go_on(bulk)
        else:
            await self._wait_for_core(bulk, event)

    async def _go_on(self, bulk: BulkTransaction) -> None:
        """Runs all payments until each payment has ended or waits for the core."""
        payments = await asyncio.gather(*(self._run_payment(order) for order in bulk.orders))
        if bulk.only_lookup:
            for payment in payments:
                if payment.state is State.PAYEE_FOUND:
                    await self._payer.tell(payment.order.home_id, Cancelled())
        is_over = bulk.only_lookup or all(payment.state in ENDS for payment in payments)
        state = Progress.ENDED if is_over else Progress.STOPPED
        await self._stop(bulk, state)
        if bulk.id in self._stopped:
            self._stopped.pop(bulk.id).set()

    async def _stop(self, bulk: BulkTransaction, state: Progress) -> None:
        await self._change(bulk.id, state=state, stops=bulk.stops + 1, stopped_at=time.time())
        self._begin_report(bulk.id)

    async def _run_payment(self, order: Order) -> Payment:
        async with self._places:
            await self._payer.send(order)
            while True:
                payment = await self._payer.wait_for_core(order.home_id, _LOOK_AGAIN_S)
                assert payment is not None
                if payment.state in PAUSES | ENDS:
                    return payment

    async def _wait_for_core(self, bulk: BulkTransaction, event: asyncio.Event) -> None:
        """Waits for the front end's answer. If the answer does not arrive in time and all payments have ended, ends the
        bulk.
        """
        try:
            await asyncio.wait_for(event.wait(), _LOOK_AGAIN_S)
        except TimeoutError:
            if all(payment.state in ENDS for payment in await self.payments(bulk)):
                await self._stop(bulk, Progress.ENDED)

    async def _tell_core(self, bulk_id: str) -> None:
        """Reports the bulk's latest stop to the core. Repeats the report until the core accepts it, or until the time
        limit.
        """
        pause, began_at = 0.5, time.time()
        while True:
            try:
                bulk = await self._records.own(bulk_id)
                if bulk is None or bulk.told >= bulk.stops:
                    return
                if time.time() >= (bulk.stopped_at or began_at) + self._give_up_s:
                    log.error("core_never_told", bulk=bulk_id)
                else:
                    await self._report(bulk)
                await self._change(bulk_id, told=bulk.stops)
                pause = 0.5
            except Exception as error:
                log.warning("core_not_told", bulk=bulk_id, error=logs.trace_of(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, _TELL_AT_MOST_EVERY_S)

    async def _report(self, bulk: BulkTransaction) -> None:
        backend = self._backend
        if isinstance(backend, BulkTransactionBackend):
            told = partial(backend.bulk_told, bulk, await self.payments(bulk))
            await asking_the_core.timely(told, self._request_s)

    async def _change(self, bulk_id: str, **changes: Any) -> None:
        def change(bulk: BulkTransaction) -> BulkTransaction:
            # An ended bulk stays ended.
            state = {"state": bulk.state} if bulk.state is Progress.ENDED else {}
            return msgspec.structs.replace(bulk, **(changes | state))

        await self._records.update(bulk_id, change)
