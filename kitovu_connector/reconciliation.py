"""Compares the connector's transfers with the hub's statement. Pure: takes both sides, and returns the differences."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Result(StrEnum):
    """The result for one transfer. EQUAL and OPEN are no faults."""

    EQUAL = "EQUAL"
    OPEN = "OPEN"  # not ended on one side or on both; a later comparison shows the end
    NOT_HERE = "NOT_HERE"  # the hub has it, and this connector does not
    NOT_AT_HUB = "NOT_AT_HUB"  # this connector has committed it, and the hub does not have it
    STATES_DIFFER = "STATES_DIFFER"  # one side has committed it, and the other has aborted it
    AMOUNTS_DIFFER = "AMOUNTS_DIFFER"


LONGEST = timedelta(days=1)
"""How long before its expiration a transfer reaches the hub at most. Most transfers expire within a minute."""
FAULTS = frozenset(Result) - {Result.EQUAL, Result.OPEN}
_ENDS = frozenset({"COMMITTED", "ABORTED"})


@dataclass(frozen=True, slots=True)
class Side:
    """One side's record of a transfer. `state` is RESERVED, COMMITTED or ABORTED.

    `at` is when the hub received the transfer. In this connector's record it is a time at which the hub had received
    the transfer for less than LONGEST: when this DFSP's payment began, or when the transfer to this DFSP expires.
    """

    state: str
    amount: str
    currency: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """Both records of one transfer. `direction` is OUT if this DFSP pays, and IN if it is paid."""

    transfer_id: str
    direction: str
    result: Result
    at_hub: Side | None
    here: Side | None


Key = tuple[str, str]
"""Transfer id and direction. A payment between two customers of one DFSP has both directions."""


def compare(at_hub: Mapping[Key, Side], here: Mapping[Key, Side], *, since: str, until: str) -> list[Compared]:
    """Returns the result for each transfer between these times, the faults first.

    `at_hub` must begin LONGEST before `since`, and end now. `here` must have every record that has changed since then.
    """
    keys = {key for key, side in at_hub.items() if since <= side.at < until}
    keys |= {key for key, side in here.items() if key not in at_hub and since <= side.at < until}
    found = [
        Compared(*key, _result(at_hub.get(key), here.get(key)), at_hub.get(key), here.get(key)) for key in sorted(keys)
    ]
    return sorted(found, key=lambda compared: compared.result not in FAULTS)


def committed_at_hub(found: Iterable[Compared]) -> dict[tuple[str, str], list[str]]:
    """Returns the amounts that the hub has committed, by direction and currency."""
    amounts: dict[tuple[str, str], list[str]] = {}
    for compared in found:
        side = compared.at_hub
        if side is not None and side.state == "COMMITTED":
            amounts.setdefault((compared.direction, side.currency), []).append(side.amount)
    return amounts


def _result(at_hub: Side | None, here: Side | None) -> Result:
    if at_hub is None:
        assert here is not None
        # A payment that ended before its transfer reached the hub is only here. So is one that was just sent.
        return {"COMMITTED": Result.NOT_AT_HUB, "ABORTED": Result.EQUAL}.get(here.state, Result.OPEN)
    if here is None:
        # A transfer that the hub refused or that expired may never have been stored here, and no money moved.
        return {"COMMITTED": Result.NOT_HERE, "ABORTED": Result.EQUAL}.get(at_hub.state, Result.OPEN)
    if (at_hub.amount, at_hub.currency) != (here.amount, here.currency):
        return Result.AMOUNTS_DIFFER
    if at_hub.state in _ENDS and here.state in _ENDS:
        return Result.EQUAL if at_hub.state == here.state else Result.STATES_DIFFER
    return Result.OPEN
