"""Compares the names of parties with the listed names. The comparison happens when the hub first sees a party's name,
and when a list changes.

Payments are not screened. For each name, the hub stores a hash, the matches, and the number of the last change of the
listed names. `see` screens names that are new to the hub. If a name has only common words, `see` compares it with only
a part of the listed names. The periodic task `screen_again` completes the screening of such names within seconds, and
screens all names after a change.
"""

import base64
import hashlib
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.db import transaction

from fspiop.bodies.common import Party
from hub.sql_execution import execute
from hub.sweeps.store import not_skipped
from rules.alerts import services as alerts
from rules.alerts.services import Sighting
from rules.lists import change_numbers, dfsp_corridor_and_name_keys, loaded_names
from rules.lists.name_index import NameIndex, Similar
from rules.lists.names import folded
from rules.party_keys import key_of

_FOR_S = 0.01
"""The time limit for screening the names of one call. The periodic task screens the remaining names within seconds."""
_MOST_REMEMBERED = 100_000
_REMEMBERED_FOR_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Named:
    """A party, with the name that the party's own DFSP has sent.

    The hub ignores a name that another DFSP sends. So if a payer DFSP sends a listed name as the payee's name, this
    cannot cause a match.
    """

    party: int
    dfsp: str
    name: str


def named(party: Party, dfsp: str) -> Named | None:
    """Returns the party and the party's name, or None if the message does not contain a name. The caller must pass only
    messages of the DFSP that serves the party.

    The hub screens the words of `name` and `personalInfo` together. So a DFSP cannot hide a listed name by writing
    parts of the name in different fields.
    """
    parts = party.personal_info.complex_name if party.personal_info is not None else None
    texts = [party.name]
    if parts is not None:
        texts += [parts.first_name, parts.middle_name, parts.last_name]
    words = dict.fromkeys(word for text in texts if text is not None for word in text.split())
    if not words:
        return None
    info = party.party_id_info
    key = key_of(info.party_id_type, info.party_identifier, info.party_sub_id_or_type)
    return Named(key, dfsp, " ".join(words))


class _Remembered:
    """The parties and names that this process has stored during the last 24 hours. For a party and a name in this
    memory, `see` runs no SQL statement."""

    def __init__(self) -> None:
        self._new: set[int] = set()
        self._old: set[int] = set()
        self._since = time.monotonic()

    def __contains__(self, pair: int) -> bool:
        return pair in self._new or pair in self._old

    def add(self, pairs: Iterable[int]) -> None:
        self._new.update(pairs)
        if len(self._new) > _MOST_REMEMBERED // 2 or time.monotonic() - self._since > _REMEMBERED_FOR_S / 2:
            self._old, self._new, self._since = self._new, set(), time.monotonic()

    def clear(self) -> None:
        self._new, self._old = set(), set()


_remembered = _Remembered()
forget = _remembered.clear


def see(parties: Sequence[Named]) -> None:
    """In separate database transactions, stores and screens the names that are new to the hub.

    The caller must not be in a database transaction. `rules.lists.matches` finds the stored matches by the key
    `dfsp_corridor_and_name_keys.served`. Runs no SQL statement if there is no new name. The number of SQL statements
    does not depend on the number of parties.
    """
    found: dict[int, Named] = {}
    hashes: dict[int, int] = {}
    texts: dict[int, str] = {}
    for each in parties:
        text = folded(each.name)
        key, name = dfsp_corridor_and_name_keys.served(each.party, each.dfsp), dfsp_corridor_and_name_keys.of_name(text)
        if text and key ^ name not in _remembered:
            found[key], hashes[key], texts[name] = each, name, text
    if found:
        _store(found, hashes, texts)
        _remembered.add(key ^ name for key, name in hashes.items())


