"""Reads the messages that `bench.presign` signed before the load began.

One file has the first message of each transfer or payment, in the order of sending. In addition, each DFSP has a file
with its further messages, which are answers to other messages.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from bench.http_parser import Message, header

FIRSTS = "firsts"


def answers_file(name: str) -> str:
    """Returns the name of the file with this DFSP's answers."""
    return f"{name}.answers"


def firsts(folder: str) -> list[tuple[str, bytes]]:
    """Returns the id and the first message of each transfer or payment.

    The result is empty if nothing was signed in advance.
    """
    return [(payment_id, text.encode()) for payment_id, text in _lines(folder, FIRSTS)]


def answers(folder: str, name: str) -> dict[str, dict[str, bytes]]:
    """Returns this DFSP's answers: for each transfer or payment, the answers by the digest of the answered message.

    The result is empty if nothing was signed in advance.
    """
    found: dict[str, dict[str, bytes]] = {}
    for payment_id, answered, text in _lines(folder, answers_file(name)):
        found.setdefault(payment_id, {})[answered] = text.encode()
    return found


def digest(message: Message) -> str:
    """Returns a digest of a received message.

    The digest covers the method, the path, the sender and the body, which a hub must not change. The digest does not
    cover other headers, because a hub may add headers.
    """
    parts = (message.start.rpartition(b" ")[0], header(message.head, b"fspiop-source") or b"", message.body)
    return hashlib.blake2b(b"\n".join(parts), digest_size=16).hexdigest()


def _lines(folder: str, name: str) -> Iterator[list[str]]:
    path = Path(folder) / name
    if folder and path.exists():
        with path.open() as file:
            yield from map(json.loads, file)
