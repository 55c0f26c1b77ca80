"""Decides how long a transfer is held before the hub sends it to the payee. Pure.

A held transfer is reserved like any other transfer. The hub sends a held transfer's POST to the payee when the hold's
time ends, or when a person releases the transfer. If a held transfer expires during its hold, or if a person refuses
it, the hub aborts the transfer. If the hub aborts a held transfer, the payee receives nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

TIME_TO_ANSWER = timedelta(seconds=5)
"""The time that the payee must have between the release of a transfer and the transfer's expiration."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The hold of a transfer, with the time when it ends and the version of the scheme's rules that requires it."""

    until: datetime
    rules_version: int


def ends_in_time(until: datetime, expires_at: datetime) -> bool:
    """Returns whether the payee would have enough time to answer a transfer that is released at `until`."""
    return until + TIME_TO_ANSWER <= expires_at
