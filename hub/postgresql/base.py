"""Connections that ended are found without a statement, and without a pause where a pool holds many of them."""

import select
import time
from typing import Any

import psycopg
from django.conf import settings
from django.db.backends.postgresql import base
from psycopg_pool import PoolTimeout

from hub.postgresql.schema import SchemaEditor


class DatabaseWrapper(base.DatabaseWrapper):
    """Looks at sockets where Django asks by a statement, once for each request and at each loan from a pool."""

    SchemaEditorClass = SchemaEditor

    def is_usable(self) -> bool:
        """Whether PostgreSQL has not ended this connection, as far as this host has heard."""
        return self.connection is not None and not _has_ended(self.connection)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A new connection, or one of the pool's that lives; psycopg's OperationalError where there is none.

        The pool's own check pauses 1, 2, 4 s between two that ended, and where PostgreSQL was away all of them did.
        Whoever waits asks again each `timeout` of the pool: it opens connections as it is asked for them, and gives up
        soon where PostgreSQL is away.
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
            self.pool.putconn(found)  # which opens another in its place


def _has_ended(connection: psycopg.Connection[Any]) -> bool:
    """Between two statements PostgreSQL says nothing; what it says as it ends a connection is there to be read."""
    if connection.closed:
        return True
    socket = select.poll()
    socket.register(connection.fileno(), select.POLLIN)
    return bool(socket.poll(0))
