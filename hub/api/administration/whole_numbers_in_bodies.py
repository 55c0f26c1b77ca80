"""Reads whole numbers in the administration and settlement APIs. For example, clients can send the number 8 as 8, 8.0,
"8" or "8.0"."""

import re
from typing import Any

_WHOLE = re.compile(r"(?P<whole>[0-9]{1,19})(?:\.0+)?\Z")


class WholeNumber(int):
    """The type of an element in a body whose value must be a whole number. Each subclass sets the smallest and the
    largest allowed number."""

    LEAST = 0
    MOST = 2**63 - 1


class Percentage(WholeNumber):
    MOST = 100


def whole_number(value: object) -> int | None:
    """Converts a number or a text into a whole number. Returns None if the value is not a whole number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, int):
        return value
    found = _WHOLE.match(value) if isinstance(value, str) else None
    return int(found["whole"]) if found else None


def decode(kind: type, value: object) -> Any:
    """Reads a `WholeNumber` for the library msgspec, which does not know this type."""
    if not issubclass(kind, WholeNumber):
        # msgspec expects this error if the hook does not know the type.
        raise NotImplementedError(f"no element is a {kind}")
    number = whole_number(value)
    if number is None:
        got = "null" if value is None else type(value).__name__
        raise TypeError(f"Expected `a whole number`, got `{got}`")  # `fspiop.bodies` reads error texts of this form
    if number < kind.LEAST:
        raise ValueError(f"Expected `int` >= {kind.LEAST}")
    if number > kind.MOST:
        raise ValueError(f"Expected `int` <= {kind.MOST}")
    return kind(number)


def describe(kind: type) -> dict[str, Any]:
    """Returns the JSON schema of a `WholeNumber`."""
    if not issubclass(kind, WholeNumber):
        raise NotImplementedError(f"no element is a {kind}")
    return {
        "anyOf": [
            {"type": "integer", "minimum": kind.LEAST, "maximum": kind.MOST},
            {"type": "string", "pattern": r"^[0-9]{1,19}(\.0+)?$"},
        ]
    }
