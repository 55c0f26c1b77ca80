"""Keeps the profiles of a replay in bounded memory. The module moves the least recently used profiles to a file."""

import sqlite3
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

from rules.profiles import events_and_buckets
from rules.profiles.events_and_buckets import Profile

MOST_EVENTS = 2_000_000
"""The largest number of payments that the profiles in memory contain. This number of payments uses about 400 MB."""
_WEIGHT = 4  # an empty profile uses as much memory as this number of events

_TABLES = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE profile (key INTEGER PRIMARY KEY, ring BLOB NOT NULL);
    CREATE TABLE paid (payer INTEGER, payee INTEGER, PRIMARY KEY (payer, payee)) WITHOUT ROWID;
"""


class BoundedProfiles(Mapping[int, Profile]):
    """A mapping from keys to all profiles of a replay. A profile that a replay has never used is empty.

    A caller may change a profile that this object has returned. But after the caller has read other profiles with
    `MOST_EVENTS` events in total, a change of the returned profile can be lost.
    """

    def __init__(self, most_events: int = MOST_EVENTS) -> None:
        self._most = most_events // 2
        # Two generations of profiles. When the new generation becomes too large, the new generation becomes the old
        # generation.
        self._new: dict[int, Profile] = {}
        self._old: dict[int, Profile] = {}
        self._weight = 0
        # With an empty name, SQLite creates a temporary file and deletes this file itself.
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.executescript(_TABLES)
        self._is_any_in_file = False
        self.paid_before = PaidBefore(self._file, most_events // 4)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __getitem__(self, key: int) -> Profile:
        profile = self._new.get(key)
        if profile is not None:
            return profile
        profile = self._old.pop(key, None)
        if profile is None:
            profile = self._read(key)
        self._new[key] = profile
        self.has_grown(_WEIGHT + len(profile.events))
        return profile

    def get(self, key: int, default: object = None) -> Profile:  # type: ignore[override]
        """Returns the profile with this key. If there is no profile with this key, creates an empty profile."""
        return self._new.get(key) or self[key]

    def __iter__(self) -> Iterator[int]:
        return iter({*self._new, *self._old, *(key for (key,) in self._file.execute("SELECT key FROM profile"))})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def has_grown(self, events: int = 1) -> None:
        """Adds this number to the count of payments in memory. If the count is too high, moves the older profiles to
        the file.
        """
        self._weight += events
        if self._weight > self._most:
            rows = [(key, events_and_buckets.to_bytes(profile)) for key, profile in self._old.items()]
            self._file.executemany("REPLACE INTO profile VALUES (?, ?)", rows)
            self._is_any_in_file = self._is_any_in_file or bool(rows)
            self._old, self._new, self._weight = self._new, {}, 0

    def _read(self, key: int) -> Profile:
        if self._is_any_in_file:
            row = self._file.execute("SELECT ring FROM profile WHERE key = ?", (key,)).fetchone()
            if row is not None:
                return events_and_buckets.from_bytes(row[0])
        return Profile()


class PaidBefore:
    """The pairs (payer, payee) that have a committed payment. Most pairs are stored in the file."""

    def __init__(self, file: sqlite3.Connection, most_pairs: int) -> None:
        self._file, self._most = file, most_pairs
        self._recent: set[tuple[int, int]] = set()  # pairs that are not yet in the file
        self._is_any_in_file = False

    def __contains__(self, pair: object) -> bool:
        if pair in self._recent or not self._is_any_in_file:
            return pair in self._recent
        statement = "SELECT 1 FROM paid WHERE payer = ? AND payee = ?"
        return self._file.execute(statement, pair).fetchone() is not None  # type: ignore[arg-type]

    def add(self, pair: tuple[int, int]) -> None:
        self._recent.add(pair)
        if len(self._recent) > self._most:
            self._file.executemany("INSERT OR IGNORE INTO paid VALUES (?, ?)", self._recent)
            self._recent, self._is_any_in_file = set(), True
