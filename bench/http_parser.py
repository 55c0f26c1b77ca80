"""A minimal HTTP/1.1 parser.

The parser uses little CPU for each message, because the bench runs on the hub's machine.
"""

from typing import NamedTuple


class Message(NamedTuple):
    """A request or a response: the first line, the other header lines, and the body."""

    start: bytes
    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        """The status of a response, such as 202 for 'HTTP/1.1 202 Accepted'."""
        return int(self.start[9:12])


class Reader:
    """Receives bytes and returns complete messages.

    A message that has neither Content-Length nor chunks has no body. The parser does not support a body that ends only
    when the connection closes.
    """

    def __init__(self) -> None:
        self._left = b""

    def feed(self, octets: bytes) -> list[Message]:
        """Adds received bytes, and returns the messages that are complete now.

        Raises ValueError if a length is not a number.
        """
        buffer = self._left + octets if self._left else octets
        found: list[Message] = []
        at = 0
        while (end := buffer.find(b"\r\n\r\n", at)) >= 0:
            start, _, head = buffer[at:end].partition(b"\r\n")
            body, after = _body(buffer, end + 4, head)
            if after < 0:
                break
            found.append(Message(start, head, body))
            at = after
        self._left = buffer[at:]
        return found


def header(head: bytes, name: bytes) -> bytes | None:
    """Returns the value of the header with this lower-case name."""
    lines = b"\r\n" + head
    at = lines.lower().find(b"\r\n" + name + b":")
    if at < 0:
        return None
    at += len(name) + 3
    end = lines.find(b"\r\n", at)
    return lines[at : len(lines) if end < 0 else end].strip()


def _body(buffer: bytes, at: int, head: bytes) -> tuple[bytes, int]:
    """Returns the body that begins at position `at`, and the position of the next message.

    The position is -1 if the body is incomplete.
    """
    length = header(head, b"content-length")
    if length is not None:
        end = at + int(length)
        return (buffer[at:end], end) if end <= len(buffer) else (b"", -1)
    if header(head, b"transfer-encoding") == b"chunked":
        return _chunks(buffer, at)
    return b"", at


def _chunks(buffer: bytes, at: int) -> tuple[bytes, int]:
    parts: list[bytes] = []
    while (end := buffer.find(b"\r\n", at)) >= 0:
        size = int(buffer[at:end].split(b";")[0], 16)
        after = end + 2 + size
        if len(buffer) < after + 2:
            break
        if size == 0:
            return b"".join(parts), after + 2
        parts.append(buffer[end + 2 : after])
        at = after + 2
    return b"", -1
