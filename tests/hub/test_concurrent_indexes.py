"""A migration that makes indexes concurrently and was interrupted is run again, and made whole."""

import pytest
from django.core.management import call_command
from django.db import connection

from hub.sql_execution import execute


def indexes_of(table: str) -> dict[str, bool]:
    """The table's indexes by name, and whether each is whole."""
    rows = execute(
        """SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
           WHERE i.indrelid = %s::regclass""",
        [table],
    )
    return dict(rows.fetchall())


@pytest.mark.thorough
def test_a_migration_that_was_interrupted_is_run_again(transactional_db: None) -> None:
    try:
        call_command("migrate", "directory", "0003", verbosity=0)
        assert "lookup_by_deadline" in indexes_of("directory_partylookup")
        # As it stands where the second index was being made: the column and the first are there, the second is not.
        execute("ALTER TABLE directory_partylookup ADD COLUMN ended_at timestamptz")
        for name in ("lookup_waiting_by_requester", "lookup_ended"):
            execute(f"CREATE INDEX {name} ON directory_partylookup (ended_at)")
        execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'lookup_ended'::regclass")
    finally:
        call_command("migrate", verbosity=0)  # of other apps, too, what depended on the later ones
    found = indexes_of("directory_partylookup")
    assert found["lookup_ended"] is found["lookup_waiting_by_requester"] is True
    assert "lookup_by_deadline" not in found
    definition = "SELECT indexdef FROM pg_indexes WHERE indexname = 'lookup_waiting_by_requester'"
    assert "(requester_id, answer_by) WHERE (ended_at IS NULL)" in execute(definition).fetchone()[0]
    with connection.cursor() as cursor:  # and what serves requests is as impatient as before
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone()[0] == "5s"
