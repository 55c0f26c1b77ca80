"""Runs outgoing payments by the rules of `kitovu_connector.payment_states`. The connector stores each step of a payment
before it sends the requests of this step. After a crash, the connector continues with the ids and bytes that it has
stored.
"""

import asyncio
import hmac
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import structlog

from fspiop import bodies, correlation_ids
from fspiop.bodies.authorizations import AuthorizationPut
from kitovu_connector import party_identifiers
from kitovu_connector import payment_conversion as conversion
from kitovu_connector.background import Background
from kitovu_connector.client import HubClient, Said
from kitovu_connector.config import Config
from kitovu_connector.errors import AlreadySent, NoSuchPayment, NoTermsYet, PasswordRefused
from kitovu_connector.keyed_locks import KeyedLocks
from kitovu_connector.payment_and_quote_records import Store
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
from kitovu_connector.payment_hub_requests import request_of
from kitovu_connector.payment_order import Order, spelled
from kitovu_connector.payment_states import ENDS, PAUSES, SENT, Payment, Policy, State, step

log = structlog.get_logger(__name__)

_AFTER_A_FAULT_S = 5.0
_LOOK_EVERY_S = 1.0
_WITHOUT_TERMS = (State.LOOKUP, State.PROVIDERS, State.FX_QUOTE, State.QUOTE)


