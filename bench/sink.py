"""A DFSP as a load instrument sees one: takes prepares and fulfils them, and takes the ends of its own transfers.

`python -m bench.sink CONFIG` serves until SIGTERM and then writes what it saw.
"""

import asyncio
import gc
import json
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import messages
from bench.client import NO_ANSWER, Client
from bench.http import Message, Reader, header

_ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_TRIES = 5
_PAUSE_S = 0.25


@dataclass(frozen=True)
class Dfsp:
    """Which DFSP to be, and where the hub is."""

    name: str
    port: int
    hub_host: str
    hub_port: int
    dfsps: list[str]
    results: str

    @classmethod
    def from_text(cls, text: str) -> "Dfsp":
        """Reads what `as_text` wrote."""
        return cls(**json.loads(text))

    def as_text(self) -> str:
        """For a command line."""
        return json.dumps(asdict(self))


class Sink:
    def __init__(self, dfsp: Dfsp) -> None:
        self._name = dfsp.name.encode()
        self._host = f"{dfsp.hub_host}:{dfsp.hub_port}".encode()
        self._hub = Client(dfsp.hub_host, dfsp.hub_port)
        self._clock = messages.Clock()
        self._fulfilments = {
            packet.condition: packet.fulfilment
            for payer in dfsp.dfsps
            if payer != dfsp.name
            for packet in messages.pool(payer, dfsp.name)
        }
        self.prepares: dict[str, tuple[float, float, int]] = {}  # when it came, when the fulfil was answered, how
        self.ends: dict[str, tuple[float, str]] = {}  # when it came, what it said
        self.repeats = 0
        self.retries = 0

    def answer(self, message: Message) -> bytes:
        """What to answer to a request; a prepare also sets its fulfil going."""
        method, path, _ = message.start.split(b" ", 2)
        if method == b"POST" and path == b"/transfers":
            self._prepare(message)
            return _ACCEPTED
        if method == b"PUT" and path.startswith(b"/transfers/"):
            self._end(path, message)
        elif path == b"/seen":
            return self._count()
        return _OK

    def _prepare(self, message: Message) -> None:
        transfer_id = messages.text_of(message.body, b"transferId")
        if transfer_id.decode() in self.prepares:
            self.repeats += 1
            return
        came = time.monotonic()
        self.prepares[transfer_id.decode()] = (came, 0.0, 0)
        payer = header(message.head, b"fspiop-source") or b""
        fulfilment = self._fulfilments[messages.text_of(message.body, b"condition")]
        self._clock.tick()
        request = messages.fulfil(self._host, self._name, payer, fulfilment, transfer_id, self._clock)
        self._send(request, transfer_id.decode(), came, _TRIES)

    def _send(self, request: bytes, transfer_id: str, came: float, tries: int) -> None:
        """As a payee does: a fulfil that the hub could not take is sent again, word for word."""

        def answered(status: int) -> None:
            if status in (NO_ANSWER, 503) and tries > 1:
                self.retries += 1
                loop = asyncio.get_running_loop()
                loop.call_later(_PAUSE_S, self._send, request, transfer_id, came, tries - 1)
            else:
                self.prepares[transfer_id] = (came, time.monotonic(), status)

        self._hub.send(request, answered)

    def _end(self, path: bytes, message: Message) -> None:
        transfer_id = path[11:47].decode()
        if transfer_id in self.prepares:
            return  # its copy of the end of what it was paid
        if transfer_id in self.ends:
            self.repeats += 1
            return
        said = "error" if path.endswith(b"/error") else messages.text_of(message.body, b"transferState").decode()
        if said == "error":
            said = "error " + messages.text_of(message.body, b"errorCode").decode()
        self.ends[transfer_id] = (time.monotonic(), said)

    def _count(self) -> bytes:
        body = b"%d" % len(self.ends)
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    def results(self) -> dict[str, object]:
        """All it saw."""
        return {"prepares": self.prepares, "ends": self.ends, "repeats": self.repeats, "retries": self.retries}


class _Server(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        for message in self._reader.feed(data):
            self._transport.write(self._sink.answer(message))


async def _serve(sink: Sink, port: int) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = await loop.create_server(lambda: _Server(sink), "127.0.0.1", port)
    await stopped.wait()
    server.close()


def main(dfsp: Dfsp) -> None:
    """Serves until SIGTERM, then writes what it saw."""
    sink = Sink(dfsp)
    gc.freeze()
    asyncio.run(_serve(sink, dfsp.port))
    Path(dfsp.results).write_text(json.dumps(sink.results()))


if __name__ == "__main__":
    main(Dfsp.from_text(sys.argv[1]))
