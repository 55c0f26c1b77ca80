"""Finds the original payments of refunds. The ledger sets the function with which this module reads committed
payments."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from msgspec.structs import replace

from rules.facts import Facts
from rules.language.counter_types import Need
from rules.profiles.counters import Original
from rules.profiles.profiles_of_payment import asks_for, is_refund


class Read(Protocol):
    """A function that returns the committed payment that each of these refunds names, or None. The function runs one
    SQL statement.

    With `until`, the function returns only payments that were committed until this time.
    """

    def __call__(self, refunds: Sequence[Facts], *, until: datetime | None = None) -> Sequence[Original | None]: ...


_readers: list[Read] = []


def come_from(read: Read) -> None:
    """Sets the function that reads the original payments."""
    _readers[:] = [read]


def are_needed(needs: Collection[Need]) -> bool:
    """Returns whether the rules read facts about original payments."""
    return asks_for(needs, "found", "parties_swapped", "within_original", "since_original")


def of(facts: Sequence[Facts], *, until: datetime | None = None) -> tuple[list[Facts], Mapping[str, Original]]:
    """Finds the original payments of those payments that are refunds. Returns the facts with the ids of the original
    payments, and the original payments by transfer id.

    If no payment is a refund, runs no SQL statement.
    """
    refunds = [each for each in facts if _names_original(each)]
    if not refunds:
        return list(facts), {}
    found = _readers[0](refunds, until=until)
    originals = iter(found)
    named = [_naming(each, next(originals)) if _names_original(each) else each for each in facts]
    return named, {original.transfer_id: original for original in found if original is not None}


def _names_original(facts: Facts) -> bool:
    return facts.refund_of is not None and is_refund(facts)


def _naming(refund: Facts, original: Original | None) -> Facts:
    if original is None:
        return replace(refund, original=None, original_transaction=None)
    return replace(refund, original=original.transfer_id, original_transaction=original.transaction_id)
