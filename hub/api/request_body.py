"""Checks the size and encoding of a request, before its body is parsed (FSPIOP API v1.1, section 3.2.1).

This module reads the stream of the web server, because Django would keep the bytes in its request object.
"""

import threading
import time
from collections.abc import Iterator

from django.conf import settings
from django.http import HttpRequest

from fspiop import strictjson
from fspiop.errors import ErrorCode, FspiopError

MAX_HEAD_BYTES = 65_536
_NAME_AND_VALUE = len(": \r\n")
# glibc returns a memory block to the operating system only if the block is larger than a certain size
# (`hub.process_tuning`). A piece is larger than this size. With smaller pieces, each of sixteen threads would keep up
# to 10 MB of memory.
_PIECE = 262_144
OCTETS_READ = "kitovu.octets_read"
"""Under this key, the WSGI environment contains a number: how many bytes of the body the hub has read."""
_passing_over = threading.BoundedSemaphore(16)


def check_head(request: HttpRequest) -> None:
    """Refuses headers of more than 64 KiB in total."""
    size = sum(
        len(name) + len(value) + _NAME_AND_VALUE for name, value in request.META.items() if name.startswith("HTTP_")
    )
    if size > MAX_HEAD_BYTES:
        raise FspiopError(ErrorCode.TOO_LARGE_PAYLOAD, f"at most {MAX_HEAD_BYTES} bytes of headers")


def length_of(request: HttpRequest, most: int) -> int | None:
    """Returns the declared length of the body, or None if the body is chunked. Refuses a body that is longer than
    `most` bytes.

    Refuses a compressed body. Also refuses a request that declares a length but has a chunked body.
    """
    meta = request.META
    if meta.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise FspiopError(ErrorCode.MALFORMED_SYNTAX, "content-encoding: is not supported")
    length = meta.get("CONTENT_LENGTH") or ""
    if "HTTP_TRANSFER_ENCODING" in meta:
        if length:  # otherwise two programs could read two different bodies from one request
            raise FspiopError(ErrorCode.MALFORMED_SYNTAX, "content-length: must not be combined with transfer-encoding")
        return None
    if not length:
        return 0
    if not (length.isascii() and length.isdecimal()):
        raise FspiopError(ErrorCode.MALFORMED_SYNTAX, "content-length: must be a number")
    if len(length) > 18 or int(length) > most:
        raise _too_large(most)
    return int(length)


def body_of(request: HttpRequest, length: int | None, most: int) -> bytes:
    """Returns the request's body. `length` is the result of `length_of`. The larger `most` is, the more JSON values the
    function allows in a body."""
    if length == 0:
        return b""
    began = time.monotonic()
    body = _taken_in(request, most + 1 if length is None else length, most // strictjson.OCTETS_OF_A_VALUE)
    if length is None and len(body) > most:
        raise _too_large(most)
    if time.monotonic() - began > settings.BODY_DEADLINE_S:
        raise FspiopError(
            ErrorCode.CLIENT_ERROR, f"the body was not received within {settings.BODY_DEADLINE_S} s", http_status=408
        )
    if length is not None and len(body) < length:
        raise FspiopError(ErrorCode.MALFORMED_SYNTAX, "the body ended before its Content-Length")
    return body


def pass_over(request: HttpRequest, most: int) -> None:
    """Reads and discards the body of a refused request. Some senders read the response only after they have sent the
    whole body. The hub reads only a few such bodies at a time, because the senders are not authenticated, and their
    bodies can arrive slowly. The bodies of all other refused requests stay unread.
    """
    if not _passing_over.acquire(blocking=False):
        return
    try:
        for _ in _pieces_of(request, most):
            pass
    finally:
        _passing_over.release()


def _taken_in(request: HttpRequest, most: int, most_values: int) -> bytes:
    # The hub reads the body in pieces. If the hub read the whole body by one call, each of granian's threads would keep
    # memory for a whole body. If a body has several pieces, the hub checks each piece before it reads the next piece.
    pieces: list[bytes] = []
    structure = strictjson.Structure(most_values=most_values)
    arriving = _pieces_of(request, most)
    try:
        for piece in arriving:
            pieces.append(piece)
            if len(pieces) == 2:
                structure.check(pieces[0])
            if len(pieces) >= 2:
                structure.check(piece)
    except FspiopError:
        pieces.clear()
        for _ in arriving:  # the sender perhaps reads the response only after it has sent the whole body
            pass
        raise
    if len(pieces) > 1:
        return b"".join(pieces)
    body = pieces[0] if pieces else b""
    if len(body) > most_values:  # each value takes at least one byte
        strictjson.check_structure(body, most_values=most_values)
    return body


def _pieces_of(request: HttpRequest, most: int) -> Iterator[bytes]:
    read, left = request.META["wsgi.input"].read, most
    while left > 0 and (piece := read(min(_PIECE, left))):
        left -= len(piece)
        request.META[OCTETS_READ] = request.META.get(OCTETS_READ, 0) + len(piece)
        yield piece


def _too_large(most: int) -> FspiopError:
    return FspiopError(ErrorCode.TOO_LARGE_PAYLOAD, f"at most {most} bytes")
