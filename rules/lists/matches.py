"""The gates call `matches(keys)`, which returns the lists that contain the given parties.

For each party, the caller passes two keys. If a list entry contains an identifier, the key of the entry is the party's
key from `rules.party_keys.key_of`. If a party's name matches a listed name, the key is the common key of the party and
the DFSP, from `rules.lists.dfsp_corridor_and_name_keys.served`. The key of a kill switch maps to the name
`KILL_SWITCH`: see `rules.lists.kill_switches`.
"""

from collections.abc import Collection, Mapping

from rules.lists.change_numbers import LISTS
from rules.refreshed_name_sets import RefreshedKeySets

KILL_SWITCH = "kill-switch"

_LISTED = """
    SELECT e.key, l.name, e.id FROM rules_lists_entry e JOIN rules_lists_partylist l ON l.id = e.party_list_id
    WHERE e.key IS NOT NULL AND e.removed_by_id IS NULL
"""
_SIMILAR = """
    SELECT m.key, l.name, m.id FROM rules_lists_namematch m
    JOIN rules_lists_entry e ON e.id = m.entry_id AND e.removed_by_id IS NULL
    JOIN rules_lists_partylist l ON l.id = e.party_list_id
    WHERE m.cleared_at IS NULL
"""
_STOPPED = f"SELECT k.key, '{KILL_SWITCH}', k.id FROM rules_lists_killswitch k WHERE k.off_at IS NULL"  # noqa: S608
_ALIASES = {"e": _LISTED, "m": _SIMILAR, "k": _STOPPED}
_PAGES = [
    f"{select} AND ({alias}.key, {alias}.id) > (%s, %s) ORDER BY {alias}.key, {alias}.id LIMIT %s"
    for alias, select in _ALIASES.items()
]
_OF_KEYS = " UNION ALL ".join(
    f"({select} AND {alias}.key = ANY(ARRAY(SELECT key FROM asked)))"  # noqa: S608 (our own words)
    for alias, select in _ALIASES.items()
)
_FOUND = f"""
    WITH asked (key) AS MATERIALIZED (SELECT unnest(%s::bigint[])), live (key, name) AS ({_OF_KEYS})
    SELECT key, array_agg(DISTINCT name) FROM live GROUP BY key
"""  # noqa: S608 (our own words)
_CHANGED = f"""
    WITH since (change) AS (SELECT %s::bigint),
    versions AS (SELECT v.id FROM rules_lists_listversion v, since WHERE v.change > since.change),
    asked (key) AS MATERIALIZED (
        SELECT e.key FROM rules_lists_entry e JOIN versions v ON v.id = e.added_by_id WHERE e.key IS NOT NULL
        UNION
        SELECT e.key FROM rules_lists_entry e JOIN versions v ON v.id = e.removed_by_id WHERE e.key IS NOT NULL
        UNION
        SELECT m.key FROM rules_lists_namematch m JOIN rules_lists_entry e ON e.id = m.entry_id
        JOIN versions v ON v.id = e.removed_by_id
        UNION
        SELECT m.key FROM rules_lists_namematch m, since WHERE m.change > since.change
        UNION
        SELECT k.key FROM rules_lists_killswitch k, since WHERE k.change > since.change
    ),
    live (key, name) AS ({_OF_KEYS})
    SELECT asked.key, coalesce(array_agg(DISTINCT live.name) FILTER (WHERE live.name IS NOT NULL), '{{}}')
    FROM asked LEFT JOIN live USING (key) GROUP BY asked.key ORDER BY asked.key
"""  # noqa: S608 (our own words)

_keys = RefreshedKeySets(LISTS, pages=_PAGES, changed=_CHANGED, found=_FOUND)
forget = _keys.forget
begin_to_load = _keys.begin_to_load


def matches(keys: Collection[int]) -> Mapping[int, frozenset[str]]:
    """Returns the names of the lists that contain these keys. Leaves out keys that are on no list.

    The result is at most half a second old. In most cases, the function runs no SQL statement.
    """
    return _keys.of(keys)
