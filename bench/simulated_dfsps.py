"""The simulated DFSPs of a run. These DFSPs fulfil prepares, answer lookups and quotes, and receive the outcomes of
transfers.

`python -m bench.simulated_dfsps CONFIG` serves requests until SIGTERM, and then writes the records of its DFSPs.
"""

import asyncio
import gc
import json
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path

from bench import messages, parties, presigned
from bench.client import NO_ANSWER, Client, Done, Sender
from bench.http_parser import Message, Reader, header
from bench.message_forms import form_of
from bench.signing import Signer

_ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_TRIES = 5
_PAUSE_S = 0.25


@dataclass(frozen=True)
class Dfsps:
    """The DFSPs to serve, by name and port, and the address of the hub."""

    ours: dict[str, int]
    everybody: list[str]
    hub_host: str
    hub_port: int
    results: str
    keys: str = ""  # a folder with the DFSPs' private keys; if empty, nobody signs messages
    iso20022: bool = False
    packets: int = 0  # number of packets for each pair, if each transfer has its own quote; 0: a few packets in turn
    has_parties: bool = False  # true if the payers are many customers, because rules count payments by customer
    biller: bool = False
    says_when: bool = True  # whether fulfils have a completedTimestamp

    @classmethod
    def from_text(cls, text: str) -> "Dfsps":
        """Reads the text that `as_text` wrote."""
        return cls(**json.loads(text))

    def as_text(self) -> str:
        """Returns the configuration as text for a command line."""
        return json.dumps(asdict(self))


@dataclass
class Notes:
    """The records that one simulated DFSP keeps. Times come from time.monotonic."""

    prepares: dict[str, tuple[float, float, int]] = field(default_factory=dict)  # received, fulfilled, HTTP status
    ends: dict[str, tuple[float, str]] = field(default_factory=dict)  # outgoing transfers: time, outcome
    given_up: dict[str, str] = field(default_factory=dict)  # outgoing payments: the refusal after the last try
    undone: dict[str, str] = field(default_factory=dict)  # incoming transfers: the received error
    found: dict[str, float] = field(default_factory=dict)  # by payment: when the payer received the party
    quoted: dict[str, float] = field(default_factory=dict)  # by payment: when the payer received the terms
    repeats: int = 0
    retries: int = 0
    strays: dict[str, int] = field(default_factory=dict)  # answers that this DFSP did not request, by sender and kind
    contradicted: dict[str, str] = field(default_factory=dict)  # outgoing transfers: the first outcome and another one
    altered: dict[str, str] = field(default_factory=dict)  # by payment: a received message that its sender did not send


