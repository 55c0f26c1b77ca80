"""Decides how long a transfer is held before the hub sends it to the payee. Pure.

A held transfer is reserved like any other. Its POST to the payee is sent when the clock or a person releases the
transfer. If the transfer expires first, or a person refuses it, it is aborted and the payee never hears of it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

TIME_TO_ANSWER = timedelta(seconds=5)
"""The time that the payee must have between the release of a transfer and the transfer's expiration."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A transfer of this batch is held until then, by a version of the scheme's rules."""

    until: datetime
    rules_version: int


def ends_in_time(until: datetime, expires_at: datetime) -> bool:
    """Returns whether the payee can still answer a transfer that is released then."""
    return until + TIME_TO_ANSWER <= expires_at
