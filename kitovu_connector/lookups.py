"""Looks up a payee without beginning a payment.

A lookup exists only in memory. It follows the same rules as the lookup at the beginning of a payment.
"""

import asyncio
import time

from fspiop.errors import ErrorCode
from kitovu_connector import party_identifiers
from kitovu_connector.client import HubClient, Said
from kitovu_connector.errors import NothingBegun
from kitovu_connector.party_identifiers import Alias
from kitovu_connector.party_paths import party_path
from kitovu_connector.payment_events_and_actions import Ask, Event, Refused, Started, TurnedAway, Unclear, Wait, Waited
from kitovu_connector.payment_order import Order, PartyRef, spelled
from kitovu_connector.payment_states import Payment, Policy, State, step


class LookupFailed(NothingBegun):
    """The error if the payee does not exist, or if the payee's DFSP did not answer. `code` is an error code of the API.

    This error never ends a payment, because no payment has begun.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code, self.text = code, text


class _Lookup:
    def __init__(self, payee: PartyRef, policy: Policy) -> None:
        order = spelled(Order(home_id="", payer=payee, payee=payee, amount=0, currency="XXX"))
        self.payment = Payment(order=order, transfer_id="", quote_id="", transaction_id="", created_at=time.time())
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.policy = policy

    def would_refuse(self, event: Event) -> str | None:
        return step(self.payment, event, time.time(), self.policy).refusal


class Lookups:
    """All lookups that wait for messages from the hub."""

    def __init__(self, hub: HubClient, policy: Policy) -> None:
        self._hub, self._policy = hub, policy
        self._waiting: dict[Alias, list[_Lookup]] = {}

    async def find(self, payee: PartyRef) -> PartyRef:
        """Returns the payee DFSP's description of the payee, with the field `fsp_id`.

        Raises LookupFailed if the payee does not exist.
        """
        lookup = _Lookup(payee, self._policy)
        key = party_identifiers.same(payee.alias)
        self._waiting.setdefault(key, []).append(lookup)
        try:
            return await self._run(lookup)
        finally:
            self._waiting[key].remove(lookup)
            if not self._waiting[key]:
                del self._waiting[key]

    def is_awaited(self, alias: Alias) -> bool:
        """Returns whether a lookup of this alias is waiting for an answer."""
        return party_identifiers.same(alias) in self._waiting

    def told(self, alias: Alias, event: Event) -> str | None:
        """Gives the waiting lookups a message from the hub about this alias. Returns the reason for a refusal if
        nothing proves the message's sender, and otherwise None.
        """
        refusal = None
        for lookup in self._waiting.get(party_identifiers.same(alias), []):
            refusal = lookup.would_refuse(event) or refusal
            lookup.events.put_nowait(event)
        return refusal

    async def _run(self, lookup: _Lookup) -> PartyRef:
        event: Event = Started()
        wakes_at = 0.0
        while True:
            taken = step(lookup.payment, event, time.time(), self._policy)
            lookup.payment = taken.payment
            if taken.payment.state is State.ABORTED:
                raise LookupFailed(taken.payment.error_code or "", taken.payment.error_text or "")
            if taken.payment.state is not State.LOOKUP:
                assert taken.payment.payee is not None
                return taken.payment.payee
            for action in taken.actions:
                if isinstance(action, Wait):
                    wakes_at = time.monotonic() + action.seconds
                else:
                    await self._ask(lookup, action)
            try:
                event = await asyncio.wait_for(lookup.events.get(), max(0.0, wakes_at - time.monotonic()))
            except TimeoutError:
                event = Waited()

    async def _ask(self, lookup: _Lookup, ask: Ask) -> None:
        alias = lookup.payment.order.payee.alias
        if ask is Ask.OWNER:
            answer = await self._hub.send("GET", party_path("participants", *alias))
        else:
            answer = await self._hub.send("GET", party_path("parties", *alias), destination=lookup.payment.owner)
        if answer.said is Said.NO:
            lookup.events.put_nowait(Refused(ask, answer.code or ErrorCode.CLIENT_ERROR.code, answer.text))
        elif answer.is_turned_away:
            lookup.events.put_nowait(TurnedAway(ask, answer.code, answer.text))
        elif answer.said is Said.NOTHING:
            lookup.events.put_nowait(Unclear(ask))
