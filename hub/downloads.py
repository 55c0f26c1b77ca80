"""Long responses that the hub generates while it sends them. The number of open downloads is limited, for each caller
and for all callers together.

A download occupies a thread of the web server until the client has read the whole download. A download reads its
database rows in batches. Between two batches, a download holds no database connection and does not count as a running
request, even if the client reads slowly.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import TypeVar

from django.http import StreamingHttpResponse

from hub.concurrency_shares import Places, Sizes

T = TypeVar("T")

EACH = 3  # how many open downloads one caller can have
_SIZES = Sizes(most=16, shared=8, share=EACH - 1, waiting=0, waiting_share=0)

_open = Places()


class Download(StreamingHttpResponse):
    """A download: a response that is sent in parts.

    Raises NoPlace if too many downloads are open, either of this caller or of all callers together.
    """

    def __init__(
        self, parts: Iterator[str] | Iterator[bytes], *, name: str, content_type: str, caller: Hashable
    ) -> None:
        super().__init__(_Parts(parts, caller), content_type=content_type)
        self["Content-Disposition"] = f'attachment; filename="{name}"'


class _Parts:
    """The parts of a download. The download counts as open until its response calls `close`."""

    def __init__(self, parts: Iterator[str] | Iterator[bytes], caller: Hashable) -> None:
        self._parts, self._held = parts, ExitStack()
        self._held.enter_context(_open.taken(caller, _SIZES))

    def __iter__(self) -> Iterator[str] | Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        self._held.close()


def each_within(reading: Callable[[], AbstractContextManager[None]], batches: Iterable[T]) -> Iterator[T]:
    """Yields the batches. The context `reading` is active while a batch is read, and ends before the batch is
    yielded."""
    left = iter(batches)
    while True:
        with reading():
            batch = next(left, None)
        if batch is None:
            return
        yield batch
