"""A process's copy of a table of keys. The copy is at most half a second old. In most cases, a read of the copy does
not need an SQL statement.

Each change of the table gets a number, in the order in which the database commits the changes: see
`rules.lists.change_numbers`. A process reads the number of the latest change at most twice a second. If the number has
increased, a thread reads the changed keys. Until the thread has finished, each call runs one SQL statement that reads
only the names of the call's own keys. So no payment waits for the copy, and each payment sees every change within half
a second.

The copy has at most `MOST_KEYS` keys, about 12 MB. If the table has more keys, each call runs one SQL statement
instead.
"""

import heapq
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter

import structlog
from django.db import DatabaseError, connection

from hub.sql_execution import execute, is_of_some_rows
from rules.name_sets_by_key import KeySets

log = structlog.get_logger("rules")

MOST_KEYS = 1_000_000
FRESH_S = 0.5
_PAGE = 2_000  # while psycopg reads the rows of a page, no other thread can compute
_TOO_MANY_FOR_S = 600.0
_AFTER_ERROR_S = 5.0

_NUMBER = """
    SELECT number, transaction = coalesce(pg_current_xact_id_if_assigned()::text::bigint, -1)
    FROM rules_lists_changenumber WHERE name = %s
"""


class _Copy:
    """The state of a copy. Several threads can read and replace the attributes at the same time."""

    def __init__(self) -> None:
        self.sets: KeySets | None = None  # None if there is no copy, or if the table has too many keys for a copy
        self.number = -1  # the copy contains the changes up to the change with this number
        self.checked_at = float("-inf")  # the latest time at which the copy contained all changes
        self.wait_until = float("-inf")  # until this time, no thread reads the table
        self.refreshing = threading.Lock()  # locked while a thread reads the table


class RefreshedKeySets:
    """The names in a table. Each name belongs to a key.

    `pages` are SQL statements. Each SQL statement returns a page of rows (key, name, id), sorted by key and id. The
    page begins after a given key and id, and has at most a given number of rows. `changed` returns the keys that
    changed after the change with a given number, sorted by key, and all names of each of these keys. `found` returns
    the names of given keys.
    """

    def __init__(self, change: str, *, pages: Sequence[str], changed: str, found: str) -> None:
        self._change, self._pages, self._changed, self._found = change, pages, changed, found
        self._copy = _Copy()

    def forget(self) -> None:
        """Discards the copy, so that the next call reads the table again."""
        self._copy = _Copy()

    def begin_to_load(self) -> None:
        """Begins to read the table in a thread, so that the first payments of the process soon find a copy."""
        self._refresh_in_a_thread(self._copy)

    def of(self, keys: Collection[int]) -> dict[int, frozenset[str]]:
        """Returns the names of these keys. Leaves out keys without names."""
        if not keys:
            return {}
        sets = self._current()
        if sets is None:
            return {key: frozenset(names) for key, names in execute(self._found, [list(keys)])}
        return {key: names for key in keys if (names := sets.get(key))}

    def _current(self) -> KeySets | None:
        """Returns the copy. If the copy does not contain all changes, begins to refresh the copy and returns None."""
        copy, now = self._copy, time.monotonic()
        number, sets = copy.number, copy.sets
        if now - copy.checked_at < FRESH_S:
            return sets
        if now < copy.wait_until or copy.refreshing.locked():
            return None
        latest, is_own = self._latest()
        if is_own:
            return None  # this transaction can still roll back the change, so the copy must not contain it
        if latest == 0:
            copy.sets, copy.number = KeySets(), 0  # the table has never had a row
        elif sets is None or latest != number:
            self._refresh_in_a_thread(copy)
            return None
        copy.checked_at = now
        return copy.sets

    def _latest(self) -> tuple[int, bool]:
        """Returns the number of the latest change, and whether this database transaction made the change."""
        row = execute(_NUMBER, [self._change]).fetchone()
        return (row[0], row[1]) if row is not None else (0, False)

    def _refresh_in_a_thread(self, copy: _Copy) -> None:
        if not copy.refreshing.acquire(blocking=False):
            return
        try:
            threading.Thread(target=self._refresh, args=(copy,), name=f"copy of {self._change}", daemon=True).start()
        except BaseException:
            copy.refreshing.release()  # the thread that would release the lock has not started
            raise

    def _refresh(self, copy: _Copy) -> None:
        try:
            self._read_changes(copy)
        except Exception:
            # Whatever the fault is, payments do not need the copy: each call runs an SQL statement instead.
            copy.wait_until = time.monotonic() + _AFTER_ERROR_S
            log.warning("copy_can_not_be_refreshed", change=self._change, exc_info=True)
        finally:
            copy.refreshing.release()
            connection.close()

    def _read_changes(self, copy: _Copy) -> None:
        # The number is read before the keys, so that the copy contains this change.
        now, (latest, _) = time.monotonic(), self._latest()
        if copy.sets is None or latest < copy.number or not self._update(copy.sets, copy.number):
            copy.sets = self._load() if latest else KeySets()
        if copy.sets is not None and len(copy.sets) > MOST_KEYS:
            copy.sets = None
        if copy.sets is None:
            # From time to time, a thread reads the table again, because the table can have become shorter.
            copy.wait_until = now + _TOO_MANY_FOR_S
        copy.number, copy.checked_at = latest, now

    def _update(self, sets: KeySets, number: int) -> bool:
        """Reads the keys that changed after this change. Returns False if one SQL statement cannot read all these keys
        in time."""
        shared: dict[tuple[str, ...], frozenset[str]] = {}
        try:
            changed = {
                key: shared.setdefault(tuple(names), frozenset(names))
                for key, names in execute(self._changed, [number])
            }
        except DatabaseError as error:
            if not is_of_some_rows(error):
                raise
            return False
        sets.update(changed)
        return True

    def _load(self) -> KeySets | None:
        rows = heapq.merge(*map(self._rows, self._pages), key=itemgetter(0))
        by_key = ((key, frozenset(name for _, name in group)) for key, group in groupby(rows, key=itemgetter(0)))
        sets = KeySets(islice(by_key, MOST_KEYS + 1))
        return sets if len(sets) <= MOST_KEYS else None

    def _rows(self, page: str) -> Iterator[tuple[int, str]]:
        key, row_id = -1, 0
        while True:
            rows = execute(page, [key, row_id, _PAGE]).fetchall()
            yield from ((row[0], row[1]) for row in rows)
            if len(rows) < _PAGE:
                break
            key, row_id = rows[-1][0], rows[-1][2]
