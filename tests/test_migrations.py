"""A migration passes on a hub at work: payments wait for it no longer than they may be late."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from io import StringIO
from typing import Any

import pytest
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, RemoveIndexConcurrently
from django.core.management import call_command
from django.db import OperationalError, connection, connections, migrations, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.utils import timezone

from hub import concurrent_indexes, migration_locks
from hub.audit import record
from hub.participants.models import Participant
from hub.sql_execution import execute

RELEASED = {
    "audit": "0003",
    "directory": "0003",
    "ledger": "0012",
    "outbox": "0002",
    "participants": "0007",
    "portal": "0004",
    "quotes": "0008",
    "settlement": "0004",
}
"""The last migration of each app in the last release, of which hubs are upgraded."""
LARGE = {
    "audit": {"entry"},
    "directory": {"alias", "partylookup"},
    "ledger": {"bulktransfer", "entry", "fxtransfer", "fxtransferevent", "transfer", "transferevent"},
    "outbox": {"delivery", "message"},
    "quotes": {"bulkquote", "bulkquoteitem", "fxquote", "question", "quote", "transactionrequest"},
    "settlement": {"contenttotal", "settlementevent"},
}
"""Tables with a row for each payment, message or change."""


def since_the_release() -> dict[str, migrations.Migration]:
    return {
        f"{app}.{name}": found
        for (app, name), found in MigrationLoader(None).disk_migrations.items()
        if app in RELEASED and name[:4] > RELEASED[app]
    }


def faults_of(migration: migrations.Migration) -> Iterator[str]:
    """What would keep a hub at work waiting for longer than the lock of a moment."""
    made = {each.name.lower() for each in migration.operations if isinstance(each, migrations.CreateModel)}
    if migration.atomic and any(not isinstance(each, migrations.RunSQL) for each in migration.operations):
        yield from _long_reads(migration)
    large = LARGE.get(migration.app_label, set()) - made
    for operation in migration.operations:
        yield from _faults_of(operation, migration, large)


def _long_reads(migration: migrations.Migration) -> Iterator[str]:
    """Reads of a large table, while the migration's transaction holds the locks of its other operations."""
    tables = [f"{app}_{model}" for app, models in LARGE.items() for model in models]
    for operation in migration.operations:
        if isinstance(operation, migrations.RunSQL):
            words = set(re.findall(r"\w+", str(operation.sql)))
            yield from (f"RunSQL reads {table} beside other operations" for table in tables if table in words)


def _faults_of(operation: Operation, migration: migrations.Migration, large: set[str]) -> Iterator[str]:
    is_ours = isinstance(operation, concurrent_indexes.AddIndex | concurrent_indexes.RemoveIndex)
    name = type(operation).__name__
    if is_ours and migration.atomic:
        yield f"{name} in a migration that is atomic"
    if isinstance(operation, AddIndexConcurrently | RemoveIndexConcurrently) and not is_ours:
        yield f"{name}: take hub.concurrent_indexes, which can be run again"
    elif isinstance(operation, migrations.AddIndex | migrations.RemoveIndex) and not is_ours:
        if operation.model_name.lower() in large:
            yield f"{name} of {operation.model_name} without CONCURRENTLY"
    elif isinstance(operation, AddConstraintNotValid):  # reads no row
        return
    elif isinstance(operation, migrations.AddConstraint) and operation.model_name.lower() in large:
        yield f"{name} of {operation.model_name}: reads all of it; add it as not valid, and validate it by itself"
    elif isinstance(operation, migrations.RunSQL):
        text = str(operation.sql).upper()
        if "INDEX" in text and ("CREATE" in text or "DROP" in text) and "CONCURRENTLY" not in text:
            yield f"{name}: an index without CONCURRENTLY"


@pytest.mark.parametrize("name", sorted(since_the_release()))
def test_a_migration_makes_nobody_wait(name: str) -> None:
    assert list(faults_of(since_the_release()[name])) == []


def test_what_makes_others_wait_is_seen() -> None:
    found = MigrationLoader(None).disk_migrations
    assert list(faults_of(found["ledger", "0009_what_people_look_at"]))
    assert list(faults_of(found["ledger", "0012_ids_are_sought_whole"]))


