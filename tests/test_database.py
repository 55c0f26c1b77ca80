"""The one way by which set-based statements reach PostgreSQL."""

import socket
import threading
import time
from contextlib import suppress

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from psycopg_pool import ConnectionPool, PoolTimeout

from hub.database import execute
from tests.directory.ways import counted_statements


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_ended_between_two_requests_is_replaced_before_the_first_statement() -> None:
    (pid,) = execute("SELECT pg_backend_pid()").fetchone() or (0,)
    ending = threading.Thread(target=_end, args=(pid,))
    ending.start()
    ending.join()
    connection.close_if_unusable_or_obsolete()  # as each request begins
    assert execute("SELECT pg_backend_pid()").fetchone() != (pid,)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_lives_is_kept_without_a_statement() -> None:
    before = execute("SELECT pg_backend_pid()").fetchone()
    connection.close_if_unusable_or_obsolete()
    with counted_statements() as sent:
        assert execute("SELECT pg_backend_pid()").fetchone() == before
    assert len(sent) == 1


@pytest.mark.django_db(transaction=True)
def test_a_pool_has_a_connection_soon_after_a_database_that_was_away_is_back() -> None:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))  # bound and not listening: refused, as where no PostgreSQL runs
        port = door.getsockname()[1]
        to = psycopg.conninfo.make_conninfo(
            host="127.0.0.1",
            port=port,
            user=connection.settings_dict["USER"],
            dbname=connection.settings_dict["NAME"],
            password=connection.settings_dict["PASSWORD"],
        )
        with ConnectionPool(to, **settings.DATABASE_POOL_OPTIONS | {"max_size": 4}, open=True) as pool:
            _ask(pool, until=time.monotonic() + 7.5)  # a pool left to itself tries after 1, 3 and 7 s, then after 15
            door.listen()
            threading.Thread(target=_forward, args=(door,), daemon=True).start()
            back_at = time.monotonic()
            assert _ask(pool, until=back_at + 5)
            assert time.monotonic() - back_at < 2.5


def _ask(pool: "ConnectionPool[psycopg.Connection[tuple[object, ...]]]", until: float) -> bool:
    """As requests do: again and again; whether one got a connection."""
    while time.monotonic() < until:
        with suppress(PoolTimeout), pool.connection(timeout=0.5) as found:
            return found.execute("SELECT 1").fetchone() == (1,)
    return False


def _forward(door: socket.socket) -> None:
    """Lets whoever comes speak with PostgreSQL."""
    server = (connection.settings_dict["HOST"] or "127.0.0.1", int(connection.settings_dict["PORT"] or 5432))
    while True:
        try:
            guest, _ = door.accept()
        except OSError:
            return
        host = socket.create_connection(server)
        for source, target in ((guest, host), (host, guest)):
            threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while octets := source.recv(65536):
            target.sendall(octets)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _end(pid: int) -> None:
    execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    connection.close()
