"""Figures that many look at are made once in some seconds by each process, not once for each who looks."""

from collections.abc import Callable
from typing import TypeVar

from django.core.cache import caches

T = TypeVar("T")


def for_seconds(seconds: int, key: str, make: Callable[[], T]) -> T:
    """What `make` returned at most `seconds` ago."""
    cache = caches["process"]
    found: T | None = cache.get(key)
    if found is None:
        found = make()
        cache.set(key, found, timeout=seconds)
    return found
