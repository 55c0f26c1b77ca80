"""Simulated DFSPs with books of their own, on one event loop: payers that resend, payees of every temper."""

import asyncio
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Coroutine
from itertools import count
from typing import Any

from bench import messages
from bench.client import Client
from bench.http import Message, Reader, header
from tests.faults.history import History, Payment

PLANS = {"pay": 78, "patch": 8, "reject": 3, "silent": 3, "late": 3, "both": 2, "storm": 3}
TWISTS = {"": 91, "equal": 5, "changed": 2, "storm": 2}
# The last DFSP receives less than it pays, so that it stands at its net debit cap all the time.
_PAID_LESS = 0.25
_VALID_S = 40.0
_SHORT_S = 8.0
_INSIST_S = 60.0
_ASKING = 50  # questions under way at once, of those who do not know an end

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_TEMPERS: dict[str, bytes] = {
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "429": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    "302": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
    "hangs": b"",
    "drips": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
}


class Dfsp:
    def __init__(self, name: str, port: int, scheme: "Scheme") -> None:
        self.name, self.port, self._scheme = name, port, scheme
        self.temper = ""  # how it treats callbacks at the moment; "" is well

    def take(self, message: Message) -> bytes:
        """What to answer to the hub."""
        if self.temper:
            self._scheme.history.hurt[self.temper] += 1
            return _TEMPERS[self.temper]
        method, path, _ = message.start.decode().split(" ", 2)
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
        return _OK

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

    def __init__(self, names: list[str], ports: list[int], host: str, hub_port: int, seed: int) -> None:
        self.history = History()
        self.dfsps = {name: Dfsp(name, port, self) for name, port in zip(names, ports, strict=True)}
        self._host, self._hub_port = f"{host}:{hub_port}".encode(), hub_port
        self._rng = random.Random(seed)
        self._pools = {(a, b): messages.pool(a, b) for a in names for b in names if a != b}
        self.fulfilments = {packet.condition: packet.fulfilment for pool in self._pools.values() for packet in pool}
        self._clock = messages.Clock()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._hub = Client(host, hub_port, most=400)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def address(self, name: str) -> str:
        """Where a DFSP takes callbacks."""
        return f"http://127.0.0.1:{self.dfsps[name].port}"

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
        for dfsp in self.dfsps.values():
            await self._loop.create_server(lambda dfsp=dfsp: _Server(dfsp), "127.0.0.1", dfsp.port)  # type: ignore[misc]

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def load(self, rate: float, seconds: float) -> None:
        """Begins payments at a fixed rate, whatever becomes of them."""
        began = time.monotonic()
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            self.start(self._pay(self._next_payment()))

    async def settle_down(self, timeout_s: float) -> bool:
        """Waits for every DFSP to have done what it meant to; False if some are not through."""
        until = self._loop.time() + timeout_s
        while self._tasks and (left := until - self._loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)  # callbacks that come meanwhile begin others
        return not self._tasks

    def _next_payment(self) -> Payment:
        rng = self._rng
        names = list(self.dfsps)
        payer = names[0] if rng.random() < 0.5 else rng.choice(names)
        others = [name for name in names if name != payer]
        payee = rng.choices(others, [_PAID_LESS if name == names[-1] else 1.0 for name in others])[0]
        plan = rng.choices(list(PLANS), list(PLANS.values()))[0]
        twist = rng.choices(list(TWISTS), list(TWISTS.values()))[0]
        amount, key = rng.randint(1, 9), str(uuid.UUID(int=rng.getrandbits(128), version=4))
        expires_at = time.time() + (_SHORT_S if plan in ("silent", "late") else _VALID_S)
        packet = rng.choice(self._pools[payer, payee])
        request = self._post(payer, payee, key, amount, packet, expires_at)
        payment = Payment(key, payer, payee, amount, plan, twist, expires_at, request)
        self.history.payments[key] = payment
        return payment

    async def _pay(self, payment: Payment) -> None:
        times = 20 if payment.twist == "storm" else 1
        await asyncio.gather(*(self._begin(payment) for _ in range(times)))
        if payment.twist == "equal":
            await asyncio.sleep(self._rng.random())
            await self.insist(payment.request, payment.post_answers)
        elif payment.twist == "changed" and payment.is_acknowledged:
            packet = self._pools[payment.payer, payment.payee][0]
            changed = self._post(
                payment.payer, payment.payee, payment.id, payment.amount + 1, packet, payment.expires_at
            )
            await self.insist(changed, [])
        payment.request = b""

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
        await self.insist(messages.ask_transfer(self._host, by.encode(), other.encode(), payment.id, self._clock), [])

    async def insist(self, request: bytes, answers: list[int]) -> None:
        """Sends until the hub takes or refuses it; notes each answer."""
        until = time.monotonic() + _INSIST_S
        for attempt in count(1):
            sent_at = time.monotonic()
            status = await self._ask_hub(request)
            answers.append(status)
            self.history.answers[status] += 1
            if status in (200, 202):
                self.history.taken(sent_at)
                return
            if status not in (0, 429, 503):
                self.history.strange.append(f"HTTP {status} to {request.split(b' HTTP', 1)[0].decode()}")
                return
            if time.monotonic() > until:
                return
            # Ever more slowly: when the hub was away for some seconds, hundreds of requests are sent again and again.
            await asyncio.sleep((0.2 + self._rng.random() * 0.5) * min(attempt, 4))

    async def _ask_hub(self, request: bytes) -> int:
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
        return messages.post_transfer(self._host, payer.encode(), payee.encode(), body, self._clock)

    def put(self, payee: bytes, payer: bytes, key: str, fulfilment: bytes, state: str) -> bytes:
        self._clock.tick()
        request = messages.fulfil(self._host, payee, payer, fulfilment, key.encode(), self._clock)
        return request if state == "COMMITTED" else _with_state(request, state)

    def reject(self, payee: bytes, payer: bytes, key: str) -> bytes:
        self._clock.tick()
        return messages.reject(self._host, payee, payer, key.encode(), self._clock)


def _with_state(request: bytes, state: str) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    changed = body.replace(b'"transferState":"COMMITTED"', b'"transferState":"%b"' % state.encode())
    head = head.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % len(changed))
    return head + b"\r\n\r\n" + changed


class _Server(asyncio.Protocol):
    def __init__(self, dfsp: Dfsp) -> None:
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
