"""Correlation IDs: lower-case UUIDs and, from version 2.0, ULIDs (FSPIOP API v1.1, section 7.2.16; v2.0, 7.3.8)."""

import re
import secrets
import time
import uuid

CORRELATION_ID = (
    r"^(?:[0-9a-f]{8}-[0-9a-f]{4}-[1-7][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|[0-9A-HJKMNP-TV-Z]{26})\Z"
)

_CORRELATION_ID = re.compile(CORRELATION_ID)
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_LENGTH = 26
_RANDOM_BITS = 80


def is_correlation_id(text: str) -> bool:
    """Returns whether the API accepts this text as an ID."""
    return _CORRELATION_ID.match(text) is not None


def new_uuid() -> str:
    """Returns a random UUID."""
    return str(uuid.uuid4())


def new_ulid() -> str:
    """Returns a new ULID with the current time."""
    return ulid(time.time_ns() // 1_000_000, secrets.randbits(_RANDOM_BITS))


def ulid(milliseconds: int, bits: int) -> str:
    """Returns a ULID in Crockford's base 32. The ULID contains 48 bits of time, then the lowest 80 bits of `bits`."""
    number = milliseconds << _RANDOM_BITS | bits & (1 << _RANDOM_BITS) - 1
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(5 * (_ULID_LENGTH - 1), -1, -5))
