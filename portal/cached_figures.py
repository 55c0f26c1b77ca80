"""Caches figures that many visitors read. Each process computes them once in some seconds, not for each visitor."""

from collections.abc import Callable
from typing import TypeVar

from django.core.cache import caches

T = TypeVar("T")


def for_seconds(seconds: int, key: str, make: Callable[[], T]) -> T:
    """The result of `make`, which is at most `seconds` old."""
    cache = caches["process"]
    found: T | None = cache.get(key)
    if found is None:
        found = make()
        cache.set(key, found, timeout=seconds)
    return found
