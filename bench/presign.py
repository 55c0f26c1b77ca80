"""Signs transfers and payments on all CPU cores before the load begins, because real DFSPs sign on their own machines.

The simulated DFSPs exchange the messages without a hub. This module stores each message together with a digest of the
message that it answers. Later, the load generator and the simulated DFSPs send the stored messages unchanged. A DFSP
sends a stored answer only if the hub delivers exactly the message that the answer belongs to.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from bench import messages, presigned
from bench.client import Done
from bench.http_parser import Message, Reader, header
from bench.load import FirstMessages, Load, Parties
from bench.signing import Signer
from bench.simulated_dfsps import Dfsp, Dfsps

_CHUNK = 250
Answer = tuple[str, str, bytes]  # the DFSP that answers, the digest of the answered message, and the answer


def write(load: Load, count: int) -> None:
    """Signs this number of the load's first transfers or payments, with the keys in the folder `load.keys`.

    Writes files into this folder, for `bench.presigned`.
    """
    assert not load.packets, "each process uses the same packets, but with rules, each transfer needs its own packet"
    sign = partial(_sign, load.as_text())
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for lines in pool.map(sign, _chunks(islice(load.parties(), count))):
            for name, text in lines.items():
                with (Path(load.keys) / name).open("a") as file:
                    file.write(text)


def _chunks(parties: Iterable[Parties]) -> Iterator[list[Parties]]:
    left = iter(parties)
    while chunk := list(islice(left, _CHUNK)):
        yield chunk


def _sign(load: str, parties: Sequence[Parties]) -> dict[str, str]:
    """Returns the lines of each file, by the file's name."""
    lines: defaultdict[str, list[str]] = defaultdict(list)
    for each in parties:
        payment_id, first, answers = _exchange(load).pay(each)
        lines[presigned.FIRSTS].append(json.dumps((payment_id, first.decode())))
        for name, answered, answer in answers:
            lines[presigned.answers_file(name)].append(json.dumps((payment_id, answered, answer.decode())))
    return {name: "".join(f"{line}\n" for line in found) for name, found in lines.items()}


@cache  # it takes 30 ms to read a key
def _exchange(load: str) -> "_Exchange":
    return _Exchange(Load.from_text(load))


class _Exchange:
    """The DFSPs of a load without a hub: each DFSP receives the other DFSPs' messages unchanged."""

    def __init__(self, load: Load) -> None:
        clock, signed = messages.Clock(), Signer(load.keys, load.dfsps)
        clock.tick()
        # The fulfils have no completedTimestamp, because the timestamps would be too old when the fulfils are sent.
        config = Dfsps({}, load.dfsps, load.host, load.port, "", load.keys, load.iso20022, says_when=False)
        self._dfsps = {name: Dfsp(name, config, self, clock, signed, {}) for name in load.dfsps}
        self._first = FirstMessages(load)
        self._sent = b""

    def send(self, request: bytes, done: Done) -> None:
        """Keeps a DFSP's request."""
        self._sent = request

    def pay(self, parties: Parties) -> tuple[str, bytes, list[Answer]]:
        """Performs one transfer or payment. Returns its id, its first message, and the answers."""
        payment_id, first = self._first.make(parties)
        answers: list[Answer] = []
        received, receiver = _read(first), parties[1]
        while True:
            self._sent = b""
            self._dfsps[receiver].answer(received)
            if not self._sent:  # the receiver is the payer, and has received the outcome
                return payment_id, first, answers
            answers.append((receiver, presigned.digest(received), self._sent))
            received = _read(self._sent)
            receiver = (header(received.head, b"fspiop-destination") or b"").decode()


def _read(request: bytes) -> Message:
    (message,) = Reader().feed(request)
    return message
