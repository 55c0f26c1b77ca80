"""Detects closed database connections, without running an SQL statement. Replaces closed connections of a connection
pool immediately, without pauses."""

import select
import time
from typing import Any

import psycopg
from django.conf import settings
from django.db.backends.postgresql import base
from psycopg_pool import PoolTimeout

from hub.postgresql.schema import SchemaEditor


class DatabaseWrapper(base.DatabaseWrapper):
    """Checks a connection by its socket, without an SQL statement. This check runs once for each request, and once for
    each fetch of a connection from the pool."""

    SchemaEditorClass = SchemaEditor

    def is_usable(self) -> bool:
        """Returns whether the operating system still reports the connection as open."""
        return self.connection is not None and not _has_ended(self.connection)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Returns a new connection, or a working connection from the pool.

        Raises psycopg's OperationalError if no connection is available.

        The pool's own check pauses after each closed connection, for 1, 2 and 4 s. After a failure of PostgreSQL, all
        connections in the pool are closed. So the pool's own check is not used. Instead, this method discards each
        closed connection, and requests another connection from the pool. If the pool returns no connection within
        `timeout`, the method repeats its request, for DATABASE_POOL_PATIENCE_S seconds in total.
        """
        if self.pool is None:
            return super().get_new_connection(conn_params)
        until = time.monotonic() + settings.DATABASE_POOL_PATIENCE_S
        while True:
            try:
                found = super().get_new_connection(conn_params)
            except PoolTimeout:
                if time.monotonic() >= until:
                    raise
                continue
            if not _has_ended(found):
                return found
            found.close()
            self.pool.putconn(found)  # makes the pool open a new connection


def _has_ended(connection: psycopg.Connection[Any]) -> bool:
    """Returns whether PostgreSQL has ended the connection.

    Between two statements, PostgreSQL sends data only to end the connection. So if there is data to read, the
    connection has ended.
    """
    if connection.closed:
        return True
    socket = select.poll()
    socket.register(connection.fileno(), select.POLLIN)
    return bool(socket.poll(0))
