"""Gives a number to each change of lists, listed names and markers, in the order in which the database commits the
changes."""

from hub.sql_execution import execute

LISTS = "lists"
NAMES = "names"
MARKERS = "markers"

# The lock of the row lasts until the database transaction ends. So a change with a higher number is committed later.
# Therefore, if a process has read a number, the process has read all changes up to this number. A database transaction
# counts its changes in the last SQL statement, so that the transaction holds the lock only briefly.
_COUNT = """
    INSERT INTO rules_lists_changenumber AS c (name, number, transaction)
    VALUES (%s, 1, pg_current_xact_id()::text::bigint)
    ON CONFLICT (name) DO UPDATE SET number = c.number + 1, transaction = EXCLUDED.transaction
    RETURNING number
"""
_REPEAT = """
    INSERT INTO rules_lists_changenumber (name, number, transaction)
    VALUES (%s, %s, pg_current_xact_id()::text::bigint)
    ON CONFLICT (name) DO UPDATE SET number = EXCLUDED.number, transaction = EXCLUDED.transaction
"""
_NUMBER = "SELECT number FROM rules_lists_changenumber WHERE name = %s"


def count(name: str) -> int:
    """In the caller's database transaction, counts one change. Returns the number of the change."""
    row = execute(_COUNT, [name]).fetchone()
    assert row is not None
    number: int = row[0]
    return number


def repeat(name: str, number: int) -> None:
    """Stores this number as the number of the last change of this kind. The caller's database transaction has already
    counted this number, for another kind of change.
    """
    execute(_REPEAT, [name, number])


def number_of(name: str) -> int:
    """Returns the number of the last change, or 0."""
    row = execute(_NUMBER, [name]).fetchone()
    return row[0] if row is not None else 0
