"""Empties the database after a test with real commits, without the work that Django does for any database.

Django truncates all tables, which makes new files for each of them and their indexes, and then writes groups,
permissions and content types anew: half a second for each of three thousand tests. This deletes the rows instead,
which are few, and leaves what Django would write again unless a test has changed it.
"""

from typing import Any

from django.db import connection
from django.test import TransactionTestCase

from tests.snapshots import WRITTEN_BY_DJANGO, may_restore

_OF_DJANGO = [name for name in WRITTEN_BY_DJANGO if name != "django_migrations"]
_TABLES = """
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname <> ALL (%s)
"""
_DELETE = "; ".join(
    (
        "SET LOCAL session_replication_role = replica",
        "DO $$ BEGIN {} END $$",
        "SET LOCAL session_replication_role = origin",
    )
)
_FINGERPRINT = "SELECT " + ", ".join(
    f"(SELECT count(*) || '-' || md5(string_agg(t::text, ',' ORDER BY t.id)) FROM {name} t)" for name in _OF_DJANGO
)

_by_django = TransactionTestCase._fixture_teardown
_known: dict[str, Any] = {}


def install() -> None:
    """From now on, tests with real commits end with this."""
    TransactionTestCase._fixture_teardown = _fixture_teardown  # type: ignore[method-assign]


def _fixture_teardown(case: TransactionTestCase) -> None:
    if not may_restore() or _is_changed():
        _by_django(case)
        _known.clear()
        return
    with connection.cursor() as cursor:
        if "delete" not in _known:
            cursor.execute(_TABLES, [list(WRITTEN_BY_DJANGO)])
            deletes = "".join(f"DELETE FROM {name};" for (name,) in cursor.fetchall())
            _known["delete"] = f"BEGIN; {_DELETE.format(deletes)}; COMMIT"
        cursor.execute(_known["delete"])


def _is_changed() -> bool:
    """Whether the rows that Django writes differ from those at the first call."""
    with connection.cursor() as cursor:
        cursor.execute(_FINGERPRINT)
        seen = cursor.fetchone()
    return bool(_known.setdefault("rows of Django", seen) != seen)
