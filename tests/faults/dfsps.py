"""Simulated DFSPs with books of their own, on one event loop: payers that resend, payees of every temper."""

import asyncio
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Coroutine, Sequence
from itertools import count
from typing import Any

from bench import messages
from bench.client import Client
from bench.http_parser import Message, Reader, header
from tests.faults.history import History, Payment
from tests.faults.outsiders import ROGUE, Rogue
from tests.faults.quotes import Quotes

# "storm" and "both" are F23: the same twenty times at once, and a fulfilment and a rejection together.
PLANS = {"pay": 78, "patch": 8, "reject": 3, "silent": 3, "late": 3, "both": 2, "storm": 3}
TWISTS = {"": 91, "equal": 5, "changed": 2, "storm": 2}
# The last DFSP receives less than it pays, so that it stands at its net debit cap all the time.
_PAID_LESS = 0.25
_VALID_S = 40.0
_SHORT_S = 8.0
_INSIST_S = 60.0
_LOOKUP_ENDS_S = 25.0  # PARTY_ANSWER_S
_LOOKED_UP = 0.1  # of all payments: their payers ask first where the payee is
_ALIASES = 2  # of each DFSP
_ALIASES_OF_PAYMENTS = 40
_LOOKUP_S = 8.0  # until a payer asks once more
_LOOKUPS_S = 90.0
_ASKING = 50  # questions under way at once, of those who do not know an end

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_TEMPERS: dict[str, bytes] = {
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "429": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    "302": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
    "hangs": b"",
    "drips": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
    "501": b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n",
}
_FOUND, _REFUSED = "found", "refused"


class Dfsp:
    def __init__(self, name: str, port: int, scheme: "Scheme") -> None:
        self.name, self.port, self._scheme = name, port, scheme
        self.temper = ""  # how it treats callbacks at the moment; "" is well
        self._asked_at: dict[tuple[str, str, bytes | None], float] = {}  # the first of each lookup's copies

    def take(self, message: Message) -> bytes:
        """What to answer to the hub."""
        method, path, _ = message.start.decode().split(" ", 2)
        resource = path.split("/")[1]
        # One that does not support a resource does support transfers.
        if self.temper and not (self.temper == "501" and resource == "transfers"):
            self._scheme.history.hurt[self.temper] += 1
            return _TEMPERS[self.temper]
        if resource == "parties":
            self._take_about_a_party(method, path, message)
        elif resource == "transfers":
            self._take_about_a_transfer(method, path, message)
        elif resource == "quotes" and self._scheme.quotes is not None:
            self._scheme.quotes.take(self.name, method, path, message)
        elif method == "PUT":
            self._note_interference(path, message)
        return _OK

    def _take_about_a_party(self, method: str, path: str, message: Message) -> None:
        """Says that it serves its own aliases; and believes whatever it is told about others, as a DFSP must."""
        alias, source = path.split("/")[3], (header(message.head, b"fspiop-source") or b"").decode()
        if method == "GET":
            # The hub may deliver a message twice. Its date tells the copies of one lookup from another lookup.
            lookup = (source, alias, header(message.head, b"date"))
            asked_at = self._asked_at.setdefault(lookup, time.monotonic())
            answer = self._scheme.found(self.name, source, alias)
            self._scheme.start(self._scheme.insist(answer, [], asked_at=asked_at))
        else:
            said = _REFUSED if path.endswith("/error") else _FOUND
            self._scheme.tell_waiting(self.name, alias, said, source)

    def _note_interference(self, path: str, message: Message) -> None:
        """No payment of a run has a transaction or an authorization that anybody could ask for."""
        resource, key = path.split("/")[1:3]
        payment = self._scheme.history.payments.get(key)
        source = (header(message.head, b"fspiop-source") or b"").decode()
        if payment is not None and source not in (payment.payer, payment.payee):
            self._scheme.history.diverted[key] = f"{source} ended it at {self.name} by PUT /{resource}"

    def _take_about_a_transfer(self, method: str, path: str, message: Message) -> None:
        key = messages.text_of(message.body, b"transferId").decode() if method == "POST" else path.split("/")[2]
        payment = self._scheme.history.payments.get(key)
        if payment is None:
            self._scheme.history.strange.append(f"{self.name} was told of {key}, which nobody began")
        elif method == "POST":
            payment.prepares += 1
            if payment.prepares == 1:
                payment.asked_at = time.time()
                self._scheme.start(self._act(payment, message))
        else:
            self._hear(payment, path, message)

    def _hear(self, payment: Payment, path: str, message: Message) -> None:
        said = messages.text_of(message.body, b"transferState").decode()
        if path.endswith("/error"):
            said = "error " + messages.text_of(message.body, b"errorCode").decode()
        if self.name == payment.payer:
            payment.told_at = payment.told_at or time.time()
            payment.payer_heard.append(said)
        else:
            payment.payee_heard.append(said)

    async def _act(self, payment: Payment, message: Message) -> None:
        scheme = self._scheme
        condition = messages.text_of(message.body, b"condition")
        fulfilment = scheme.fulfilments[condition]
        payer = header(message.head, b"fspiop-source") or b""

        def fulfil(state: str) -> bytes:
            return scheme.put(self.name.encode(), payer, payment.id, fulfilment, state)

        match payment.plan:
            case "silent":
                return
            case "late":
                await asyncio.sleep(max(0.0, payment.expires_at - time.time()) + 0.2)
                await scheme.insist(fulfil("COMMITTED"), payment.put_answers)
            case "patch":
                await scheme.insist(fulfil("RESERVED"), payment.put_answers)
            case "reject":
                await scheme.insist(scheme.reject(self.name.encode(), payer, payment.id), payment.put_answers)
            case "both":
                refusal = scheme.reject(self.name.encode(), payer, payment.id)
                first, second = fulfil("COMMITTED"), refusal
                await asyncio.gather(*(scheme.insist(each, payment.put_answers) for each in (first, second)))
            case "storm":
                put = fulfil("COMMITTED")
                await asyncio.gather(*(scheme.insist(put, payment.put_answers) for _ in range(20)))
            case _:
                await scheme.insist(fulfil("COMMITTED"), payment.put_answers)


