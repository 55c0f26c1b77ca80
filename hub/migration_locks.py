"""How a migration waits for locks on a hub at work: shortly, and again after a pause.

A statement that waits for a table keeps everybody else waiting who comes after it. So it waits no longer than a payment
may be late, and between two tries whoever came meanwhile is served.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.errors import LockNotAvailable

T = TypeVar("T")

LOCK_TIMEOUT_MS = 500
PAUSE_S = 1.0
PATIENCE_S = 900.0
"""What reads a table for longer is to be ended by a person; the migration says what it waits for."""


def again(work: Callable[[], T], *, tell: Callable[[str], object] = lambda text: None) -> T:
    """What `work` returns, which is done anew where it waited too long for a lock; it must be whole or undone."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return work()
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable) or time.monotonic() > until:
                raise
            tell(f"Others hold a lock, trying again: {str(error).splitlines()[0]}")
        time.sleep(PAUSE_S * random.uniform(1, 2))  # noqa: S311 (no secret)


@contextmanager
def short_waits(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """No statement of this session waits longer than `LOCK_TIMEOUT_MS` for a lock, until the end of the block."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout')")
        before = cursor.fetchone()[0]
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_TIMEOUT_MS}ms"])
    try:
        yield
    finally:
        if connection.is_usable() and not connection.needs_rollback:
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", [before])
