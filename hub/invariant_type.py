"""The type of an invariant of the ledger."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invariant:
    """An invariant: a sentence that must be true for all rows, and the SQL that finds the rows that break it."""

    name: str
    sentence: str
    broken_rows: str


def fits(fulfilment: str, condition: str) -> str:
    """Returns SQL that is true if the condition is the SHA-256 of the fulfilment, and false if the fulfilment cannot be
    decoded."""
    octets = f"decode(translate({fulfilment}, '-_', '+/') || '=', 'base64')"
    hashed = f"rtrim(translate(encode(sha256({octets}), 'base64'), '+/', '-_'), '=')"
    # The SQL checks length and characters separately, because a pattern for 43 characters takes six times as long.
    can_be_read = f"length({fulfilment}) = 43 AND {fulfilment} !~ '[^A-Za-z0-9_-]'"
    return f"CASE WHEN {can_be_read} THEN {hashed} = {condition} ELSE false END"
