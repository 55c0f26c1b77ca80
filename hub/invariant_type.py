"""The type of an invariant of the ledger."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invariant:
    """An invariant: a sentence that must be true for all rows, and an SQL query that finds the rows for which the
    sentence is false."""

    name: str
    sentence: str
    broken_rows: str


def fits(fulfilment: str, condition: str) -> str:
    """Returns an SQL expression that is true if the transfer's condition is the SHA-256 of the fulfilment. If the
    fulfilment cannot be decoded, the expression is false."""
    octets = f"decode(translate({fulfilment}, '-_', '+/') || '=', 'base64')"
    hashed = f"rtrim(translate(encode(sha256({octets}), 'base64'), '+/', '-_'), '=')"
    # The expression checks the length and the characters separately. A single pattern for exactly 43 characters would
    # take six times as long.
    can_be_read = f"length({fulfilment}) = 43 AND {fulfilment} !~ '[^A-Za-z0-9_-]'"
    return f"CASE WHEN {can_be_read} THEN {hashed} = {condition} ELSE false END"
