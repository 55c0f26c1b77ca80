"""Decides whether a hold ends in time: whether the payee can still answer after the hold. Pure.

A held transfer is reserved like any other transfer. When the hold ends, or when a person releases the transfer, the hub
sends the transfer's POST to the payee. If a held transfer expires during its hold, or if a person refuses the transfer,
the hub aborts it. If the hub aborts a held transfer, the payee receives nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

TIME_TO_ANSWER = timedelta(seconds=5)
"""The shortest time that the payee must have between a transfer's release and the transfer's expiration."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The hold of a transfer: the end of the hold, the version of the scheme's rules that requires the hold, and the id
    of the transfer's quote."""

    until: datetime
    rules_version: int
    quote_id: str | None = None  # None if the quote did not pass through this hub


def ends_in_time(until: datetime, expires_at: datetime) -> bool:
    """Returns whether the payee would have enough time for its answer if the hub released the transfer at `until`."""
    return until + TIME_TO_ANSWER <= expires_at
