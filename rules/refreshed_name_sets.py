"""A process's copy of a table of keys. The copy is at most half a second old. In most cases, a read of the copy does
not need an SQL statement.

Each change of the table gets a number, in the order in which the database commits the changes: see
`rules.lists.change_numbers`. A process reads the number of the latest change at most twice a second. If the number has
increased, the process also reads the changed keys. So a group of payments needs no SQL statement to find the names for
the payments' keys.

The copy has at most `MOST_KEYS` keys, about 12 MB. If the table has more keys, each call runs one SQL statement
instead.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from hub.sql_execution import execute
from rules.name_sets_by_key import KeySets

MOST_KEYS = 1_000_000
FRESH_S = 0.5
_TOO_OLD_S = 0.9
_PAGE = 20_000
_TOO_MANY_FOR_S = 600.0

_NUMBER = """
    SELECT number, transaction = coalesce(pg_current_xact_id_if_assigned()::text::bigint, -1)
    FROM rules_lists_changenumber WHERE name = %s
"""


class RefreshedKeySets:
    """The names in a table. Each name belongs to a key.

    `pages` are SQL statements. Each SQL statement returns a page of rows (key, name, id), sorted by key and id. The
    page begins after a given key and id, and has at most a given number of rows. `changed` returns the keys that
    changed after the change with a given number, and all names of each of these keys. `found` returns the names of
    given keys.
    """

    def __init__(self, change: str, *, pages: Sequence[str], changed: str, found: str) -> None:
        self._change, self._pages, self._changed, self._found = change, pages, changed, found
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Discards the copy, so that the next call reads the whole table."""
        self._sets: KeySets | None = None  # None if there is no copy, or if the table has too many keys for a copy
        self._number = -1
        self._read_at = self._load_again_at = float("-inf")

    def of(self, keys: Collection[int]) -> dict[int, frozenset[str]]:
        """Returns the names of these keys. Leaves out keys without names."""
        if not keys:
            return {}
        sets = self._fresh()
        if sets is None:
            return {key: frozenset(names) for key, names in execute(self._found, [list(keys)])}
        return {key: names for key in keys if (names := sets.get(key))}

    def _fresh(self) -> KeySets | None:
        age = time.monotonic() - self._read_at
        if age < FRESH_S:
            return self._sets
        # Only one thread at a time reads the changes. Meanwhile, other threads use the copy until the copy is too old.
        if not self._lock.acquire(blocking=age > _TOO_OLD_S):
            return self._sets
        try:
            if time.monotonic() - self._read_at >= FRESH_S:
                return self._refresh()
            return self._sets
        finally:
            self._lock.release()

    def _refresh(self) -> KeySets | None:
        now = time.monotonic()
        row = execute(_NUMBER, [self._change]).fetchone()
        number, is_own = row or (0, False)
        if is_own:
            return None  # this transaction can still roll back the change, so the copy must not contain it
        if self._sets is None or number < self._number:
            # From time to time, the process again reads a table with too many keys, because the table can have become
            # shorter.
            if number < self._number or now >= self._load_again_at:
                self._sets, self._load_again_at = self._load(), now + _TOO_MANY_FOR_S
        elif number > self._number:
            self._sets.update({key: frozenset(names) for key, names in execute(self._changed, [self._number])})
            if len(self._sets) > MOST_KEYS:
                self._sets, self._load_again_at = None, now + _TOO_MANY_FOR_S
        self._number, self._read_at = number, now
        return self._sets

    def _load(self) -> KeySets | None:
        names: dict[int, set[str]] = defaultdict(set)
        for key, name in self._rows():
            names[key].add(name)
            if len(names) > MOST_KEYS:
                return None
        return KeySets((key, frozenset(found)) for key, found in names.items())

    def _rows(self) -> Iterator[tuple[int, str]]:
        for page in self._pages:
            key, row_id = -1, 0
            while True:
                rows = execute(page, [key, row_id, _PAGE]).fetchall()
                yield from ((row[0], row[1]) for row in rows)
                if len(rows) < _PAGE:
                    break
                key, row_id = rows[-1][0], rows[-1][2]
