"""What an invariant of the ledger is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invariant:
    """A sentence that must hold, and the SQL that returns the rows where it does not."""

    name: str
    sentence: str
    broken_rows: str
