"""Keeps the profiles of a replay in bounded memory.

If the profiles in memory contain too many payments, the module encodes the least recently used profiles. An encoded
profile uses about a fifth of the memory. If the encoded profiles use too much memory, the module moves the older half
of them to a file.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

from rules.profiles import events_and_buckets
from rules.profiles.events_and_buckets import Profile

MOST_EVENTS = 2_000_000
"""The largest number of payments in the profiles that are not encoded. This number of payments uses about 500 MB."""
_WEIGHT = 2  # an empty profile uses as much memory as this number of events
MOST_BYTES = 200_000_000
"""The largest size of the encoded profiles in memory."""
_ENTRY = 200  # the memory in bytes that an encoded profile needs in addition to its own bytes

_TABLES = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE profile (key INTEGER PRIMARY KEY, ring BLOB NOT NULL);
    CREATE TABLE paid (payer INTEGER, payee INTEGER, PRIMARY KEY (payer, payee)) WITHOUT ROWID;
"""


class BoundedProfiles(Mapping[int, Profile]):
    """A mapping from keys to all profiles of a replay. A profile that a replay has never used is empty.

    A caller may change a profile that this object has returned. But after the caller has read other profiles with half
    of `MOST_EVENTS` events in total, a change of the returned profile can be lost.
    """

    def __init__(self, most_events: int = MOST_EVENTS, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most_events, most_bytes
        self._recent: OrderedDict[int, Profile] = OrderedDict()  # the least recently used profile comes first
        self._weight = 0  # at least the number of events in `_recent`
        self._encoded: dict[int, bytes] = {}  # the profile that was encoded first comes first
        self._bytes = 0  # the size of the encoded profiles in memory
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
        profile = self._recent.get(key)
        if profile is not None:
            self._recent.move_to_end(key)
            return profile
        profile = self._recent[key] = self._read(key)
        self.has_grown(_WEIGHT + len(profile.events))
        return profile

    def get(self, key: int, default: object = None) -> Profile:  # type: ignore[override]
        """Returns the profile with this key. If there is no profile with this key, creates an empty profile."""
        return self[key]

    def __iter__(self) -> Iterator[int]:
        in_file = (key for (key,) in self._file.execute("SELECT key FROM profile"))
        return iter({*self._recent, *self._encoded, *in_file})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def has_grown(self, events: int = 1) -> None:
        """Adds this number to the count of payments in memory. If the count is too high, encodes the least recently
        used profiles."""
        self._weight += events
        if self._weight > self._most:
            # A profile adds older payments to its sums, so the profiles can contain fewer payments than were counted.
            self._weight = sum(_WEIGHT + len(profile.events) for profile in self._recent.values())
            while self._weight > self._most * 7 // 8 and len(self._recent) > 1:
                self._encode_oldest()
            if self._bytes > self._most_bytes:
                self._move_to_file()

    def _encode_oldest(self) -> None:
        key, profile = self._recent.popitem(last=False)
        self._weight -= _WEIGHT + len(profile.events)
        stored = self._encoded[key] = events_and_buckets.to_bytes(profile)
        self._bytes += _ENTRY + len(stored)

    def _move_to_file(self) -> None:
        rows = []
        for key, stored in self._encoded.items():
            rows.append((key, stored))
            self._bytes -= _ENTRY + len(stored)
            if self._bytes <= self._most_bytes // 2:
                break
        for key, _ in rows:
            del self._encoded[key]
        rows.sort()  # in this order, SQLite changes each page of its file only once
        self._file.executemany("REPLACE INTO profile VALUES (?, ?)", rows)
        self._is_any_in_file = True

    def _read(self, key: int) -> Profile:
        stored = self._encoded.pop(key, None)
        if stored is not None:
            self._bytes -= _ENTRY + len(stored)
            return events_and_buckets.from_bytes(stored)
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
