"""The one way by which set-based statements reach PostgreSQL; everything else is Django's ORM."""

from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection
from psycopg.rows import TupleRow


def execute(statement: str, parameters: Sequence[Any] = ()) -> psycopg.Cursor[TupleRow]:
    """Runs one statement on this thread's connection, in its transaction if there is one.

    Parameters are bound by the server: arrays travel as they are, and a statement is prepared once per connection.
    Errors are Django's, with psycopg's as their cause; a lost connection is marked to be opened anew.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors:
        return psycopg.Cursor(connection.connection).execute(statement, parameters, prepare=True)
