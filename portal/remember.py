"""Figures that many look at are made once in some seconds, not once for each who looks."""

from collections.abc import Callable
from typing import TypeVar

from django.core.cache import cache
from redis.exceptions import RedisError

T = TypeVar("T")


def for_seconds(seconds: int, key: str, make: Callable[[], T]) -> T:
    """What `make` returned at most `seconds` ago. Without the cache it is made each time."""
    try:
        found: T | None = cache.get(key)
        if found is None:
            found = make()
            cache.set(key, found, timeout=seconds)
    except (RedisError, OSError):
        return make()
    return found
