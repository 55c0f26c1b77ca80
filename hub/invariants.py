"""What an invariant of the ledger is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invariant:
    """A sentence that must hold, and the SQL that returns the rows where it does not."""

    name: str
    sentence: str
    broken_rows: str


def fits(fulfilment: str, condition: str) -> str:
    """SQL that says whether this column's SHA-256 is that one; false of a fulfilment that cannot be read."""
    octets = f"decode(translate({fulfilment}, '-_', '+/') || '=', 'base64')"
    hashed = f"rtrim(translate(encode(sha256({octets}), 'base64'), '+/', '-_'), '=')"
    # Said so, and not by a pattern of 43 characters, which takes six times as long.
    can_be_read = f"length({fulfilment}) = 43 AND {fulfilment} !~ '[^A-Za-z0-9_-]'"
    return f"CASE WHEN {can_be_read} THEN {hashed} = {condition} ELSE false END"
