"""Statements about lists and markers find rows by their keys, also where PostgreSQL believes that tables are empty."""

from typing import Any

import pytest

from hub.sql_execution import execute
from rules.alerts import services as alerts
from rules.lists import matches as lists
from rules.lists import screening
from rules.markers import matches as markers
from tests.test_plans import indexes_for, plan_of
from tests.world import World

STATEMENTS: dict[str, tuple[str, list[Any], set[str]]] = {
    "lists of parties": (lists._FOUND, [[1, 2]], {"e", "m", "k"}),
    "changed lists": (lists._CHANGED, [7], {"e", "m", "k", "v"}),
    "listed parties in pages": (lists._PAGES[0], [1, 1, 100], {"e"}),
    "markers of parties": (markers._FOUND, [[1, 2]], {"m"}),
    "changed markers": (markers._CHANGED, [7], {"m"}),
    "known names": (screening._KNOWN, [[1, 2]], {"rules_lists_seenname"}),
    "matching names": (screening._MATCHING, [[1], [1], [90], [2], [2]], {"p", "m", "m_1", "e"}),
    "names to be screened": (screening._WAITING, [10], {"n"}),
    "sightings of parties": (alerts._TAKEN, [[1, 2], 10], {"rules_alerts_sightingrow"}),
}
TABLES = (
    "rules_lists_entry, rules_lists_namematch, rules_lists_killswitch, rules_lists_listversion, rules_markers_marker,"
    " rules_lists_seenname, rules_lists_namedparty, rules_alerts_sightingrow"
)


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_table_is_read_whole(committed_world: World, name: str) -> None:
    execute(f"ANALYZE {TABLES}")
    statement, parameters, aliases = STATEMENTS[name]
    plan = plan_of(statement, parameters)
    found = {alias: indexes_for(alias, plan) for alias in aliases}
    assert all(found.values()), found
    assert not any("everything" in indexes for indexes in found.values()), found
