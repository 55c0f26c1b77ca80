"""Finds the committed transactions that refunds give back. The ledger has them, and says how to read them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from rules.facts import Facts
from rules.language.counter_needs import Need
from rules.profiles.counters import Original
from rules.profiles.subjects import asks_for

Read = Callable[[Sequence[str]], Mapping[str, Original]]

_readers: list[Read] = []


def come_from(read: Read) -> None:
    """Sets the function that returns the committed ones of these transactions, by their ids, with one statement."""
    _readers[:] = [read]


def of(facts: Iterable[Facts], needs: Collection[Need]) -> Mapping[str, Original]:
    """Returns the originals of those of these payments that are refunds. No statement where no rule asks for them."""
    if not asks_for(needs, "found", "parties_swapped", "within_original", "since_original"):
        return {}
    ids = {each.refund_of for each in facts if each.refund_of is not None}
    return _readers[0](sorted(ids)) if ids else {}