class Scheme:
    """All DFSPs, and what they do, from one seed. Runs in a thread of its own."""

    def __init__(
        self,
        names: list[str],
        ports: list[int],
        host: str,
        hub_port: int,
        seed: int,
        *,
        rogue_port: int = 0,
        whole_payments: bool = False,
    ) -> None:
        self.history = History()
        self.quotes = Quotes(self) if whole_payments else None
        self.dfsps = {name: Dfsp(name, port, self) for name, port in zip(names, ports, strict=True)}
        self.rogue = Rogue(rogue_port, self) if rogue_port else None
        aliases = _ALIASES_OF_PAYMENTS if whole_payments else _ALIASES
        self.owners = {f"25570{n}{m:06}": name for n, name in enumerate(names) for m in range(aliases)}
        self._waiting: dict[tuple[str, str], list[asyncio.Future[tuple[str, str]]]] = {}
        self.host, self._hub_port = f"{host}:{hub_port}".encode(), hub_port
        self.rng = random.Random(seed)
        self._pools = {(a, b): messages.pool(a, b) for a in names for b in names if a != b}
        self.fulfilments = {packet.condition: packet.fulfilment for pool in self._pools.values() for packet in pool}
        self._packet_numbers = count(len(self.fulfilments))
        self._clock = messages.Clock()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._hub = Client(host, hub_port, most=400)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def address(self, name: str) -> str:
        """Where a DFSP takes callbacks."""
        return f"http://127.0.0.1:{self._port_of(name)}"

    def _port_of(self, name: str) -> int:
        if name == ROGUE:
            assert self.rogue is not None
            return self.rogue.port
        return self.dfsps[name].port

    def aliases(self, name: str) -> list[str]:
        """A DFSP's customers."""
        return [alias for alias, owner in self.owners.items() if owner == name]

    @property
    def clock(self) -> messages.Clock:
        """The moment, as messages write it."""
        self._clock.tick()
        return self._clock

    # --- from other threads ------------------------------------------------------------------------------------------

    def open(self) -> None:
        self._thread.start()
        self.do(self._listen())

    def do(self, work: Coroutine[Any, Any, Any], timeout_s: float = 600) -> Any:
        """Runs to its end in the loop, from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    # --- in the loop -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _listen(self) -> None:
        for each in [*self.dfsps.values(), *([self.rogue] if self.rogue else [])]:
            await self._loop.create_server(lambda each=each: _Server(each), "127.0.0.1", each.port)  # type: ignore[misc]

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def load(self, rate: float, seconds: float, goes_on: Callable[[], bool] = lambda: False) -> None:
        """Begins payments at a fixed rate, whatever becomes of them: for so long, and then while `goes_on`."""
        began, fewest = time.monotonic(), round(rate * seconds)
        for number in count():
            if number >= fewest and not goes_on():
                return
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            self.start(self._pay(self._next_payment()))

    async def settle_down(self, timeout_s: float) -> bool:
        """Waits for every DFSP to have done what it meant to; False if some are not through."""
        until = self._loop.time() + timeout_s
        while self._tasks and (left := until - self._loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)  # callbacks that come meanwhile begin others
        return not self._tasks

    def _next_payment(self) -> Payment:
        rng = self.rng
        names = list(self.dfsps)
        payer = names[0] if rng.random() < 0.5 else rng.choice(names)
        others = [name for name in names if name != payer]
        payee = rng.choices(others, [_PAID_LESS if name == names[-1] else 1.0 for name in others])[0]
        plan = rng.choices(list(PLANS), list(PLANS.values()))[0]
        twist = rng.choices(list(TWISTS), list(TWISTS.values()))[0]
        amount, key = rng.randint(1, 9), str(uuid.UUID(int=rng.getrandbits(128), version=4))
        looks_up = self.quotes is not None or rng.random() < _LOOKED_UP
        alias = rng.choice(self.aliases(payee)) if looks_up else ""
        payment = Payment(key, payer, payee, amount, plan, twist, 0.0, b"", alias)
        self.history.payments[key] = payment
        return payment

    async def _pay(self, payment: Payment) -> None:
        if payment.alias and not await self._find(payment):
            self.history.not_found.append(f"{payment.id}: {payment.payer} did not find {payment.alias}")
            return
        packet = self._packet_of(payment)
        if self.quotes is not None and not await self.quotes.agree(payment, packet):
            return
        self._write(payment, packet)
        times = 20 if payment.twist == "storm" else 1
        await asyncio.gather(*(self._begin(payment) for _ in range(times)))
        if payment.twist == "equal":
            await asyncio.sleep(self.rng.random())
            await self.insist(payment.request, payment.post_answers)
        elif payment.twist == "changed" and payment.is_acknowledged:
            packet = self._pools[payment.payer, payment.payee][0]
            changed = self._post(
                payment.payer, payment.payee, payment.id, payment.amount + 1, packet, payment.expires_at
            )
            await self.insist(changed, [])
        payment.request = b""

    def _packet_of(self, payment: Payment) -> messages.Packet:
        """A packet for this payment. Terms need one of their own, as by its condition a replay finds the quote."""
        if self.quotes is None:
            return self.rng.choice(self.packets(payment.payer, payment.payee))
        packet = messages.packet(payment.payer, payment.payee, next(self._packet_numbers))
        self.fulfilments[packet.condition] = packet.fulfilment
        return packet

    def packets(self, payer: str, payee: str) -> Sequence[messages.Packet]:
        """The packets of payments from one to the other."""
        return self._pools[payer, payee]

    def _write(self, payment: Payment, packet: messages.Packet) -> None:
        payment.begun_at = time.time()
        payment.expires_at = payment.begun_at + (_SHORT_S if payment.plan in ("silent", "late") else _VALID_S)
        payment.request = self._post(
            payment.payer, payment.payee, payment.id, payment.amount, packet, payment.expires_at
        )

    async def _find(self, payment: Payment) -> bool:
        """Asks who serves the payee's alias until some DFSP says that it does; False where none did in time."""
        until = time.monotonic() + _LOOKUPS_S
        while time.monotonic() < until:
            said, source = await self._look_up(payment)
            if source == payment.payee and said == _FOUND:
                return True
            if source in self.dfsps or source == ROGUE:  # and not the hub, which could not reach the payee
                self.history.diverted[payment.id] = f"{payment.payer} was told {said} by {source}"
            await asyncio.sleep(1)
        return False

    async def _look_up(self, payment: Payment) -> tuple[str, str]:
        """What the payer is told, and by whom; nothing where nobody tells it anything in time."""
        answer: asyncio.Future[tuple[str, str]] = self._loop.create_future()
        waiting = self._waiting.setdefault((payment.payer, payment.alias), [])
        waiting.append(answer)
        trace = messages.trace_of(payment.id)
        request = messages.ask_party(self.host, payment.payer.encode(), payment.alias.encode(), trace, self.clock)
        await self.insist(request, [])
        try:
            return await asyncio.wait_for(answer, _LOOKUP_S)
        except TimeoutError:
            return "", ""
        finally:
            if answer in waiting:
                waiting.remove(answer)

    def tell_waiting(self, asker: str, alias: str, said: str, source: str) -> None:
        """The first answer about an alias is taken for the answer, whoever sent it: the hub has to see to that."""
        for answer in self._waiting.pop((asker, alias), []):
            if not answer.done():
                answer.set_result((said, source))

    def found(self, owner: str, asker: str, alias: str) -> bytes:
        """The owner's answer to a lookup."""
        path, body = f"/parties/MSISDN/{alias}".encode(), messages.party(asker.encode(), owner.encode(), alias.encode())
        return messages.answer_party(self.host, owner.encode(), asker.encode(), path, b"", body, self.clock)

    async def _begin(self, payment: Payment) -> None:
        await self.insist(payment.request, payment.post_answers)
        if payment.is_acknowledged:
            payment.acknowledged_at = payment.acknowledged_at or time.time()

    async def ask(self, questions: Collection[tuple[Payment, str]]) -> None:
        """GET /transfers/{ID} for each payment by one of its sides: how did it end?"""
        left = iter(questions)

        async def ask_on() -> None:
            for payment, by in left:
                await self._ask(payment, by)

        await asyncio.gather(*(ask_on() for _ in range(_ASKING)))

    async def _ask(self, payment: Payment, by: str) -> None:
        self._clock.tick()
        other = payment.payee if by == payment.payer else payment.payer
        await self.insist(messages.ask_transfer(self.host, by.encode(), other.encode(), payment.id, self._clock), [])

    async def insist(self, request: bytes, answers: list[int], *, asked_at: float | None = None) -> None:
        """Sends until the hub takes or refuses it; notes each answer.

        `asked_at` is the time of the lookup that this answers. Its first answer ends the lookup, also if the sender did
        not learn that, or if the lookup came twice. Once the lookup is forgotten, the hub refuses the same answer.
        """
        until = time.monotonic() + _INSIST_S
        for attempt in count(1):
            sent_at = time.monotonic()
            status = await self.ask_hub(request)
            answers.append(status)
            self.history.answers[status] += 1
            if status in (200, 202):
                self.history.taken(sent_at)
                return
            age_s = sent_at - (sent_at if asked_at is None else asked_at)
            if status == 400 and age_s > _LOOKUP_ENDS_S:
                return
            if status not in (0, 429, 503):
                what = request.split(b" HTTP", 1)[0].decode()
                self.history.strange.append(f"HTTP {status} to {what}, try {attempt}, {age_s:.1f} s after the lookup")
                return
            if time.monotonic() > until:
                return
            # Ever more slowly: when the hub was away for some seconds, hundreds of requests are sent again and again.
            await asyncio.sleep((0.2 + self.rng.random() * 0.5) * min(attempt, 4))

    async def ask_hub(self, request: bytes) -> int:
        """Sends it once; its HTTP status, or 0 where there was none in time."""
        answer: asyncio.Future[int] = self._loop.create_future()

        def answered(status: int) -> None:
            if not answer.done():
                answer.set_result(status)

        self._send(request, answered)
        try:
            return await asyncio.wait_for(answer, 20)
        except TimeoutError:
            return 0

    def _send(self, request: bytes, answered: Callable[[int], None]) -> None:
        self._hub.send(request, answered)

    def _post(self, payer: str, payee: str, key: str, amount: int, packet: messages.Packet, expires_at: float) -> bytes:
        self._clock.tick()
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(expires_at)) + f".{int(expires_at % 1 * 1000):03}Z"
        body = messages.prepare_body(
            payer.encode(), payee.encode(), packet.ilp_packet, packet.condition, key.encode(), self._clock
        )
        body = body.replace(self._clock.expiration, moment.encode())
        body = body.replace(b'"amount":"1"', b'"amount":"%d"' % amount)
        return messages.post_transfer(self.host, payer.encode(), payee.encode(), body, self._clock)

    def put(self, payee: bytes, payer: bytes, key: str, fulfilment: bytes, state: str) -> bytes:
        self._clock.tick()
        request = messages.fulfil(self.host, payee, payer, fulfilment, key.encode(), self._clock)
        return request if state == "COMMITTED" else _with_state(request, state)

    def reject(self, payee: bytes, payer: bytes, key: str) -> bytes:
        self._clock.tick()
        return messages.reject(self.host, payee, payer, key.encode(), self._clock)


def _with_state(request: bytes, state: str) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    changed = body.replace(b'"transferState":"COMMITTED"', b'"transferState":"%b"' % state.encode())
    head = head.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % len(changed))
    return head + b"\r\n\r\n" + changed


class _Server(asyncio.Protocol):
    def __init__(self, dfsp: Dfsp | Rogue) -> None:
        self._dfsp = dfsp
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if self._dfsp.temper == "closes":
            self._transport.close()
            return
        for message in self._reader.feed(data):
            self._transport.write(self._dfsp.take(message))
