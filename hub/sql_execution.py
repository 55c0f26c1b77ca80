"""Sends set-based statements to PostgreSQL; all other code uses Django's ORM."""

from collections.abc import Sequence
from typing import Any

import psycopg
from django.conf import settings
from django.db import (
    DEFAULT_DB_ALIAS,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from psycopg import errors as pg
from psycopg.rows import TupleRow

from hub.postgresql import arrays


def execute(statement: str, parameters: Sequence[Any] = ()) -> psycopg.Cursor[TupleRow]:
    """Runs one statement on this thread's connection, in its transaction if there is one.

    The server binds parameters; lists become arrays of the type to which the statement casts them. On a connection of
    `work_by_keys`, a statement is prepared once. Errors are Django's, with psycopg's as their cause; a lost connection
    is marked for reopening.
    """
    bound = [arrays.literal(each) if type(each) is list else each for each in parameters]
    try:
        return _execute(statement, bound)
    except NotSupportedError as error:
        if connection.in_atomic_block or not is_outdated(error):
            raise  # only the whole transaction can be done again
        # PostgreSQL refused before it did anything.
        connection.close()
        return _execute(statement, bound)


def _execute(statement: str, bound: Sequence[Any]) -> psycopg.Cursor[TupleRow]:
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        return psycopg.Cursor(connection.connection).execute(statement, bound, prepare=True)


# The statistics of a table, and the kept plan of a prepared statement, may be from a time when the table was empty.
# Such a plan would read, join or sort the whole table, however large it is now. Without these methods, a plan uses
# indexes from the start.
_OTHER_WAYS = ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin", "material")
_BY_KEYS = "".join(f" -c enable_{way}=off" for way in _OTHER_WAYS)
_BY_KEYS_NOW = "SELECT " + ", ".join(
    f"set_config('{name}', 'off', true)" for name in ("jit", *(f"enable_{way}" for way in _OTHER_WAYS))
)


def work_by_keys() -> None:
    """Gives this thread its own connection, whose statements find rows by indexes and in index order.

    For the threads of the money path, where each statement has an index. The connection is not from the pool: other
    threads hold connections while they wait for such a thread. If it waited for one of theirs, there would be a
    deadlock.

    Only these connections prepare statements. A prepared statement keeps its plan, and without the restrictions above
    that could be a plan for empty tables. The portal's queries need the other methods.
    """
    ours = connections[DEFAULT_DB_ALIAS]
    options = {name: value for name, value in ours.settings_dict["OPTIONS"].items() if name != "pool"}
    options["options"] = options.get("options", "") + _BY_KEYS
    options["prepare_threshold"] = 0 if settings.DATABASE_PREPARE else None
    alone = connections.create_connection(DEFAULT_DB_ALIAS)
    alone.settings_dict = ours.settings_dict | {"OPTIONS": options, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}
    connections[DEFAULT_DB_ALIAS] = alone


def found_by_keys(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """The rows of one statement, found by indexes and in index order; for threads without `work_by_keys`."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_BY_KEYS_NOW)
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def give_back() -> None:
    """Returns this thread's connection to the pool, so that others can use it while this thread waits.

    The next statement borrows one again. Without a pool, or in a transaction, nothing happens.
    """
    if not connection.in_atomic_block and connection.settings_dict["OPTIONS"].get("pool"):
        connection.close()


def is_away(error: BaseException) -> bool:
    """Whether the database was unreachable or ended the connection; then a write may have been done or not."""
    if isinstance(error, InternalError):
        # The process was stopped for longer than a transaction may be idle, and PostgreSQL closed the connection.
        return isinstance(error.__cause__, pg.IdleInTransactionSessionTimeout)
    return isinstance(error, OperationalError | InterfaceError)


def is_outdated(error: BaseException) -> bool:
    """Whether a prepared statement returns other columns than before, because a migration has changed their table.

    PostgreSQL has done nothing. Statements prepared anew succeed: after a ROLLBACK, psycopg prepares each anew.
    """
    cause = error.__cause__
    return isinstance(cause, pg.FeatureNotSupported) and cause.diag.source_function == "RevalidateCachedQuery"
