"""The gates call `markers(keys)`, which returns the fraud markers of the given parties.

The result is at most half a second old, so every gate sees a new marker within a second.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache

from rules.lists.change_numbers import MARKERS
from rules.refreshed_name_sets import RefreshedKeySets

CONFIRMED = "CONFIRMED"
"""An additional kind of marker.

A party has this kind of marker if two DFSPs, or the hub's operators, have filed any marker against the party.
"""

# Each name has two parts: a kind of marker, and the filing participant's id (0 for the operators).
_IN_FORCE = """
    SELECT m.key, m.kind || ' ' || coalesce(m.filed_by_id, 0), m.id FROM rules_markers_marker m
    WHERE m.lifted_at IS NULL
"""
_PAGE = _IN_FORCE + " AND (m.key, m.id) > (%s, %s) ORDER BY m.key, m.id LIMIT %s"
_FOUND = f"""
    SELECT key, array_agg(DISTINCT name) FROM ({_IN_FORCE} AND m.key = ANY(%s::bigint[])) AS found (key, name, id)
    GROUP BY key
"""  # noqa: S608 (our own words)
_CHANGED = """
    WITH asked (key) AS MATERIALIZED (SELECT DISTINCT m.key FROM rules_markers_marker m WHERE m.change > %s)
    SELECT asked.key, coalesce(
        array_agg(DISTINCT m.kind || ' ' || coalesce(m.filed_by_id, 0)) FILTER (WHERE m.id IS NOT NULL), '{}')
    FROM asked LEFT JOIN rules_markers_marker m ON m.key = asked.key AND m.lifted_at IS NULL
    GROUP BY asked.key ORDER BY asked.key
"""

_keys = RefreshedKeySets(MARKERS, pages=[_PAGE], changed=_CHANGED, found=_FOUND)
forget = _keys.forget
begin_to_load = _keys.begin_to_load


def markers(keys: Collection[int]) -> Mapping[int, frozenset[str]]:
    """Returns the kinds of the markers of these parties, including `CONFIRMED` for confirmed markers. Leaves out
    parties without markers.

    In most cases, the function runs no SQL statement.
    """
    return {key: _kinds_of(names) for key, names in _keys.of(keys).items()}


@lru_cache(maxsize=10_000)
def _kinds_of(names: frozenset[str]) -> frozenset[str]:
    pairs = [name.rpartition(" ") for name in names]
    filers = {filer for _kind, _space, filer in pairs}
    kinds = {kind for kind, _space, _filer in pairs}
    return frozenset(kinds | {CONFIRMED} if len(filers) > 1 or "0" in filers else kinds)
