"""Computes the ids that ISO 20022 messages have."""

import hashlib
from datetime import datetime
from typing import Any

from fspiop import correlation_ids, strictjson


def message_id(*content: Any, date: datetime) -> str:
    """Returns an id that depends only on the message's time and content, so that a repeated message has the same id."""
    said = hashlib.sha256(strictjson.canonical(list(content))).digest()
    return correlation_ids.ulid(int(date.timestamp() * 1000), int.from_bytes(said, "big"))
