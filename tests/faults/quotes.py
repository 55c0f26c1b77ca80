"""The agreement before a transfer in a chaos run of whole payments: payers that repeat and change their requests for
terms, and payees that answer, refuse, answer late, twice, otherwise or never."""

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from bench import messages
from bench.http_parser import Message, header
from tests.faults.history import Payment

if TYPE_CHECKING:
    from tests.faults.checkers import Findings
    from tests.faults.dfsps import Scheme

PLANS = {"terms": 84, "twice": 3, "otherwise": 3, "refuse": 3, "silent": 3, "late": 4}
TWISTS = {"": 88, "equal": 5, "changed": 4, "storm": 3}
_VALID_S = 40.0
_SHORT_S = 8.0  # of those whose payee says nothing in time
_EXPIRED_S = 20.0  # until a payer has heard at the latest that its request for terms expired
_TERMS, _REFUSED = "terms", "error "
# Said about a second message under the same id, not about the request for terms.
_ABOUT_A_MESSAGE = {"3106", "3100"}
_STATES = """
    SELECT quote_id, state, payer.name, payee.name FROM quotes_quote q
    JOIN participants_participant payer ON payer.id = q.payer_id
    JOIN participants_participant payee ON payee.id = q.payee_id
"""


@dataclass(slots=True)
class Quote:
    """One request for terms. `plan` says what the payee will do; `twist` what the payer does besides."""

    id: str
    payer: str
    payee: str
    plan: str
    twist: str
    packet: messages.Packet  # of the terms that the payee will give
    expires_at: float = 0.0
    post_answers: list[int] = field(default_factory=list)
    asked: int = 0  # how often the payee got the request
    answers: list[tuple[float, int]] = field(default_factory=list)  # when the payee's answers were sent, their status
    told: list[str] = field(default_factory=list)  # to the payer: the condition of terms, or "error NNNN"

    @property
    def outcomes(self) -> set[str]:
        """The different answers to the request itself that the payer was told."""
        return {word for word in self.told if word.removeprefix(_REFUSED) not in _ABOUT_A_MESSAGE}

    @property
    def was_answered_in_time(self) -> bool:
        return any(status == 200 and sent < self.expires_at for sent, status in self.answers)