@pytest.mark.django_db
def test_participants_that_were_leaving_get_what_they_could_do_from_the_audit_trail() -> None:
    taken = import_module("hub.participants.migrations.0010_leaving_participants_before").BEFORE
    said = [("leaving_begun", True), ("leaving_taken_back", True), ("leaving_begun", False)]
    for name in ("ash", "elm", "oak"):
        for action, may_send in said:
            record(action, subject=name, actor="test", before={"maySend": may_send, "mayReceive": not may_send})
    leaving: dict[str, Any] = {"may_send": False, "may_receive": False, "leaving_since": timezone.now()}
    Participant.objects.create(name="ash", **leaving)
    Participant.objects.create(name="elm")
    Participant.objects.create(name="oak", could_send=True, could_receive=True, **leaving)
    execute(taken)
    found = Participant.objects.filter(name__in=["ash", "elm", "oak"]).order_by("name")
    assert list(found.values_list("name", "could_send", "could_receive")) == [
        ("ash", False, True),
        ("elm", None, None),
        ("oak", True, True),
    ]


@contextmanager
def a_reader_of(*tables: str, seconds: float) -> Iterator[None]:
    """Another session reads these tables in one long transaction."""
    begun = threading.Event()

    def read() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")
            begun.set()
            time.sleep(seconds)
        connections.close_all()

    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(5)
    try:
        yield
    finally:
        thread.join()


@contextmanager
def the_hub_at_work(*tables: str) -> Iterator[list[float]]:
    """Reads and writes these tables again and again; how long each statement took."""
    took: list[float] = []
    is_over = threading.Event()

    def work(table: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '20s'")  # a longer wait is measured, and does not end
            while not is_over.is_set():
                for statement in (f"SELECT 1 FROM {table} LIMIT 1", f"DELETE FROM {table} WHERE false"):
                    began = time.monotonic()
                    cursor.execute(statement)
                    took.append(time.monotonic() - began)
                time.sleep(0.02)
        connections.close_all()

    threads = [threading.Thread(target=work, args=(table,)) for table in tables]
    for thread in threads:
        thread.start()
    try:
        yield took
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


TABLES = ("outbox_message", "directory_partylookup", "quotes_quote", "ledger_transfer", "audit_approval")


def add_a_column() -> None:
    with connection.schema_editor(atomic=False) as editor:
        editor.execute("ALTER TABLE directory_partylookup ADD COLUMN tried smallint")


def add_a_column_in_a_transaction() -> None:
    def add() -> None:
        with transaction.atomic():
            add_a_column()

    migration_locks.again(add)


@pytest.mark.parametrize("change", [add_a_column, add_a_column_in_a_transaction])
def test_a_change_waits_for_a_reader_shortly_and_again(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]
) -> None:
    monkeypatch.setattr(migration_locks, "PAUSE_S", 0.1)
    monkeypatch.setattr(migration_locks, "LOCK_TIMEOUT_MS", 100)
    began = time.monotonic()
    try:
        with (
            a_reader_of("directory_partylookup", seconds=0.8),
            the_hub_at_work("directory_partylookup") as took,
            migration_locks.short_waits(connection),
        ):
            change()
            took_in_all = time.monotonic() - began
    finally:
        execute("ALTER TABLE directory_partylookup DROP COLUMN tried")
    assert took_in_all > 0.5
    assert max(took) < 0.5


@pytest.mark.parametrize(("schema", "limit"), [("pg_temp", "0"), ("public", "10s")])
def test_a_migration_may_pause_in_a_new_database_only(db: None, schema: str, limit: str) -> None:
    execute(f"SET LOCAL search_path = {schema}")
    with migration_locks.short_waits(connection):
        assert execute("SHOW idle_in_transaction_session_timeout").fetchone()[0] == limit
    assert execute("SHOW idle_in_transaction_session_timeout").fetchone()[0] == "10s"


def test_what_is_no_wait_for_a_lock_is_not_tried_again() -> None:
    tries: list[int] = []

    def fail() -> None:
        tries.append(1)
        raise OperationalError("the disk is full")

    with pytest.raises(OperationalError):
        migration_locks.again(fail)
    assert tries == [1]


@pytest.mark.thorough
@pytest.mark.live
def test_all_migrations_since_the_release_pass_on_a_hub_at_work(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_locks, "PAUSE_S", 0.3)
    applied = set(since_the_release())
    try:
        for app, number in RELEASED.items():
            call_command("migrate", app, number, verbosity=0)
        with a_reader_of(*TABLES, seconds=6), the_hub_at_work(*TABLES) as took:
            call_command("migrate", verbosity=0, stderr=StringIO())
    finally:
        call_command("migrate", verbosity=0)
    assert applied <= {f"{app}.{name}" for app, name in MigrationLoader(connection).applied_migrations}
    assert len(took) > 100
    # LOCK_TIMEOUT_MS, and what two cores of a busy machine add. Behind a migration that waits, it would be six seconds.
    assert max(took) < 4
    assert execute("SHOW lock_timeout").fetchone()[0] == "2s"  # as impatient as before