class Dfsp:
    def __init__(
        self,
        name: str,
        config: Dfsps,
        hub: Sender,
        clock: messages.Clock,
        signed: Signer,
        presigned_answers: dict[str, dict[str, bytes]],
    ) -> None:
        self._name, self._hub, self._clock, self._signed = name.encode(), hub, clock, signed
        self._answers, self._form = presigned_answers, form_of(config.iso20022)
        self._host = f"{config.hub_host}:{config.hub_port}".encode()
        # Every packet that a payer can use for a payment to this DFSP.
        pools = {payer: self._form.pool_of(payer, name, config.packets) for payer in config.everybody if payer != name}
        self._fulfilments = {
            self._form.lock_of(packet): packet.fulfilment for packets in pools.values() for packet in packets
        }
        self._has_parties, self._biller, self._says_when = config.has_parties, config.biller, config.says_when
        self._packets = {payer.encode(): cycle(packets) for payer, packets in pools.items()}
        self.notes = Notes()

    def answer(self, message: Message) -> bytes:
        """Returns the response to a request. The DFSP sends the next message of the payment in a separate request."""
        method, path, _ = message.start.split(b" ", 2)
        resource = path.split(b"/", 2)[1]
        if resource == b"transfers":
            if method == b"POST":
                self._prepare(message)
                return _ACCEPTED
            self._end(path, message)
        elif resource == b"parties":
            if method == b"GET":
                self._be_found(path, message)
                return _ACCEPTED
            self._ask_for_terms(path, message)
        elif resource == b"quotes":
            if method == b"POST":
                self._give_terms(message)
                return _ACCEPTED
            self._pay(path, message)
        elif resource == b"seen":
            body = b"%d" % (len(self.notes.ends) + len(self.notes.given_up))
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        elif method == b"PUT":
            self._note_stray(path, message)
        return _OK

    # --- as a payee ------------------------------------------------------------------------------------------------

    def _be_found(self, path: bytes, message: Message) -> None:
        key = messages.id_of_trace(_of(message, b"traceparent"))
        self._insist(self._presigned(key, message) or self._signed(self._party(path, message)))

    def _party(self, path: bytes, message: Message) -> bytes:
        payer, trace = _of(message, b"fspiop-source"), _of(message, b"traceparent")
        body = self._form.party(payer, self._name, path.rpartition(b"/")[2])
        return messages.answer_party(self._host, self._name, payer, path, trace, body, self._clock, self._form)

    def _give_terms(self, message: Message) -> None:
        quote_id = messages.text_of(message.body, self._form.quote_id)
        self._insist(self._presigned(quote_id.decode(), message) or self._signed(self._terms(quote_id, message)))

    def _terms(self, quote_id: bytes, message: Message) -> bytes:
        payer = _of(message, b"fspiop-source")
        body = self._form.terms(payer, self._name, quote_id, next(self._packets[payer]), self._tick())
        return messages.answer_quote(self._host, self._name, payer, quote_id, body, self._clock, self._form)

    def _prepare(self, message: Message) -> None:
        transfer_id = messages.text_of(message.body, self._form.transfer_id)
        key = transfer_id.decode()
        if key in self.notes.prepares:
            self.notes.repeats += 1
            return
        came = time.monotonic()
        self.notes.prepares[key] = (came, 0.0, 0)

        def answered(status: int) -> None:
            self.notes.prepares[key] = (came, time.monotonic(), status)

        self._insist(self._presigned(key, message) or self._signed(self._fulfil(transfer_id, message)), answered)

    def _fulfil(self, transfer_id: bytes, message: Message) -> bytes:
        payer, lock = _of(message, b"fspiop-source"), messages.text_of(message.body, self._form.lock)
        return messages.fulfil(
            self._host,
            self._name,
            payer,
            self._fulfilments[lock],
            transfer_id,
            self._tick(),
            says_when=self._says_when,
            form=self._form,
        )

    # --- as a payer ------------------------------------------------------------------------------------------------

    def _ask_for_terms(self, path: bytes, message: Message) -> None:
        key = messages.id_of_trace(_of(message, b"traceparent"))
        if not key:
            self._note_stray(path, message)
        elif self._is_new(key, self.notes.found, path):
            request = self._presigned(key, message) or self._signed(self._quote(key, path, message))
            self._insist(request, self._give_up(key))

    def _quote(self, key: str, path: bytes, message: Message) -> bytes:
        payee, alias = _of(message, b"fspiop-source"), path.rpartition(b"/")[2]
        if self._has_parties:
            body = parties.quote(self._name, payee, alias, key, self._tick(), biller=self._biller)
        else:
            body = self._form.quote(self._name, payee, alias, key.encode(), self._tick())
        return messages.ask_quote(self._host, self._name, payee, body, self._clock, self._form)

    def _pay(self, path: bytes, message: Message) -> None:
        key = path[8:44].decode()
        if key not in self.notes.found:
            self._note_stray(path, message)
        elif self._is_new(key, self.notes.quoted, path):
            request = self._presigned(key, message) or self._signed(self._transfer(key, message))
            self._insist(request, self._give_up(key))

    def _transfer(self, key: str, message: Message) -> bytes:
        payee = _of(message, b"fspiop-source")
        packet, condition = (messages.text_of(message.body, name) for name in (self._form.packet, b"condition"))
        body = self._form.transfer(self._name, payee, packet, condition, key.encode(), self._tick())
        return messages.post_transfer(self._host, self._name, payee, body, self._clock, self._form)

    def _is_new(self, key: str, seen: dict[str, float], path: bytes) -> bool:
        """Returns whether the payment continues after this message. A payment does not continue after an error or a
        repeated answer."""
        if path.endswith(b"/error"):
            self.notes.ends.setdefault(key, (time.monotonic(), f"error at {path.split(b'/', 2)[1].decode()}"))
            return False
        if key in seen:
            self.notes.repeats += 1
            return False
        seen[key] = time.monotonic()
        return True

    def _note_stray(self, path: bytes, message: Message) -> None:
        resource, is_error = path.split(b"/", 2)[1].decode(), path.endswith(b"/error")
        what = f"{_of(message, b'fspiop-source').decode()} {resource}{' error' * is_error}"
        self.notes.strays[what] = self.notes.strays.get(what, 0) + 1

    def _give_up(self, key: str) -> Done:
        """Returns a function that ends a payment after the hub has refused every attempt to send a request."""

        def answered(status: int) -> None:
            if status != 202:
                self.notes.given_up[key] = f"HTTP {status}"

        return answered

    def _end(self, path: bytes, message: Message) -> None:
        key = path[11:47].decode()
        if path.endswith(b"/error"):
            said = "error " + messages.text_of(message.body, self._form.error_code).decode()
        else:
            state = messages.text_of(message.body, self._form.state)
            said = "COMMITTED" if state == self._form.committed else state.decode()
        if key in self.notes.prepares:
            if said != "COMMITTED":
                self.notes.undone[key] = said
        elif key in self.notes.ends:
            self.notes.repeats += 1
            if said != self.notes.ends[key][1]:
                self.notes.contradicted[key] = f"{self.notes.ends[key][1]}, then {said}"
        else:
            self.notes.ends[key] = (time.monotonic(), said)

    # --- sending ---------------------------------------------------------------------------------------------------

    def _presigned(self, key: str, message: Message) -> bytes | None:
        """Returns this DFSP's answer to exactly this message, if the answer was signed in advance.

        If the payment was signed in advance, but with another message, the hub has altered the message. Then the DFSP
        notes the altered message, and signs an answer to the altered message now.
        """
        answers = self._answers.get(key)
        if answers is None:
            return None
        answer = answers.get(presigned.digest(message))
        if answer is None:
            self.notes.altered.setdefault(key, message.start.decode(errors="replace"))
        return answer

    def _tick(self) -> messages.Clock:
        self._clock.tick()
        return self._clock

    def _insist(self, request: bytes, done: Done | None = None, tries: int = _TRIES) -> None:
        """Sends a request. If the hub's response was 429 or 503, or if there was no response, sends the same request
        again, as a real DFSP does."""

        def answered(status: int) -> None:
            if status in (NO_ANSWER, 429, 503) and tries > 1:
                self.notes.retries += 1
                asyncio.get_running_loop().call_later(_PAUSE_S, self._insist, request, done, tries - 1)
            elif done is not None:
                done(status)

        self._hub.send(request, answered)


def _of(message: Message, name: bytes) -> bytes:
    return header(message.head, name) or b""


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
        for message in self._reader.feed(data):
            self._transport.write(self._dfsp.answer(message))


async def _serve(config: Dfsps, dfsps: dict[str, Dfsp]) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    for name, dfsp in dfsps.items():
        await loop.create_server(lambda dfsp=dfsp: _Server(dfsp), "127.0.0.1", config.ours[name])  # type: ignore[misc]
    await stopped.wait()


def main(config: Dfsps) -> None:
    """Serves requests until SIGTERM, then writes the records of each DFSP."""
    hub, clock = Client(config.hub_host, config.hub_port), messages.Clock()
    clock.tick()
    signed = Signer(config.keys, list(config.ours))
    dfsps = {name: Dfsp(name, config, hub, clock, signed, presigned.answers(config.keys, name)) for name in config.ours}
    gc.freeze()
    asyncio.run(_serve(config, dfsps))
    Path(config.results).write_text(json.dumps({name: asdict(dfsp.notes) for name, dfsp in dfsps.items()}))


if __name__ == "__main__":
    main(Dfsps.from_text(sys.argv[1]))
