"""The load generator (`python -m bench.load`): begins a transfer or payment at each tick of a fixed rate.

The load is an open loop: the rate does not change when the hub slows down. The measured time of a transfer begins when
the transfer is due, even if the generator sends the transfer later.
"""

import asyncio
import gc
import json
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

from bench import messages, presigned
from bench.client import Client
from bench.message_forms import form_of
from bench.signing import Signer

Parties = tuple[str, str, str]  # payer, payee, and the payee's customer; "" if the load has only transfers
CALM_S = 15  # seconds of load at the lower rate, after the measured load
_ANSWERS_S = 30  # time limit for the last responses
_MOST_OPEN = 2000  # limit on open requests; higher than a hub's own limit, so that no request waits in the generator


@dataclass(frozen=True)
class Load:
    """The load to generate.

    `starts_at` is a value of time.monotonic. On one machine, time.monotonic is the same in all processes.
    """

    host: str
    port: int
    rate: float
    seconds: float
    starts_at: float
    calm: float  # transfers begun per second for CALM_S after the measured load; 0: no such load
    dfsps: list[str]
    hot: float
    aliases: dict[str, list[str]]  # each DFSP's customers; if empty, the load has only transfers, no lookups and quotes
    results: str
    keys: str = ""  # a folder with the DFSPs' private keys; if empty, nobody signs messages
    iso20022: bool = False
    packets: int = 0  # number of packets for each payer and payee; 0: a few packets, which the transfers use in turn
    biller: bool = False  # everybody pays the first DFSP

    @classmethod
    def from_text(cls, text: str) -> "Load":
        """Reads the text that `as_text` wrote."""
        return cls(**json.loads(text))

    def as_text(self) -> str:
        """Returns the load as an argument for another process."""
        return json.dumps(asdict(self))

    def moments(self) -> Iterator[float]:
        """Yields the time at which each transfer is due."""
        yield from (self.starts_at + number / self.rate for number in range(round(self.rate * self.seconds)))
        then = self.starts_at + self.seconds
        yield from (then + number / self.calm for number in range(round(self.calm * CALM_S)))

    def parties(self) -> Iterator[Parties]:
        """Yields the parties of each transfer or payment, without an end. Payers pay a DFSP's customers in turn."""
        customers = {name: cycle(aliases) for name, aliases in self.aliases.items()}
        for payer, payee in pairs(self.dfsps, self.hot, biller=self.biller):
            yield payer, payee, next(customers[payee]) if customers else ""


def pairs(dfsps: list[str], hot: float, *, biller: bool = False) -> Iterator[tuple[str, str]]:
    """Yields an endless series of pairs: the payer and the payee of each transfer.

    The generator uses all pairs of DFSPs one after the other. In addition, the first DFSP pays further transfers. `hot`
    is the share of these further transfers among all transfers, a number between 0 and 1. With `biller`, all other
    DFSPs pay the first DFSP.
    """
    if biller:
        yield from cycle([(payer, dfsps[0]) for payer in dfsps[1:]])
    everybody = cycle([(payer, payee) for payer in dfsps for payee in dfsps if payer != payee])
    from_first = cycle([(dfsps[0], payee) for payee in dfsps[1:]])
    owed = 0.0
    while True:
        owed += hot
        if owed >= 1:
            owed -= 1
            yield next(from_first)
        else:
            yield next(everybody)


class FirstMessages:
    """Makes the first message of each transfer or payment, which the payer DFSP sends and signs."""

    def __init__(self, load: Load) -> None:
        self._host = f"{load.host}:{load.port}".encode()
        self._clock, self._form = messages.Clock(), form_of(load.iso20022)
        self._signed = Signer(load.keys, load.dfsps)
        self._pools = {
            (payer, payee): cycle(self._form.pool_of(payer, payee, load.packets))
            for payer in load.dfsps
            for payee in load.dfsps
            if payer != payee and not load.aliases
        }

    def make(self, parties: Parties) -> tuple[str, bytes]:
        """Returns the id of a new transfer or payment, and its first message."""
        payment_id = str(uuid.uuid4())
        self._clock.tick()
        return payment_id, self._signed(self._message(*parties, payment_id))

    def _message(self, payer: str, payee: str, alias: str, payment_id: str) -> bytes:
        if alias:
            trace = messages.trace_of(payment_id)
            return messages.ask_party(self._host, payer.encode(), alias.encode(), trace, self._clock, self._form)
        packet, both = next(self._pools[payer, payee]), (payer.encode(), payee.encode())
        return messages.prepare(self._host, *both, packet, payment_id.encode(), self._clock, self._form)


class Generator:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._client = Client(load.host, load.port, most=_MOST_OPEN)
        self._parties, self._first = load.parties(), FirstMessages(load)
        self._presigned = iter(presigned.firsts(load.keys))
        self._open = 0
        self._all_answered: asyncio.Event | None = None
        self._is_stopped = False
        self.sent: dict[str, tuple[float, float, int]] = {}

    async def run(self) -> None:
        """Sends messages until the load's time is over, or until SIGTERM. At the end, waits for all open responses."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop)
        for number, due in enumerate(self._load.moments()):
            if self._is_stopped:
                break
            wait_s = due - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            elif number % 16 == 0:
                await asyncio.sleep(0)  # the load is late, so it reads responses before it sends the next request
            self._send(due)
        if self._open:
            self._all_answered = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_answered.wait(), _ANSWERS_S)

    def _stop(self) -> None:
        self._is_stopped = True

    def _send(self, due: float) -> None:
        transfer_id, request = next(self._presigned, None) or self._first.make(next(self._parties))
        self._open += 1
        self.sent[transfer_id] = (due, 0.0, 0)  # no answer yet

        def answered(status: int) -> None:
            self._open -= 1
            self.sent[transfer_id] = (due, time.monotonic(), status)
            if self._all_answered is not None and not self._open:
                self._all_answered.set()

        self._client.send(request, answered)


def main(load: Load) -> None:
    """Generates the load and writes the responses to the results file."""
    generator = Generator(load)
    gc.freeze()
    asyncio.run(generator.run())
    Path(load.results).write_text(json.dumps(generator.sent))


if __name__ == "__main__":
    main(Load.from_text(sys.argv[1]))
