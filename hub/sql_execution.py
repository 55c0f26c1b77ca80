"""Runs SQL statements that read or change many rows. All other code uses Django's ORM."""

from collections.abc import Mapping, Sequence
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
    """Runs one statement on the connection of this thread. If the connection has an open transaction, the statement is
    a part of this transaction.

    The parameters go to PostgreSQL separately from the text of the statement. A parameter that is a list becomes an
    array. The statement must cast the array to an SQL type, such as `%s::text[]`. A connection that `work_by_keys`
    opened prepares each statement only once. Raises Django's database errors. The cause of each of these errors is an
    error of psycopg. If the connection is lost, the next statement opens a new connection.
    """
    bound = [arrays.literal(each) if type(each) is list else each for each in parameters]
    try:
        return _execute(statement, bound)
    except NotSupportedError as error:
        if connection.in_atomic_block or not is_outdated(error):
            raise  # the caller can only repeat its whole database transaction
        # PostgreSQL refused the statement before the statement had any effect.
        connection.close()
        return _execute(statement, bound)


def _execute(statement: str, bound: Sequence[Any]) -> psycopg.Cursor[TupleRow]:
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        return psycopg.Cursor(connection.connection).execute(statement, bound, prepare=True)


# The statistics of a table, or the plan of a prepared statement, can be from a time when the table was empty. With such
# a plan, PostgreSQL would read, join or sort the whole table, even if the table is large now. If PostgreSQL cannot use
# the methods in this list, every plan uses indexes.
_OTHER_WAYS = ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin", "material")
_BY_KEYS = "".join(f" -c enable_{way}=off" for way in _OTHER_WAYS)
# With these settings, the best plan does not depend on the parameters. PostgreSQL's cost estimates do not show this. So
# without the next setting, PostgreSQL plans most of the statements again at each execution.
_PLAN_ONCE = " -c plan_cache_mode=force_generic_plan"
_BY_KEYS_NOW = "SELECT " + ", ".join(
    f"set_config('{name}', 'off', true)" for name in ("jit", *(f"enable_{way}" for way in _OTHER_WAYS))
)


def work_by_keys() -> None:
    """Opens a database connection that only this thread uses. On this connection, PostgreSQL uses indexes for all
    statements.

    Use this function only in threads where each statement can use an index, such as the threads that decide transfers.
    The connection is not from the pool. Threads that wait until a transfer is decided can occupy all connections of the
    pool. If the thread that decides transfers also needed a pooled connection, there would be a deadlock.

    Statements are prepared only on such connections. PostgreSQL keeps the query plan of a prepared statement, perhaps
    from a time when the tables were empty. On such connections, every plan uses indexes, so an old plan is also fast.
    So PostgreSQL plans each prepared statement only once. The portal uses other connections, because its queries also
    need plans without indexes.
    """
    ours = connections[DEFAULT_DB_ALIAS]
    options = {name: value for name, value in ours.settings_dict["OPTIONS"].items() if name != "pool"}
    options["options"] = options.get("options", "") + _BY_KEYS + _PLAN_ONCE
    options["prepare_threshold"] = 0 if settings.DATABASE_PREPARE else None
    alone = connections.create_connection(DEFAULT_DB_ALIAS)
    alone.settings_dict = ours.settings_dict | {"OPTIONS": options, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}
    connections[DEFAULT_DB_ALIAS] = alone


def found_by_keys(statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
    """Runs one statement, for which PostgreSQL must use indexes, and returns the rows. Use this function in threads
    that have not called `work_by_keys`."""
    with transaction.atomic(), connection.cursor() as cursor:
        use_keys()
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def use_keys() -> None:
    """Until the end of the database transaction, PostgreSQL uses indexes for all statements of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_KEYS_NOW)


def give_back() -> None:
    """Returns this thread's connection to the pool, so that other threads can use the connection while this thread
    waits.

    The thread's next statement uses another connection from the pool. Without a pool, or in a database transaction, the
    function does nothing.
    """
    if not connection.in_atomic_block and connection.settings_dict["OPTIONS"].get("pool"):
        connection.close()


def is_away(error: BaseException) -> bool:
    """Returns whether the database was unreachable or the connection was lost. In both cases, the caller does not know
    whether a change was stored.
    """
    if isinstance(error, InternalError):
        # PostgreSQL has closed the connection after the transaction was idle for too long, because the process was
        # stopped.
        return isinstance(error.__cause__, pg.IdleInTransactionSessionTimeout)
    return isinstance(error, OperationalError | InterfaceError)


# Errors that one row or a few rows can cause: the statement took too long, another transaction has locked the rows, a
# row is too large, or the part of the disk with the row cannot be read.
_OF_SOME_ROWS = (
    pg.QueryCanceled,
    pg.LockNotAvailable,
    pg.DeadlockDetected,
    pg.SerializationFailure,
    pg.OutOfMemory,
    pg.ProgramLimitExceeded,
    pg.StatementTooComplex,
    pg.IoError,
)


def is_of_some_rows(error: BaseException) -> bool:
    """Returns whether a statement failed because of one row or a few rows, and not because of the whole database. If
    so, PostgreSQL has stored no change.
    """
    return isinstance(error.__cause__, _OF_SOME_ROWS)


def is_outdated(error: BaseException) -> bool:
    """Returns whether a prepared statement failed because a migration has changed the statement's columns.

    PostgreSQL has not run the failed statement. After a ROLLBACK, psycopg prepares each statement again, so a
    repetition of the transaction succeeds.
    """
    cause = error.__cause__
    return isinstance(cause, pg.FeatureNotSupported) and cause.diag.source_function == "RevalidateCachedQuery"