# Because of the lock, the periodic task skips these names until this database transaction has stored the parties.
# Without the lock, the task could overlook these parties, and this transaction could overlook the matches that the task
# finds.
_KNOWN = """
    SELECT (SELECT number FROM rules_lists_changenumber WHERE name = 'names'),
           ARRAY(SELECT hash FROM (SELECT hash FROM rules_lists_seenname WHERE hash = ANY(%s::bigint[])
                                   ORDER BY hash FOR KEY SHARE) AS locked)
"""
_STORE = """
    WITH names AS (
        INSERT INTO rules_lists_seenname (hash, sealed, screened_for)
        SELECT * FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) AS n (hash, sealed, number)
        ORDER BY hash ON CONFLICT (hash) DO NOTHING
    )
    INSERT INTO rules_lists_namedparty AS p (key, party, dfsp, name_id, seen_at)
    SELECT n.*, clock_timestamp() FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::bigint[])
        AS n (key, party, dfsp, name)
    ORDER BY key ON CONFLICT (key) DO UPDATE SET name_id = EXCLUDED.name_id, seen_at = EXCLUDED.seen_at
    WHERE p.name_id <> EXCLUDED.name_id OR p.seen_at < EXCLUDED.seen_at - interval '1 day'
"""
# Finds the matches of these names. For each party with one of the names, the SQL statement yields only the matches that
# are not stored for this party and this name yet. A cleared match is about one name, so it hides no match of another
# name.
_MATCHING = """
    WITH matching (key, entry, name, score) AS (
        SELECT p.key, f.entry, f.name, f.score
        FROM unnest(%s::bigint[], %s::bigint[], %s::int[]) AS f (name, entry, score)
        JOIN rules_lists_namedparty p ON p.name_id = f.name
        UNION
        SELECT p.key, m.entry_id, m.name_id, m.score
        FROM unnest(%s::bigint[], %s::bigint[]) AS p (key, name)
        JOIN rules_lists_namematch m ON m.name_id = p.name
        JOIN rules_lists_entry e ON e.id = m.entry_id AND e.removed_by_id IS NULL
    )
    SELECT DISTINCT ON (key, entry, name) key, entry, name, score FROM matching c
    WHERE NOT EXISTS (SELECT FROM rules_lists_namematch m
                      WHERE m.key = c.key AND m.entry_id = c.entry AND m.name_id = c.name)
    ORDER BY key, entry, name, score DESC
"""


@transaction.atomic
def _store(parties: Mapping[int, Named], hashes: Mapping[int, int], texts: Mapping[int, str]) -> None:
    row = execute(_KNOWN, [list(texts)]).fetchone()
    assert row is not None
    number, known = row[0] or 0, set(row[1])
    cipher = _cipher()
    new = {name: text for name, text in texts.items() if name not in known}
    screened, found = _screen(new, loaded_names.current(number), until=time.monotonic() + _FOR_S)
    execute(
        _STORE,
        [
            list(new),
            [cipher.encrypt(text.encode()).decode() for text in new.values()],
            [screened.get(name, 0) for name in new],
            list(parties),
            [each.party for each in parties.values()],
            [each.dfsp for each in parties.values()],
            [hashes[key] for key in parties],
        ],
    )
    _match(found, {key: hashes[key] for key in parties})


def _cipher() -> Fernet:
    """Returns the cipher that encrypts the stored names. The cipher's key changes together with the key of the hashes.

    After a change of this key, the stored names and hashes are useless.
    """
    digest = hashlib.sha256(b"kitovu names of parties\0" + settings.RULES_PARTY_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))


def _screen(
    texts: Mapping[int, str], index: NameIndex, *, until: float
) -> tuple[dict[int, int], list[tuple[int, Similar]]]:
    """For each completely screened name, returns the number of the last change in the index. Also returns the listed
    names that are similar to these names.

    Stops at the time limit.
    """
    screened: dict[int, int] = {}
    found: list[tuple[int, Similar]] = []
    if index.number == 0:
        return screened, found
    for name, text in texts.items():
        if time.monotonic() > until:
            break
        similar_names, is_complete = index.find_at_once(text)
        found += [(name, similar) for similar in similar_names]
        if is_complete:
            screened[name] = index.number
    return screened, found


_INSERT = """
    INSERT INTO rules_lists_namematch (key, entry_id, name_id, score, change, cleared_by)
    SELECT *, %s, '' FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::int[])
    ON CONFLICT (key, entry_id, name_id) DO NOTHING RETURNING id
"""
_FOUND = """
    SELECT p.party, p.dfsp, l.name, m.entry_id, m.id, m.score
    FROM unnest(%s::bigint[]) AS f (id) JOIN rules_lists_namematch m ON m.id = f.id
    JOIN rules_lists_namedparty p ON p.key = m.key
    JOIN rules_lists_entry e ON e.id = m.entry_id JOIN rules_lists_partylist l ON l.id = e.party_list_id
    ORDER BY m.id
"""


