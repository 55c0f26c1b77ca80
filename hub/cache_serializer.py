"""Stores cache values as JSON, so that no value from Redis is ever executed."""

from typing import Any

import orjson


class JsonSerializer:
    """For Django's Redis cache, whose own serializer unpickles any value in Redis."""

    def dumps(self, value: Any) -> bytes | int:
        # Redis needs plain numbers for `incr`.
        return value if type(value) is int else orjson.dumps(value)

    def loads(self, stored: bytes) -> Any:
        try:
            return orjson.loads(stored)
        except orjson.JSONDecodeError:
            return None  # not written by this hub: treated as missing
