"""Long answers that are made as they are sent, and how many of them one caller and all callers may have open.

A download keeps a thread of the web server until its client has read it. Its rows are read in batches; between them it
has neither a place among the requests that work nor a connection to the database, however slowly it is read.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import TypeVar

from django.http import StreamingHttpResponse

from hub.concurrency_shares import Places, Sizes

T = TypeVar("T")

EACH = 3  # open downloads of one caller
_SIZES = Sizes(most=16, shared=8, share=EACH - 1, waiting=0, waiting_share=0)

_open = Places()


class Download(StreamingHttpResponse):
    """An answer in parts. NoPlace where this caller, or everybody, has as many open as may be."""

    def __init__(self, parts: Iterator[str], *, name: str, content_type: str, caller: Hashable) -> None:
        super().__init__(_Parts(parts, caller), content_type=content_type)
        self["Content-Disposition"] = f'attachment; filename="{name}"'


class _Parts:
    """The parts, and the place that is held until the response closes them."""

    def __init__(self, parts: Iterator[str], caller: Hashable) -> None:
        self._parts, self._held = parts, ExitStack()
        self._held.enter_context(_open.taken(caller, _SIZES))

    def __iter__(self) -> Iterator[str]:
        return self._parts

    def close(self) -> None:
        self._held.close()


def each_within(reading: Callable[[], AbstractContextManager[None]], batches: Iterable[T]) -> Iterator[T]:
    """The batches, each fetched within `reading`; what is done with it comes after that."""
    left = iter(batches)
    while True:
        with reading():
            batch = next(left, None)
        if batch is None:
            return
        yield batch