class Payer:
    """All outgoing payments of one DFSP, in one event loop. Each payment processes one event at a time."""

    def __init__(self, config: Config, store: Store, hub: HubClient) -> None:
        self._store, self._hub = store, hub
        self.policy = Policy(
            dfsp=config.dfsp,
            asks_owner=not config.is_pinned,
            transfer_expiry_s=config.transfer_expiry_s,
            agree_s=config.agree_s,
            ask_again_s=config.ask_again_s,
            password_s=config.password_s,
            callback_s=config.callback_s,
            confirm_s=config.confirm_s,
            clock_margin_s=config.clock_margin_s,
            tells_conversion=config.version == "2.0",
            known_signers=frozenset(config.jws_keys) if config.verify_jws and not config.fetch_keys else None,
        )
        self._open: dict[str, Payment] = {}  # by home id
        self._turns = KeyedLocks()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._changed: dict[str, asyncio.Event] = {}  # set when the payment takes its next step
        self._background = Background()

    async def send(self, order: Order, transfer_id: str | None = None) -> Payment:
        """Begins a payment. If a payment with this home id (the core's own id) is already stored, returns the stored
        payment. By default, the transfer gets a new id.

        Raises Conflict if the stored payment differs from the new order.

        Raises InvalidRequest and begins no payment if the payee's identifier cannot be part of a path.
        """
        party_identifiers.check("to.", order.payee.id_value, order.payee.sub_id)
        order = spelled(order)
        # Mojaloop's SDK stores a transfer's terms under the transfer's id, so the transaction must have the same id as
        # the transfer.
        transfer_id = transfer_id or correlation_ids.new_uuid()
        new = Payment(
            order=order,
            transfer_id=transfer_id,
            quote_id=correlation_ids.new_uuid(),
            transaction_id=transfer_id,
            created_at=time.time(),
            fx_commit_id=correlation_ids.new_uuid() if order.may_convert else None,
        )
        payment = await self._store.add_payment(new)
        if payment.state is State.LOOKUP and order.home_id not in self._open:
            await self._begin(order.home_id)
        return await self._store.payment(order.home_id) or payment

    async def _begin(self, home_id: str) -> None:
        """Takes the first step of a payment of this instance, unless another task has already taken this step."""
        async with self._turns.hold(home_id):
            if home_id in self._open:
                return
            payment = await self._store.own_payment(home_id)
            if payment is not None and payment.state is State.LOOKUP:
                self._open[home_id] = payment
                await self._guarded_step(home_id, Started())

    async def confirm(self, home_id: str, password: str | None = None) -> None:
        """Records that the core accepts the terms, or the one-time password that the payer has entered.

        The core must send back the password that it has checked. An acceptance of the terms never accepts a password. A
        repeated acceptance changes nothing.

        Changes nothing if the payment has no terms yet (NoTermsYet), or if the core sends a password that is not the
        payment's password (PasswordRefused).
        """
        if password is not None:
            await self._confirm_password(home_id, password)
            return
        payment = await self.tell(home_id, Confirmed("terms"))
        if payment.state in _WITHOUT_TERMS:
            raise NoTermsYet

    async def _confirm_password(self, home_id: str, password: str) -> None:
        payment = await self._store.payment(home_id)
        if payment is None:
            raise NoSuchPayment
        entered = entered_password(payment)
        if entered is None:
            raise PasswordRefused("no one-time password was entered for this payment")
        if not hmac.compare_digest(entered.encode(), password.encode()):
            raise PasswordRefused("the payer has entered another one-time password")
        await self.tell(home_id, Confirmed("password"))

    async def cancel(self, home_id: str) -> None:
        """Ends a payment whose transfer was not sent.

        If the transfer was sent, raises AlreadySent and changes nothing, because the payment can then still succeed.
        """
        payment = await self.tell(home_id, Cancelled())
        if payment.state is not State.ABORTED:
            raise AlreadySent

    async def tell(self, home_id: str, event: Event) -> Payment:
        """Passes an event of the core to a payment. Raises NoSuchPayment if the payment does not exist."""
        payment = await self._store.payment(home_id)
        if payment is None:
            raise NoSuchPayment
        await self.move(payment, event)
        return await self._store.payment(home_id) or payment

    async def wait_for_terms(self, home_id: str, seconds: float) -> Payment | None:
        """Returns the payment when it has terms or has ended, or at the latest after `seconds`."""
        return await self._wait(home_id, seconds, lambda payment: payment.state not in _WITHOUT_TERMS)

    async def wait_for_core(self, home_id: str, seconds: float) -> Payment | None:
        """Returns the payment when it has ended or waits for the core, or at the latest after `seconds`."""
        return await self._wait(home_id, seconds, lambda payment: payment.state in PAUSES | ENDS)

    async def wait_for_report(self, home_id: str, seconds: float) -> Payment | None:
        """Requests the state of a transfer from the hub. Returns the payment when the hub has reported a state, or at
        the latest after `seconds`.
        """
        before = await self._store.payment(home_id)
        if before is None or before.state not in SENT:
            return before
        if before.state is not State.PREPARED:  # the connector is still sending the first request
            await self.move(before, Waited())
        return await self._wait(home_id, seconds, lambda payment: payment.state in ENDS | {State.ACCEPTED})

    async def wait_for_end(self, home_id: str, seconds: float) -> Payment | None:
        """Returns the payment when it has ended, or at the latest after `seconds`.

        Returns None if the payment does not exist.
        """
        return await self._wait(home_id, seconds, lambda payment: payment.state in ENDS)

    async def _wait(self, home_id: str, seconds: float, is_wanted: Callable[[Payment], bool]) -> Payment | None:
        until = time.monotonic() + seconds
        while True:
            # the method creates the asyncio event before it reads the payment, so the method cannot miss a step
            event = self._changed.setdefault(home_id, asyncio.Event())
            payment = await self._store.payment(home_id)
            if payment is None or is_wanted(payment):
                break
            left = until - time.monotonic()
            if left <= 0:
                log.info("payment_not_ended_yet", payment=home_id, state=payment.state)
                return payment
            with suppress(TimeoutError):
                # Another instance may take the payment's next step. If the notification about this step is lost, the
                # method still finds the step in the stored payment.
                await asyncio.wait_for(event.wait(), min(left, _LOOK_EVERY_S) if self._store.is_shared else left)
        if (payment is None or payment.state in ENDS) and home_id in self._changed:
            self._changed.pop(home_id).set()
        return payment

    async def resume(self) -> None:
        """Continues every unfinished payment that no task processes yet.

        Runs after this instance has started or taken over records.
        """
        for payment in await self._store.unfinished_payments():
            home_id = payment.order.home_id
            if home_id in self._turns or self._is_news(payment):
                self._background.start(self._resume(home_id))

    async def _resume(self, home_id: str) -> None:
        async with self._turns.hold(home_id):
            payment = await self._store.own_payment(home_id)
            if payment is not None and payment.state not in ENDS and self._is_news(payment):
                self._open[home_id] = payment
                await self._guarded_step(home_id, Resumed())

    def _is_news(self, payment: Payment) -> bool:
        known = self._open.get(payment.order.home_id)
        return known is None or known.version < payment.version

    def changed(self, home_id: str) -> None:
        """After another instance has changed a payment, wakes the callers in this instance that wait for the payment.
        The other instance continues the payment.
        """
        if home_id in self._changed:
            self._changed.pop(home_id).set()
        if home_id in self._open:
            self._background.start(self._forget_foreign(home_id))

    async def _forget_foreign(self, home_id: str) -> None:
        async with self._turns.hold(home_id):
            if home_id in self._open and await self._store.own_payment(home_id) is None:
                self._forget(home_id)

    async def close(self) -> None:
        """Stops all tasks immediately. No step is lost, because every step is already stored."""
        for timer in self._timers.values():
            timer.cancel()
        await self._background.close()

    def looking_for(self, id_type: str, id_value: str, sub_id: str | None) -> list[Payment]:
        """Returns the payments that wait for a lookup of this alias, in any spelling."""
        wanted = party_identifiers.same((id_type, id_value, sub_id))
        return [
            payment
            for payment in self._open.values()
            if payment.state is State.LOOKUP and party_identifiers.same(payment.order.payee.alias) == wanted
        ]

    def awaiting(self, ask: Ask, subject_id: str) -> Payment | None:
        """Returns the payment that waits for the answer to this request, or None."""
        of = {
            Ask.PROVIDERS: (State.PROVIDERS, lambda payment: "/".join(conversion.currencies(payment))),
            Ask.FX_QUOTE: (State.FX_QUOTE, conversion.request_id),
            Ask.FX_SEND: (State.FX_TRANSFER, conversion.commit_id),
            Ask.AUTHORIZATION: (State.AUTHORIZATION, lambda payment: payment.order.transaction_request_id),
        }
        state, id_of = of[ask]
        waiting = (payment for payment in self._open.values() if payment.state is state)
        return next((payment for payment in waiting if id_of(payment) == subject_id), None)

    async def move(self, payment: Payment, event: Event) -> str | None:
        """Applies an event to a payment. Returns None, or the reason if the connector rejects an unproven message."""
        home_id = payment.order.home_id
        async with self._turns.hold(home_id):
            return await self._guarded_step(home_id, event)

    async def _guarded_step(self, home_id: str, event: Event) -> str | None:
        try:
            return await self._step(home_id, event)
        except Exception:
            # The step was not stored, perhaps because the disk is full. Later the payment continues from the last
            # stored step.
            self._wake_after(home_id, _AFTER_A_FAULT_S)
            raise

    async def _step(self, home_id: str, event: Event) -> str | None:
        """Stores the result of the event, and then sends the requests of this result.

        The instance that sends a request becomes the payment's owner, because the timer of the request runs in this
        instance.
        """
        current = await self._current(home_id)
        while True:
            policy = replace(self.policy, hub_ahead_s=self._hub.clock.ahead_s)
            taken = step(current, event, time.time(), policy)
            if taken.payment == current and (not taken.actions or home_id in self._open):
                payment = current
                break
            saved = await self._store.save_payment(current, taken.payment)
            if saved is not None:
                payment = saved
                break
            current = await self._current(home_id, is_overtaken=True)  # another instance has already taken a step
        if taken.refusal is not None:
            log.error("message_not_believed", transfer=current.transfer_id, reason=taken.refusal)
        if payment is not current:
            self._open[home_id] = payment
            if home_id in self._changed:
                self._changed.pop(home_id).set()
        for action in taken.actions:
            if isinstance(action, Wait):
                self._wake_after(home_id, action.seconds)
            else:
                self._background.start(self._ask(payment, action))
        if payment.state in ENDS:
            self._finish(payment)
        return taken.refusal

    async def _current(self, home_id: str, *, is_overtaken: bool = False) -> Payment:
        """Returns the stored payment.

        The copy of the payment in memory is up to date, unless another instance has changed the stored payment.
        """
        current = self._open.get(home_id)
        if current is None or is_overtaken or self._store.is_shared:
            current = await self._store.payment(home_id)
            assert current is not None
            if home_id in self._open:
                self._open[home_id] = current
        return current

    def _finish(self, payment: Payment) -> None:
        if payment.order.home_id in self._open:
            self._forget(payment.order.home_id)
            log.info("payment_ended", transfer=payment.transfer_id, state=payment.state, error=payment.error_code)

    def _forget(self, home_id: str) -> None:
        self._open.pop(home_id, None)
        timer = self._timers.pop(home_id, None)
        if timer is not None:
            timer.cancel()

    def _wake_after(self, home_id: str, seconds: float) -> None:
        earlier = self._timers.pop(home_id, None)
        if earlier is not None:
            earlier.cancel()
        self._timers[home_id] = asyncio.get_running_loop().call_later(max(0.0, seconds), self._wake, home_id)

    def _wake(self, home_id: str) -> None:
        if home_id in self._open:
            self._background.start(self._waited(home_id))

    async def _waited(self, home_id: str) -> None:
        async with self._turns.hold(home_id):
            if home_id not in self._open:
                return
            if self._store.is_shared and await self._is_foreign(home_id):
                self._forget(home_id)
            else:
                await self._guarded_step(home_id, Waited())

    async def _is_foreign(self, home_id: str) -> bool:
        try:
            return await self._store.own_payment(home_id) is None
        except Exception:
            self._wake_after(home_id, _AFTER_A_FAULT_S)  # the database does not respond for a moment
            raise

    async def _ask(self, payment: Payment, ask: Ask) -> None:
        """Sends one request about a payment, without repetition. Sends nothing if the payment has moved to another
        state.
        """
        current = self._open.get(payment.order.home_id)
        if current is None or not (
            current.state is payment.state or (ask is Ask.TRANSFER and {current.state, payment.state} <= SENT)
        ):
            return
        request = request_of(payment, ask)
        answer = await self._hub.send(request.method, request.path, request.body, destination=request.destination)
        if ask is Ask.TRANSFER:
            return  # the outcome arrives as a callback; a refusal of this GET is not about the transfer
        if answer.said is Said.NO:
            await self.move(payment, Refused(ask, answer.code, answer.text))
        elif answer.is_turned_away:
            await self.move(payment, TurnedAway(ask, answer.code, answer.text))
        elif answer.said is Said.NOTHING:
            await self.move(payment, Unclear(ask))
        elif ask is Ask.SEND:
            await self.move(payment, Taken())


def entered_password(payment: Payment) -> str | None:
    """Returns the one-time password that the payer entered at the payee's device, or None."""
    answer = bodies.read(AuthorizationPut, payment.authorization) if payment.authorization else None
    info = answer.authentication_info if answer is not None else None
    password = info.authentication_value if info is not None else None
    return password if isinstance(password, str) else None
