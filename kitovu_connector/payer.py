"""Runs outgoing payments by the rules of `kitovu_connector.payment_states`: stores each step, then sends its requests.

A step is durable before its requests are sent. After any crash, a restart continues with the same ids and bytes.
"""

import asyncio
import time
from dataclasses import replace

import structlog

from fspiop import correlation_ids
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import identifiers
from kitovu_connector.background import Background
from kitovu_connector.client import HubClient, Said
from kitovu_connector.config import Config
from kitovu_connector.keyed_locks import KeyedLocks
from kitovu_connector.payment_events_and_actions import (
    Ask,
    Cancelled,
    Confirmed,
    Event,
    Refused,
    Resumed,
    Started,
    Taken,
    TurnedAway,
    Unclear,
    Wait,
    Waited,
)
from kitovu_connector.payment_order import Order, spelled
from kitovu_connector.payment_states import ENDS, SENT, Payment, Policy, State, step
from kitovu_connector.resource_paths import party_path
from kitovu_connector.store import Store

log = structlog.get_logger(__name__)

_AFTER_A_FAULT_S = 5.0


class Payer:
    """All outgoing payments of one DFSP, in one event loop; each payment processes one event at a time."""

    def __init__(self, config: Config, store: Store, hub: HubClient) -> None:
        self._store, self._hub = store, hub
        self.policy = Policy(
            dfsp=config.dfsp,
            asks_owner=not config.is_pinned,
            transfer_expiry_s=config.transfer_expiry_s,
            agree_s=config.agree_s,
            ask_again_s=config.ask_again_s,
            callback_s=config.callback_s,
            clock_margin_s=config.clock_margin_s,
            known_signers=frozenset(config.jws_keys) if config.verify_jws and not config.fetch_keys else None,
        )
        self._open: dict[str, Payment] = {}  # by home id
        self._turns = KeyedLocks()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._answered: dict[str, asyncio.Event] = {}
        self._background = Background()

    async def send(self, order: Order) -> Payment:
        """Begins a payment, or finds the payment with this home id.

        Raises Conflict if the found payment has other content.

        Raises FspiopError, and begins nothing, if a path cannot contain the payee's identifier.
        """
        identifiers.check("to.", order.payee.id_value, order.payee.sub_id)
        order = spelled(order)
        now = time.time()
        new = Payment(
            order=order,
            transfer_id=correlation_ids.new_uuid(),
            quote_id=correlation_ids.new_uuid(),
            transaction_id=correlation_ids.new_uuid(),
            created_at=now,
        )
        payment = await self._store.add_payment(new)
        if payment.transfer_id == new.transfer_id:
            self._open[order.home_id] = payment
            await self.move(payment, Started())
        return self._open.get(order.home_id) or self._store.payment(order.home_id) or payment

    async def confirm(self, home_id: str) -> None:
        """Records that the core accepts the terms.

        Raises FspiopError, and changes nothing, if there are no terms yet.
        """
        payment = await self._told(home_id, Confirmed())
        if payment.state in (State.LOOKUP, State.QUOTE):
            raise FspiopError(ErrorCode.CLIENT_ERROR, "there are no terms yet", http_status=409)

    async def cancel(self, home_id: str) -> None:
        """Ends a payment whose transfer was not sent.

        If the transfer was sent, the payment may yet be paid. Then raises FspiopError, and changes nothing.
        """
        payment = await self._told(home_id, Cancelled())
        if payment.state is not State.ABORTED:
            raise FspiopError(ErrorCode.CLIENT_ERROR, "the payment was sent already", http_status=409)

    async def _told(self, home_id: str, event: Event) -> Payment:
        payment = self._store.payment(home_id)
        if payment is None:
            raise FspiopError(ErrorCode.ID_NOT_FOUND, "no such payment", http_status=404)
        await self.move(payment, event)
        return self._store.payment(home_id) or payment

    async def wait_for_terms(self, home_id: str, seconds: float) -> Payment | None:
        """Returns the payment when its terms are known or the payment has ended, but after `seconds` at the latest."""
        payment = self._store.payment(home_id)
        if payment is not None and payment.state in (State.LOOKUP, State.QUOTE):
            event = self._answered.setdefault(home_id, asyncio.Event())
            try:
                await asyncio.wait_for(event.wait(), seconds)
            except TimeoutError:
                log.info("payment_not_agreed_yet", payment=home_id)
        return self._store.payment(home_id)

    async def wait_for_end(self, home_id: str, seconds: float) -> Payment | None:
        """Returns the payment when it has ended, but after `seconds` at the latest.

        Returns None if there is no such payment.
        """
        payment = self._store.payment(home_id)
        if payment is not None and payment.state not in ENDS:
            event = self._ended.setdefault(home_id, asyncio.Event())
            try:
                await asyncio.wait_for(event.wait(), seconds)
            except TimeoutError:
                log.info("payment_not_ended_yet", payment=home_id)
        return self._store.payment(home_id)

    async def resume(self) -> None:
        """Continues with every unfinished payment, after the start."""
        for payment in self._store.unfinished_payments():
            self._open[payment.order.home_id] = payment
            self._background.start(self.move(payment, Resumed()))

    async def close(self) -> None:
        """Stops all tasks at once. No step is lost, because the store has every step."""
        for timer in self._timers.values():
            timer.cancel()
        await self._background.close()

    def looking_for(self, id_type: str, id_value: str, sub_id: str | None) -> list[Payment]:
        """Returns the payments that wait for a lookup of this alias, in any spelling."""
        wanted = identifiers.same((id_type, id_value, sub_id))
        return [
            payment
            for payment in self._open.values()
            if payment.state is State.LOOKUP and identifiers.same(payment.order.payee.alias) == wanted
        ]

    async def move(self, payment: Payment, event: Event) -> str | None:
        """Applies an event to a payment. Returns the reason if the message must not be believed, otherwise None."""
        home_id = payment.order.home_id
        async with self._turns.hold(home_id):
            try:
                return await self._step(home_id, event)
            except Exception:
                # The step was not stored, perhaps because the disk is full. Later the payment continues from the last
                # stored step.
                self._wake_after(home_id, _AFTER_A_FAULT_S)
                raise

    async def _step(self, home_id: str, event: Event) -> str | None:
        current = self._open.get(home_id) or self._store.payment(home_id)
        assert current is not None
        policy = replace(self.policy, hub_ahead_s=self._hub.clock.ahead_s)
        taken = step(current, event, time.time(), policy)
        if taken.refusal is not None:
            log.error("message_not_believed", transfer=current.transfer_id, reason=taken.refusal)
        if taken.payment != current:
            await self._store.save_payment(taken.payment)
            self._open[home_id] = taken.payment
        if taken.payment.state not in (State.LOOKUP, State.QUOTE) and home_id in self._answered:
            self._answered.pop(home_id).set()
        for action in taken.actions:
            if isinstance(action, Wait):
                self._wake_after(home_id, action.seconds)
            else:
                self._background.start(self._ask(taken.payment, action))
        if taken.payment.state in ENDS:
            self._finish(taken.payment)
        return taken.refusal

    def _finish(self, payment: Payment) -> None:
        home_id = payment.order.home_id
        if self._open.pop(home_id, None) is None:
            return
        log.info("payment_ended", transfer=payment.transfer_id, state=payment.state, error=payment.error_code)
        timer = self._timers.pop(home_id, None)
        if timer is not None:
            timer.cancel()
        event = self._ended.pop(home_id, None)
        if event is not None:
            event.set()

    def _wake_after(self, home_id: str, seconds: float) -> None:
        earlier = self._timers.pop(home_id, None)
        if earlier is not None:
            earlier.cancel()
        self._timers[home_id] = asyncio.get_running_loop().call_later(max(0.0, seconds), self._wake, home_id)

    def _wake(self, home_id: str) -> None:
        payment = self._open.get(home_id)
        if payment is not None:
            self._background.start(self.move(payment, Waited()))

    async def _ask(self, payment: Payment, ask: Ask) -> None:
        """Sends one request of a payment, once, if the payment is still in the state after the step."""
        current = self._open.get(payment.order.home_id)
        if current is None or not (
            current.state is payment.state or (ask is Ask.TRANSFER and {current.state, payment.state} <= SENT)
        ):
            return
        payee = payment.payee.fsp_id if payment.payee is not None else None
        alias = payment.order.payee
        match ask:
            case Ask.OWNER:
                path = party_path("participants", alias.id_type, alias.id_value, alias.sub_id)
                answer = await self._hub.send("GET", path)
            case Ask.PARTY:
                path = party_path("parties", alias.id_type, alias.id_value, alias.sub_id)
                answer = await self._hub.send("GET", path, destination=payment.owner)
            case Ask.QUOTE:
                answer = await self._hub.send("POST", "/quotes", payment.quote_body, destination=payee)
            case Ask.SEND:
                answer = await self._hub.send("POST", "/transfers", payment.transfer_body, destination=payee)
            case Ask.TRANSFER:
                # The outcome arrives as a callback. A refusal of this GET is no decision about the transfer.
                await self._hub.send("GET", f"/transfers/{payment.transfer_id}")
                return
        if answer.said is Said.NO:
            await self.move(payment, Refused(answer.code, answer.text))
        elif answer.is_turned_away:
            await self.move(payment, TurnedAway(answer.code, answer.text))
        elif answer.said is Said.NOTHING:
            await self.move(payment, Unclear())
        elif ask is Ask.SEND:
            await self.move(payment, Taken())
