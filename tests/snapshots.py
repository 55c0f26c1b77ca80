"""The rows of a prepared database, written anew at once: two thousand tests begin with the same few participants, and
preparing these through the hub's own services takes three hundred statements."""

from django.db import connection, transaction

# Django writes these itself whenever it has emptied a database, with other ids.
WRITTEN_BY_DJANGO = (
    "auth_group",
    "auth_group_permissions",
    "auth_permission",
    "django_content_type",
    "django_migrations",
)
_TABLES = """
SELECT c.relname, array_agg(quote_ident(a.attname) ORDER BY a.attnum)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
   AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND c.relname <> ALL (%s)
 GROUP BY c.relname
"""

Rows = dict[str, tuple[list[str], str]]
"""By table: its columns, and all of its rows as JSON."""


def take() -> Rows:
    """All rows that this connection sees."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(_TABLES, [list(WRITTEN_BY_DJANGO)])
        for table, columns in cursor.fetchall():
            cursor.execute(f"SELECT json_agg(t)::text FROM {table} t")
            (rows,) = cursor.fetchone()
            if rows is not None:
                found[table] = (columns, rows)
    return found


def may_restore() -> bool:
    """Whether this role may write without triggers, which judge what happens and not what has happened."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        return bool(cursor.fetchone()[0])


def restore(rows: Rows, *, replace: bool = False) -> None:
    """Writes these rows, with their ids, beside those of them that are there, or in place of all in their tables."""
    inserts = ", ".join(
        f"w{number} AS (INSERT INTO {table} ({', '.join(columns)})"
        f" SELECT {', '.join(columns)} FROM json_populate_recordset(NULL::{table}, %s::json) ON CONFLICT DO NOTHING)"
        for number, (table, (columns, _)) in enumerate(rows.items())
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        if replace:
            cursor.execute("; ".join(f"DELETE FROM {table}" for table in rows))
        cursor.execute(f"WITH {inserts} SELECT", [content for _, content in rows.values()])
        cursor.execute("SET LOCAL session_replication_role = origin")
