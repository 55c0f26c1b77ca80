"""Finds the original payments of refunds. The ledger sets the function with which this module reads committed
payments."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from rules.facts import Facts
from rules.language.counter_types import Need
from rules.profiles.counters import Original
from rules.profiles.profiles_of_payment import asks_for

Read = Callable[[Sequence[str]], Mapping[str, Original]]

_readers: list[Read] = []


def come_from(read: Read) -> None:
    """Sets the function that returns the committed payments with given transaction ids. The function runs one SQL
    statement."""
    _readers[:] = [read]


def of(facts: Iterable[Facts], needs: Collection[Need]) -> Mapping[str, Original]:
    """For those payments that are refunds, returns the original payments.

    If no rule needs originals, runs no SQL statement.
    """
    if not asks_for(needs, "found", "parties_swapped", "within_original", "since_original"):
        return {}
    ids = {each.refund_of for each in facts if each.refund_of is not None}
    return _readers[0](sorted(ids)) if ids else {}
