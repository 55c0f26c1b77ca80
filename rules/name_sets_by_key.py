"""Sets of names for many keys. A key needs twelve bytes of memory. This module does not use Django or a database."""

import heapq
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from operator import itemgetter

NOTHING: frozenset[str] = frozenset()
_FEW = 20_000


class KeySets:
    """A mapping from 63-bit keys to sets of names. The mapping does not contain keys with an empty set.

    Sorted arrays contain most of the keys. A dict contains the keys that changed later. When the dict is large, the
    class merges the arrays and the dict into new arrays. One thread changes the mapping while other threads read the
    mapping. No step of a change takes long without letting other threads run.
    """

    def __init__(self, rows: Iterable[tuple[int, frozenset[str]]] = ()) -> None:
        """The rows must be sorted by key."""
        self._parts = _arrays_of(rows)
        self._changed: dict[int, frozenset[str]] = {}

    def __len__(self) -> int:
        return len(self._parts[0]) + len(self._changed)

    def get(self, key: int) -> frozenset[str]:
        # Another thread can replace both the arrays and the dict at any time. The other thread replaces the arrays
        # before the dict, so a reader finds each change either in the arrays or in the dict.
        changed = self._changed
        keys, numbers, sets = self._parts
        found = changed.get(key)
        if found is not None:
            return found
        place = bisect_left(keys, key)
        if place < len(keys) and keys[place] == key:
            return sets[numbers[place]]
        return NOTHING

    def update(self, changes: Mapping[int, frozenset[str]]) -> None:
        """Replaces the sets of these keys."""
        self._changed.update(changes)
        if len(self._changed) > max(_FEW, len(self._parts[0]) // 8):
            self._merge()

    def _merge(self) -> None:
        keys, numbers, sets = self._parts
        kept = ((key, sets[number]) for key, number in zip(keys, numbers, strict=True) if key not in self._changed)
        changed = sorted(self._changed.items(), key=itemgetter(0))
        self._parts = _arrays_of(heapq.merge(kept, changed, key=itemgetter(0)))
        self._changed = {}


_Parts = tuple["array[int]", "array[int]", list[frozenset[str]]]


def _arrays_of(rows: Iterable[tuple[int, frozenset[str]]]) -> _Parts:
    """Returns three values: the keys, an index into the sets for each key, and the list of different sets. The rows
    must be sorted by key. Leaves out keys with an empty set."""
    numbers: dict[frozenset[str], int] = {}
    keys, places = array("q"), array("I")
    for key, names in rows:
        if names:
            keys.append(key)
            places.append(numbers.setdefault(names, len(numbers)))
    return keys, places, list(numbers)
