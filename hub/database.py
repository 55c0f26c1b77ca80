"""The one way by which set-based statements reach PostgreSQL; everything else is Django's ORM."""

from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import (
    DEFAULT_DB_ALIAS,
    InterfaceError,
    InternalError,
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

    Parameters are bound by the server, lists as arrays of the type that the statement casts them to, and a statement is
    prepared once per connection.
    Errors are Django's, with psycopg's as their cause; a lost connection is marked to be opened anew.
    """
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        bound = [arrays.literal(each) if type(each) is list else each for each in parameters]
        return psycopg.Cursor(connection.connection).execute(statement, bound, prepare=True)


# The plan of a prepared statement is kept, and may come from a moment when its table was empty: by it all of the table
# is read, joined or sorted, however large that is by now. Without these ways a plan goes by indexes from the start.
_OTHER_WAYS = ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin", "material")
_BY_KEYS = "".join(f" -c enable_{way}=off" for way in _OTHER_WAYS)
_BY_KEYS_NOW = "SELECT " + ", ".join(
    f"set_config('{name}', 'off', true)" for name in ("jit", *(f"enable_{way}" for way in _OTHER_WAYS))
)


def work_by_keys() -> None:
    """Gives this thread a connection of its own, whose statements find rows by indexes and in their order.

    For the threads of the money path, in which each statement has an index to go by. The connection is beside the pool,
    if there is one: others wait for such a thread while they have a connection, and if it waited for one of theirs,
    nobody would go on.
    """
    ours = connections[DEFAULT_DB_ALIAS]
    options = {name: value for name, value in ours.settings_dict["OPTIONS"].items() if name != "pool"}
    options["options"] = options.get("options", "") + _BY_KEYS
    alone = connections.create_connection(DEFAULT_DB_ALIAS)
    alone.settings_dict = ours.settings_dict | {"OPTIONS": options, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}
    connections[DEFAULT_DB_ALIAS] = alone


def found_by_keys(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """The rows of one statement, found by indexes and in their order; for a thread that does not always work so."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_BY_KEYS_NOW)
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def give_back() -> None:
    """Gives this thread's connection back to the pool, for others to use while this thread waits for something else.

    The next statement borrows one again. Without a pool, or in a transaction, nothing is given back.
    """
    if not connection.in_atomic_block and connection.settings_dict["OPTIONS"].get("pool"):
        connection.close()


def is_away(error: BaseException) -> bool:
    """Whether the database could not be reached, or gave this process up: what was to be written may be done or not."""
    if isinstance(error, InternalError):
        # A process that stood still for longer than a transaction may; PostgreSQL closed the connection.
        return isinstance(error.__cause__, pg.IdleInTransactionSessionTimeout)
    return isinstance(error, OperationalError | InterfaceError)
