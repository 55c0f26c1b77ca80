"""Signs transfers on all CPU cores before the load begins, because real DFSPs sign on their own machines.

Files contain, for each transfer id, the payer's message and the payee's message. The load generator and the simulated
DFSPs send these messages unchanged.
"""

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path

from bench import messages
from bench.message_forms import form_of
from bench.signing import Signer

_CHUNK = 500
Parties = tuple[str, str]
Signed = tuple[str, str, str]  # transfer id, POST by the payer, PUT by the payee


def write(folder: Path, host: str, parties: Iterable[Parties], *, iso20022: bool = False) -> None:
    """Signs transfers for each payer and payee, with the keys in `folder`.

    Writes two files into `folder`, for the functions `posts` and `fulfils`.
    """
    posts, fulfils = [], {}
    sign = partial(_sign, str(folder), host, iso20022)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for signed in pool.map(sign, _chunks(parties)):
            for transfer_id, post, fulfil in signed:
                posts.append((transfer_id, post))
                fulfils[transfer_id] = fulfil
    (folder / "posts").write_text(json.dumps(posts))
    (folder / "fulfils").write_text(json.dumps(fulfils))


def posts(folder: str) -> list[tuple[str, bytes]]:
    """Returns transfer ids and signed prepares in the order of sending.

    The result is empty if nothing was signed in advance.
    """
    path = Path(folder) / "posts"
    if not folder or not path.exists():
        return []
    return [(transfer_id, text.encode()) for transfer_id, text in json.loads(path.read_text())]


def fulfils(folder: str) -> dict[str, bytes]:
    """Returns the signed fulfils by transfer id. The result is empty if nothing was signed in advance."""
    path = Path(folder) / "fulfils"
    if not folder or not path.exists():
        return {}
    return {transfer_id: text.encode() for transfer_id, text in json.loads(path.read_text()).items()}


def _chunks(parties: Iterable[Parties]) -> Iterator[list[Parties]]:
    left = iter(parties)
    while chunk := list(islice(left, _CHUNK)):
        yield chunk


def _sign(folder: str, host: str, iso20022: bool, parties: Sequence[Parties]) -> list[Signed]:
    signed = Signer(folder, sorted({name for pair in parties for name in pair}))
    address, clock, form = host.encode(), messages.Clock(), form_of(iso20022)
    clock.tick()
    packets = {pair: cycle(form.pool(*pair)) for pair in set(parties)}
    found = []
    for payer, payee in parties:
        transfer_id, packet = str(uuid.uuid4()), next(packets[payer, payee])
        a, b, id = payer.encode(), payee.encode(), transfer_id.encode()
        post = signed(messages.prepare(address, a, b, packet, id, clock, form))
        # The fulfil has no completedTimestamp, because the timestamp would be too old when the message is sent.
        put = signed(messages.fulfil(address, b, a, packet.fulfilment, id, clock, says_when=False, form=form))
        found.append((transfer_id, post.decode(), put.decode()))
    return found
