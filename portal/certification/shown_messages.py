"""The messages of a case, in the form that pages and reports show."""

import json
import math
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

_LONGEST_BODY = 4_000
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One message, with the response to this message. `at` is in seconds since 1970. `way` is the message's route."""

    at: float
    sender: str
    recipient: str
    way: str  # "hub": through the hub; "direct": from the certifier to the DFSP, like a message from a hub
    method: str
    path: str
    status: int  # the HTTP status of the response; 0 if there was no response
    is_signed: bool
    body: str
    answer: str = ""  # the error in the response

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def shown(body: bytes) -> str:
    """Returns a body as indented JSON. If a body is not JSON, returns the body as text. If a body is long, only its
    beginning is returned."""
    text = body.decode(errors="replace")
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return text if len(text) <= _LONGEST_BODY else f"{text[:_LONGEST_BODY]} …"


def storable(value: Any) -> Any:
    """Returns a copy of JSON data. In the copy, NUL, half surrogates and NaN are replaced by text, because PostgreSQL
    cannot store these values."""
    match value:
        case str():
            return _UNSTORABLE.sub("\ufffd", value)
        case dict():
            return {storable(name): storable(each) for name, each in value.items()}
        case list() | tuple():
            return [storable(each) for each in value]
        case float() if not math.isfinite(value):
            return str(value)
    return value


def at(stored: dict[str, Any]) -> datetime:
    """Returns the time of a stored message."""
    return datetime.fromtimestamp(stored["at"], UTC)
