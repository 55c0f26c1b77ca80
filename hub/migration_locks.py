"""Limits how long a migration waits for locks while the hub runs. If a lock is not free, the migration pauses and tries
again. While a statement waits for a lock on a table, all later statements on this table must also wait. So payments
wait while a migration waits for a lock. During the migration's pauses, these payments continue.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.migrations.recorder import MigrationRecorder
from psycopg.errors import LockNotAvailable

T = TypeVar("T")

LOCK_TIMEOUT_MS = 500
PAUSE_S = 1.0
PATIENCE_S = 900.0
"""If another transaction reads the table for longer than this time, a person must end the other transaction.

The migration reports the transactions for which it waits.
"""


def again(work: Callable[[], T], *, tell: Callable[[str], object] = lambda text: None) -> T:
    """Calls `work` and returns the result. If the call waited too long for a lock, calls `work` again after a pause. So
    `work` must be atomic."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return work()
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable) or time.monotonic() > until:
                raise
            tell(f"Another transaction holds a lock, trying again: {str(error).splitlines()[0]}")
        time.sleep(PAUSE_S * random.uniform(1, 2))  # noqa: S311 (no secret)


@contextmanager
def short_waits(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Within the `with` block, each statement of this database session waits at most `LOCK_TIMEOUT_MS` for a lock.

    In a new database, no payment waits for a migration. So a pause between two statements, on a busy machine, does not
    end the session there.
    """
    is_new = not MigrationRecorder(connection).has_table()
    settings = {"lock_timeout": f"{LOCK_TIMEOUT_MS}ms"}
    if is_new:
        settings["idle_in_transaction_session_timeout"] = "0"
    with connection.cursor() as cursor:
        before = {name: _set(cursor, name, value) for name, value in settings.items()}
    try:
        yield
    finally:
        if connection.is_usable() and not connection.needs_rollback:
            with connection.cursor() as cursor:
                for name, value in before.items():
                    _set(cursor, name, value)


def _set(cursor: CursorWrapper, name: str, value: str) -> str:
    """Changes a setting of the session. Returns the value before the change."""
    cursor.execute("SELECT current_setting(%s)", [name])
    before: str = cursor.fetchone()[0]
    cursor.execute("SELECT set_config(%s, %s, false)", [name, value])
    return before
