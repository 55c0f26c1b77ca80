"""Compares a DFSP's books with the hub's statement, and returns the differences. Pure functions, without I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Result(StrEnum):
    """The result for one transfer, conversion, movement of funds or settlement. EQUAL, OPEN and UNCHECKED are not
    faults.
    """

    EQUAL = "EQUAL"
    OPEN = "OPEN"  # still open on at least one side; a later comparison shows the end
    UNCHECKED = "UNCHECKED"  # this connector has no record that it could compare with the hub's record
    NOT_HERE = "NOT_HERE"  # only the hub has the record
    NOT_AT_HUB = "NOT_AT_HUB"  # this connector has committed the transfer, and the hub does not have the transfer
    STATES_DIFFER = "STATES_DIFFER"  # one side has committed the transfer, and the other side has aborted it
    AMOUNTS_DIFFER = "AMOUNTS_DIFFER"


LONGEST = timedelta(days=1)
"""The longest time between the `at` of the hub's record and the `at` of this connector's record."""
FAULTS = frozenset(Result) - {Result.EQUAL, Result.OPEN, Result.UNCHECKED}
_ENDS = frozenset({"COMMITTED", "ABORTED"})


@dataclass(frozen=True, slots=True)
class Side:
    """One side's record of a transfer: the hub's record, or this connector's record. `state` is RESERVED, COMMITTED or
    ABORTED.

    In the hub's record, `at` is the time at which the hub received the transfer. In this connector's record, `at` is
    the time at which an outgoing payment began or an incoming transfer arrived. The values of `at` in the two records
    differ by less than LONGEST.
    """

    state: str
    amount: str
    currency: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two records of one transfer, conversion, movement of funds or settlement: the record of the hub, and the record
    of this connector.

    `direction` is OUT if this DFSP pays, and IN if this DFSP receives the money. For a conversion, `direction` is this
    DFSP's role.
    """

    transfer_id: str
    direction: str
    result: Result
    at_hub: Side | None
    here: Side | None


Key = tuple[str, str]
"""Transfer id and direction. A payment between two customers of one DFSP has both directions."""


def compare(at_hub: Mapping[Key, Side], here: Mapping[Key, Side], *, since: str, until: str) -> list[Compared]:
    """Returns the result for each transfer between these times, with the faults first.

    `at_hub` must have the hub's records of the period that begins LONGEST before `since` and ends now. `here` must have
    all the connector's records that have changed in the same period.
    """
    keys = {key for key, side in at_hub.items() if since <= side.at < until}
    keys |= {key for key, side in here.items() if key not in at_hub and since <= side.at < until}
    found = [
        Compared(*key, _result(at_hub.get(key), here.get(key)), at_hub.get(key), here.get(key)) for key in sorted(keys)
    ]
    return sorted(found, key=lambda compared: compared.result not in FAULTS)


def committed_at_hub(found: Iterable[Compared]) -> dict[tuple[str, str], list[str]]:
    """Returns the total amounts that the hub has committed, by direction and currency."""
    amounts: dict[tuple[str, str], list[str]] = {}
    for compared in found:
        side = compared.at_hub
        if side is not None and side.state == "COMMITTED":
            amounts.setdefault((compared.direction, side.currency), []).append(side.amount)
    return amounts


def _result(at_hub: Side | None, here: Side | None) -> Result:
    if at_hub is None:
        assert here is not None
        # Only this connector has a record of the payment. Either it has just sent the payment, or the payment ended
        # before the hub got a transfer.
        return {"COMMITTED": Result.NOT_AT_HUB, "ABORTED": Result.EQUAL}.get(here.state, Result.OPEN)
    if here is None:
        # If the hub refused a transfer, or if the transfer expired, this connector may have no record of it. Such a
        # transfer moved no money.
        return {"COMMITTED": Result.NOT_HERE, "ABORTED": Result.EQUAL}.get(at_hub.state, Result.OPEN)
    if (at_hub.amount, at_hub.currency) != (here.amount, here.currency):
        return Result.AMOUNTS_DIFFER
    if at_hub.state in _ENDS and here.state in _ENDS:
        return Result.EQUAL if at_hub.state == here.state else Result.STATES_DIFFER
    return Result.OPEN
