"""What the cache holds is JSON: nothing that is read from Redis is ever run."""

from typing import Any

import orjson


class JsonSerializer:
    """For Django's Redis cache, whose own serializer unpickles whatever somebody wrote there."""

    def dumps(self, value: Any) -> bytes | int:
        # Redis counts in plain numbers: `incr` needs one.
        return value if type(value) is int else orjson.dumps(value)

    def loads(self, stored: bytes) -> Any:
        try:
            return orjson.loads(stored)
        except orjson.JSONDecodeError:
            return None  # not ours: as if it were not there