class Quotes:
    """The quotes of all DFSPs of a scheme."""

    def __init__(self, scheme: "Scheme") -> None:
        self._scheme = scheme
        self.all: dict[str, Quote] = {}
        self._waiting: dict[str, asyncio.Future[str]] = {}

    # --- as a payer --------------------------------------------------------------------------------------------------

    async def agree(self, payment: Payment, packet: messages.Packet) -> bool:
        """Asks for the terms of a payment; whether the payee gave them."""
        rng, scheme = self._scheme.rng, self._scheme
        plan = rng.choices(list(PLANS), list(PLANS.values()))[0]
        twist = rng.choices(list(TWISTS), list(TWISTS.values()))[0]
        key = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        quote = Quote(key, payment.payer, payment.payee, plan, twist, packet)
        quote.expires_at = time.time() + (_SHORT_S if plan in ("silent", "late") else _VALID_S)
        self.all[key] = quote
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[key] = answer
        request = self._post(quote, payment)
        times = 20 if twist == "storm" else 1
        await asyncio.gather(*(scheme.insist(request, quote.post_answers) for _ in range(times)))
        if twist == "equal":
            await asyncio.sleep(rng.random())
            await scheme.insist(request, quote.post_answers)
        elif twist == "changed" and 202 in quote.post_answers:
            await scheme.insist(self._post(quote, payment, more=1), [])
        try:
            left = quote.expires_at + _EXPIRED_S - time.time()
            told = await asyncio.wait_for(asyncio.shield(answer), max(1.0, left))
        except TimeoutError:
            return False
        finally:
            self._waiting.pop(key, None)
        return not told.startswith(_REFUSED)

    def _post(self, quote: Quote, payment: Payment, *, more: int = 0) -> bytes:
        scheme, clock = self._scheme, self._scheme.clock
        payer, payee = quote.payer.encode(), quote.payee.encode()
        body = messages.quote(payer, payee, payment.alias.encode(), quote.id.encode(), clock)
        body = body.replace(clock.expiration, _moment(quote.expires_at))
        body = body.replace(b'"amount":"1"', b'"amount":"%d"' % (payment.amount + more))
        return messages.ask_quote(scheme.host, payer, payee, body, clock)

    def _hear(self, key: str, path: str, message: Message) -> None:
        if (quote := self.all.get(key)) is None:
            self._scheme.history.strange.append(f"terms came for {key}, which nobody asked for")
            return
        if path.endswith("/error"):
            said = _REFUSED + messages.text_of(message.body, b"errorCode").decode()
        else:
            said = messages.text_of(message.body, b"condition").decode()
        quote.told.append(said)
        answer = self._waiting.get(key)
        if answer is not None and not answer.done() and said in quote.outcomes:
            answer.set_result(said)

    # --- as a payee --------------------------------------------------------------------------------------------------

    def take(self, name: str, method: str, path: str, message: Message) -> None:
        """A message of the hub about a quote, to this DFSP."""
        if method == "PUT":
            self._hear(path.split("/")[2], path, message)
            return
        key = messages.text_of(message.body, b"quoteId").decode()
        if (quote := self.all.get(key)) is None:
            self._scheme.history.strange.append(f"{name} was asked for the terms of {key}, which nobody asked for")
            return
        quote.asked += 1
        if quote.asked == 1:
            self._scheme.start(self._act(quote, header(message.head, b"fspiop-source") or b""))

    async def _act(self, quote: Quote, payer: bytes) -> None:
        if quote.plan == "silent":
            return
        if quote.plan == "late":
            await asyncio.sleep(max(0.0, quote.expires_at - time.time()) + 2.5)
        if quote.plan == "refuse":
            await self._say(quote, self._refusal(quote, payer))
            return
        await self._say(quote, self._terms(quote, payer, quote.packet))
        if quote.plan == "twice":
            await self._say(quote, self._terms(quote, payer, quote.packet))
        elif quote.plan == "otherwise":
            others = self._scheme.packets(quote.payer, quote.payee)
            other = next(packet for packet in others if packet.condition != quote.packet.condition)
            await self._say(quote, self._terms(quote, payer, other), is_noted=False)

    async def _say(self, quote: Quote, request: bytes, *, is_noted: bool = True) -> None:
        """Sends an answer until the hub takes or refuses it. Whether a refusal was right is seen at the end."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            sent = time.time()
            status = await self._scheme.ask_hub(request)
            if is_noted:
                quote.answers.append((sent, status))
            if status not in (0, 429, 503):
                return
            await asyncio.sleep(0.3)

    def _terms(self, quote: Quote, payer: bytes, packet: messages.Packet) -> bytes:
        scheme, clock = self._scheme, self._scheme.clock
        body = messages.terms(payer, quote.payee.encode(), quote.id.encode(), packet, clock)
        return messages.answer_quote(scheme.host, quote.payee.encode(), payer, quote.id.encode(), body, clock)

    def _refusal(self, quote: Quote, payer: bytes) -> bytes:
        body = b'{"errorInformation":{"errorCode":"5101","errorDescription":"no"}}'
        path = f"/quotes/{quote.id}/error".encode()
        payee, clock = quote.payee.encode(), self._scheme.clock
        return messages.request(self._scheme.host, b"PUT", b"quotes", path, payee, payer, clock, body)

    async def ask_again(self) -> None:
        """GET /quotes/{ID} by each payer that has heard nothing: as one does that was away."""
        for quote in self.unheard():
            clock = self._scheme.clock
            path, payer, payee = f"/quotes/{quote.id}".encode(), quote.payer.encode(), quote.payee.encode()
            request = messages.request(
                self._scheme.host, b"GET", b"quotes", path, payer, payee, clock, b"", accept=True
            )
            await self._scheme.insist(request, [])

    def unheard(self) -> list[Quote]:
        """The quotes that the hub acknowledged and whose payer has been told nothing."""
        return [quote for quote in self.all.values() if 202 in quote.post_answers and not quote.outcomes]


def check(quotes: Quotes, connection: psycopg.Connection[Any], found: "Findings") -> None:
    """Each acknowledged request for terms has one answer, and hub, payer and payee agree on it."""
    at_hub = {row[0]: row[1:] for row in connection.execute(_STATES)}
    for quote in quotes.all.values():
        check_quote(quote, at_hub.get(quote.id), found)


def check_quote(quote: Quote, row: tuple[str, str, str] | None, found: "Findings") -> None:
    """`row` is the hub's: state, payer, payee."""
    if len(quote.outcomes) > 1:
        found.doubled.append(f"quote {quote.id} ({quote.plan}): the payer was told {sorted(quote.outcomes)}")
    if row is None:
        if 202 in quote.post_answers or quote.told:
            found.lost.append(f"quote {quote.id} was acknowledged ({quote.told}) and is not there")
        return
    state, payer, payee = row
    if (payer, payee) != (quote.payer, quote.payee):
        found.broken.append(f"quote {quote.id} is of {payer} and {payee}, meant was {quote}")
    if state == "PENDING":
        found.stuck.append(f"quote {quote.id} ({quote.plan}) is PENDING")
    if 202 in quote.post_answers and not quote.outcomes:
        found.lost.append(f"quote {quote.id} ({quote.plan}): the payer was told nothing, the hub has {state}")
    got_terms = any(not word.startswith(_REFUSED) for word in quote.outcomes)
    if quote.outcomes and got_terms != (state == "ACCEPTED"):
        found.doubled.append(f"quote {quote.id}: the payer was told {sorted(quote.outcomes)}, the hub has {state}")
    if got_terms and quote.packet.condition.decode() not in quote.outcomes:
        found.broken.append(f"quote {quote.id}: the payer was told terms that the payee's first answer did not have")
    if quote.was_answered_in_time and state not in ("ACCEPTED", "REJECTED"):
        found.lost.append(f"quote {quote.id}: the payee's answer was taken, and the hub has {state}")
    refused = [(sent, status) for sent, status in quote.answers if status not in (0, 200, 429, 503)]
    if any(sent < quote.expires_at - 1 for sent, _ in refused) and state == "EXPIRED":
        found.broken.append(f"quote {quote.id}: an answer before the expiration was refused, {refused}")


def _moment(seconds: float) -> bytes:
    return (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03}Z").encode()
