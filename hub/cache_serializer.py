"""Stores cache values as JSON, so that no value from Redis is ever executed."""

from typing import Any

import orjson


class JsonSerializer:
    """Replaces the serializer of Django's Redis cache, because Django's own serializer would unpickle any value in
    Redis."""

    def dumps(self, value: Any) -> bytes | int:
        # The Redis command INCR works only with plain numbers.
        return value if type(value) is int else orjson.dumps(value)

    def loads(self, stored: bytes) -> Any:
        try:
            return orjson.loads(stored)
        except orjson.JSONDecodeError:
            return None  # another program wrote this value, so it counts as missing