def _match(found: Sequence[tuple[int, Similar]], parties: Mapping[int, int]) -> int:
    """For each party with a matched name, stores the matches and raises an alert.

    Returns the number of new matches.
    """
    rows = execute(
        _MATCHING,
        [
            [name for name, _similar in found],
            [similar.entry_id for _name, similar in found],
            [similar.score for _name, similar in found],
            list(parties),
            list(parties.values()),
        ],
    ).fetchall()
    if not rows:
        return 0
    change = change_numbers.count(change_numbers.LISTS)
    new = execute(_INSERT, [change, *map(list, zip(*rows, strict=True))]).fetchall()
    if not new:
        return 0
    alerts.raise_alerts(
        [
            Sighting(
                party=party,
                kind=alerts.NAME_MATCH,
                subject=f"name match {match}",
                payee_dfsp=dfsp,
                caused_by=dfsp,
                details={"list": name, "entry": entry, "score": score},
            )
            for party, dfsp, name, entry, match, score in execute(_FOUND, [[row[0] for row in new]])
        ]
    )
    return len(new)


# --- after a change of a list -----------------------------------------------------------------------------------------

BATCH = "names-of-parties"
_WAITING = f"""
    SELECT n.hash FROM rules_lists_seenname n
    WHERE n.screened_for < (SELECT number FROM rules_lists_changenumber WHERE name = 'names')
      AND {not_skipped(BATCH, "n.hash")}
    ORDER BY n.screened_for, n.hash LIMIT %s
"""  # noqa: S608 (our own words)
_SEALED = "SELECT hash, sealed, screened_for FROM rules_lists_seenname WHERE hash = ANY(%s::bigint[])"
_LOCK = "SELECT hash FROM rules_lists_seenname WHERE hash = ANY(%s::bigint[]) FOR UPDATE SKIP LOCKED"
_SCREENED = """
    UPDATE rules_lists_seenname SET screened_for = greatest(screened_for, %s) WHERE hash = ANY(%s::bigint[])
"""


def waiting(most: int) -> list[str]:
    """Returns names that were not screened after the last change of the listed names."""
    return [str(name) for (name,) in execute(_WAITING, [most])]


def has_latest_names() -> bool:
    """Returns whether this process has an index of all listed names. If not, a thread builds this index."""
    number = change_numbers.number_of(change_numbers.NAMES)
    return loaded_names.current(number).number >= number


def screen_again(names: Collection[str], *, until: float) -> int:
    """Screens at least one of these names, and further names until this time of the monotonic clock. The screening uses
    only the names that were listed after the last screening.

    Returns the number of screened names. `waiting` finds the remaining names again.
    """
    index = loaded_names.current(0)
    cipher = _cipher()
    screened: list[int] = []
    found: list[tuple[int, Similar]] = []
    # The comparison takes long, so it locks no name. A message with one of these names would wait for the lock.
    for name, text, screened_for in execute(_SEALED, [[int(name) for name in names]]).fetchall():
        if screened and time.monotonic() > until:
            break
        # The hub cannot decrypt a name that was encrypted before RULES_PARTY_KEY changed. No payment uses the hash of
        # such a name any more.
        with suppress(InvalidToken):
            plain = cipher.decrypt(text.encode()).decode()
            found += [(name, similar) for similar in index.newer_than(screened_for).find(plain)]
        screened.append(name)
    return _store_screened(index.number, screened, found)


@transaction.atomic
def _store_screened(number: int, screened: Sequence[int], found: Sequence[tuple[int, Similar]]) -> int:
    locked = {name for (name,) in execute(_LOCK, [list(screened)])}
    execute(_SCREENED, [number, list(locked)])
    _match([each for each in found if each[0] in locked], {})
    return len(locked)


_FORGET_PARTIES = """
    DELETE FROM rules_lists_namedparty p WHERE p.key IN (
        SELECT key FROM rules_lists_namedparty
        WHERE seen_at < clock_timestamp() - make_interval(days => %s) ORDER BY seen_at LIMIT %s)
"""
_FORGET_NAMES = """
    DELETE FROM rules_lists_seenname n WHERE n.hash IN (
        SELECT hash FROM rules_lists_seenname s
        WHERE NOT EXISTS (SELECT FROM rules_lists_namedparty p WHERE p.name_id = s.hash)
          AND NOT EXISTS (SELECT FROM rules_lists_namematch m WHERE m.name_id = s.hash)
        LIMIT %s FOR UPDATE SKIP LOCKED)
"""


@transaction.atomic
def forget_unseen(*, days: int, most: int) -> int:
    """Deletes the names of the parties that no message has named for this number of days. Does not delete the stored
    matches between these parties and listed names."""
    forgotten = execute(_FORGET_PARTIES, [days, most]).rowcount
    execute(_FORGET_NAMES, [most])
    return forgotten
