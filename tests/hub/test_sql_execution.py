"""The one way by which set-based statements reach PostgreSQL."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import pytest
from django.conf import LazySettings
from django.db import NotSupportedError, OperationalError, connection, transaction

from hub.postgresql.base import DatabaseWrapper
from hub.sql_execution import execute, is_outdated, work_by_keys
from tests.directory.requests import counted_statements

T = TypeVar("T")
Pooled = Callable[..., DatabaseWrapper]
NAMES = "SELECT name FROM renamed WHERE id = ANY(%s::bigint[])"


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
def test_a_pool_whose_connections_all_ended_lends_a_new_one_at_once(pooled: Pooled) -> None:
    borrowers = [pooled() for _ in range(12)]
    for each in borrowers:
        each.ensure_connection()
    ended = [each.connection.info.backend_pid for each in borrowers]
    for each in borrowers:
        each.close()
    execute("SELECT count(pg_terminate_backend(pid, 5000)) FROM unnest(%s::int[]) AS pid", [ended])
    asked_at = time.monotonic()
    borrower = pooled()
    borrower.ensure_connection()
    assert borrower.connection.info.backend_pid not in ended
    assert time.monotonic() - asked_at < 1


@pytest.mark.django_db(transaction=True)
def test_a_pool_lends_what_lives_without_a_statement(pooled: Pooled) -> None:
    borrower = pooled(size=1)
    borrower.ensure_connection()
    pid = borrower.connection.info.backend_pid
    borrower.close()
    said = "SELECT query_start, state_change FROM pg_stat_activity WHERE pid = %s"
    before = execute(said, [pid]).fetchone()
    borrower.ensure_connection()
    assert borrower.connection.info.backend_pid == pid
    assert execute(said, [pid]).fetchone() == before


@pytest.mark.django_db(transaction=True)
def test_a_pool_lends_soon_after_a_database_that_was_away_is_back(pooled: Pooled, door: socket.socket) -> None:
    away_until = time.monotonic() + 7.5  # a pool left to itself tries after 1, 3 and 7 s, then after 15
    while time.monotonic() < away_until:
        with pytest.raises(OperationalError):
            pooled(through=door, patience=0.5).ensure_connection()
    back_at = _open(door)
    pooled(through=door).ensure_connection()
    assert time.monotonic() - back_at < 2.5


@pytest.mark.django_db(transaction=True)
def test_who_waits_alone_is_lent_one_soon_after_a_database_is_back(pooled: Pooled, door: socket.socket) -> None:
    back_at: list[float] = []
    opening = threading.Timer(2.7, lambda: back_at.append(_open(door)))
    opening.start()
    pooled(through=door).ensure_connection()
    assert time.monotonic() - back_at[0] < 2


def by_keys(work: Callable[[], T]) -> T:
    """What this returns in a thread of the money path."""

    def ended() -> T:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1, initializer=work_by_keys) as thread:
        return thread.submit(ended).result()


def prepared() -> int:
    """How many statements about participants this connection has prepared, after two that are alike."""
    for ids in ([1], [2, 3]):
        execute("SELECT name FROM participants_participant WHERE id = ANY(%s::bigint[])", [ids])
    found = execute("SELECT statement FROM pg_prepared_statements").fetchall()
    return sum("FROM participants_participant" in row[0] for row in found)


@pytest.mark.django_db(transaction=True)
def test_a_statement_is_prepared_once_where_plans_go_by_keys_and_nowhere_else(settings: LazySettings) -> None:
    assert by_keys(prepared) == 1
    assert prepared() == 0
    settings.DATABASE_PREPARE = False  # as behind a pooler that gives each transaction another connection
    assert by_keys(prepared) == 0


@pytest.mark.django_db(transaction=True)
def test_a_statement_of_the_money_path_is_planned_once_whatever_its_parameters() -> None:
    def planned_again() -> int:
        # By its estimates, PostgreSQL would plan this one again each time: a list of one, not of ten.
        for number in range(8):
            execute("SELECT name FROM participants_participant WHERE id = ANY(%s::bigint[])", [[number]])
        plans = execute("SELECT custom_plans FROM pg_prepared_statements WHERE statement LIKE '%%participants_parti%%'")
        return int(plans.fetchall()[0][0])

    assert by_keys(planned_again) == 0


@pytest.fixture
def renamed(transactional_db: None) -> Iterator[Callable[[], None]]:
    """A table, and what changes the type of its column in another session, as a migration does."""

    def alter() -> None:
        execute("ALTER TABLE renamed ALTER COLUMN name TYPE varchar(64)")

    execute("CREATE TABLE renamed (id bigint, name varchar(32))")
    execute("INSERT INTO renamed VALUES (1, 'green')")
    yield alter
    execute("DROP TABLE renamed")


def migrate(alter: Callable[[], None]) -> None:
    def altered() -> None:
        alter()
        connection.close()

    thread = threading.Thread(target=altered)
    thread.start()
    thread.join()


def test_a_statement_prepared_before_a_migration_is_prepared_anew_after_it(renamed: Callable[[], None]) -> None:
    def work() -> list[tuple[str, ...]]:
        before = execute(NAMES, [[1]]).fetchall()
        migrate(renamed)
        return before + execute(NAMES, [[1]]).fetchall()

    assert by_keys(work) == [("green",)] * 2


def test_a_transaction_that_a_migration_overtook_may_be_done_again(renamed: Callable[[], None]) -> None:
    def work() -> list[tuple[str, ...]]:
        execute(NAMES, [[1]])
        migrate(renamed)
        with pytest.raises(NotSupportedError) as refused, transaction.atomic():
            execute(NAMES, [[1]])
        assert is_outdated(refused.value)
        with transaction.atomic():
            return execute(NAMES, [[1]]).fetchall()

    assert by_keys(work) == [("green",)]


@pytest.fixture
def door() -> Iterator[socket.socket]:
    """Where PostgreSQL would be, and is not until `_open`."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))  # bound and not listening: refused, as where no PostgreSQL runs
        yield door


@pytest.fixture
def pooled(settings: LazySettings) -> Iterator[Pooled]:
    """Makes what each thread of a web process has: Django's connection that borrows from the process's pool."""
    made: list[DatabaseWrapper] = []

    def make(through: socket.socket | None = None, patience: float = 5, size: int = 16) -> DatabaseWrapper:
        settings.DATABASE_POOL_PATIENCE_S = patience
        ours = connection.settings_dict
        pool = settings.DATABASE_POOL_OPTIONS | {"max_size": size, "timeout": min(patience, 1)}
        host, port = through.getsockname() if through else (ours["HOST"], ours["PORT"])
        told = {"HOST": host, "PORT": port, "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False}
        made.append(DatabaseWrapper(ours | told | {"OPTIONS": ours["OPTIONS"] | {"pool": pool}}, "pooled"))
        return made[-1]

    yield make
    for each in made:
        each.close()
    made[-1].close_pool()


def _open(door: socket.socket) -> float:
    """Begins to lead to PostgreSQL; since when."""
    door.listen()
    threading.Thread(target=_forward, args=(door,), daemon=True).start()
    return time.monotonic()


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
