"""The SQL statements on skipped rows. The parameters of each statement are lists. Each statement must run in a database
transaction of its own.
"""

from collections.abc import Collection

from hub.sql_execution import execute

ALL = "*"  # this key means that the search for the batch's rows failed

# Pauses of 5, 10, 20 ... seconds, at most ten minutes. After a repair, the batch soon processes the row. Before the
# repair, the attempts cost little.
_PAUSE = "make_interval(secs => LEAST(600, 5 * 2 ^ LEAST({attempts}, 7)))"

_REMEMBER = f"""
    INSERT INTO sweeps_skippedrow AS s (batch, row, error, attempts, first_at, last_at, due_at)
    SELECT %s::text, k.row, %s::text, %s::int, clock_timestamp(), clock_timestamp(),
           clock_timestamp() + {_PAUSE.format(attempts="%s::int")}
    FROM unnest(%s::text[]) AS k (row) ORDER BY k.row
    ON CONFLICT ON CONSTRAINT a_batch_skips_a_row_once DO UPDATE
    SET error = excluded.error, attempts = s.attempts + excluded.attempts, last_at = excluded.last_at,
        due_at = clock_timestamp() + {_PAUSE.format(attempts="s.attempts + excluded.attempts")}
"""  # noqa: S608 (the statement is put together from constants)


def remember(batch: str, rows: Collection[str], why: str, *, attempts: int) -> None:
    """Makes the batch skip these rows for a while. The pause becomes longer with each failure of a row. Adds the number
    `attempts` to each row's stored number of attempts.
    """
    execute(_REMEMBER, [batch, why, attempts, attempts, list(rows)])


# The statement postpones a row before this process tries to process the row. So no other process tries the same row,
# even if this process dies.
_CLAIM = f"""
    WITH due AS (
        SELECT id FROM sweeps_skippedrow
        WHERE batch = %s AND row <> '*' AND due_at <= clock_timestamp()
        ORDER BY attempts, due_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE sweeps_skippedrow s SET due_at = clock_timestamp() + {_PAUSE.format(attempts="s.attempts + 1")}
    FROM due WHERE s.id = due.id
    RETURNING s.row
"""  # noqa: S608


def claim(batch: str, most: int) -> list[str]:
    """Claims rows that are due for another attempt. Rows with the fewest attempts come first."""
    return [row[0] for row in execute(_CLAIM, [batch, most])]


def forget(batch: str, rows: Collection[str]) -> None:
    """Deletes the records of skipped rows that the batch has now processed. Ignores rows without a record."""
    execute("DELETE FROM sweeps_skippedrow WHERE batch = %s AND row = ANY(%s::text[])", [batch, list(rows)])


def forget_all(batch: str) -> None:
    """Deletes all records of rows that this batch skips."""
    execute("DELETE FROM sweeps_skippedrow WHERE batch = %s", [batch])


def standing(batch: str) -> dict[str, bool]:
    """Returns the rows that the batch skips, and whether each row is due for another attempt."""
    found = execute("SELECT row, due_at <= clock_timestamp() FROM sweeps_skippedrow WHERE batch = %s", [batch])
    return dict(found.fetchall())


def skips_any(batch: str) -> bool:
    """Returns whether this batch skips any row. This fast check is enough for the many batches that skip no row."""
    row = execute("SELECT EXISTS (SELECT FROM sweeps_skippedrow WHERE batch = %s)", [batch]).fetchone()
    return bool(row and row[0])


def not_skipped(batch: str | None, key: str) -> str:
    """Returns an SQL condition that is true for all rows except skipped rows. `key` is the column with the row's key.

    `batch` and `key` must be constants. If `batch` is None, the SQL statement has the batch's name as a parameter.
    """
    name = "%s" if batch is None else f"'{batch}'"
    return f"NOT EXISTS (SELECT FROM sweeps_skippedrow s WHERE s.batch = {name} AND s.row = {key}::text)"
