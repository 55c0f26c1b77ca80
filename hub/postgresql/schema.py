"""Runs statements that change tables. Outside of a transaction, this class repeats a statement that waited too long for
a lock."""

from typing import Any

from django.db.backends.postgresql.schema import DatabaseSchemaEditor

from hub import migration_locks


class SchemaEditor(DatabaseSchemaEditor):
    def execute(self, sql: Any, params: Any = ()) -> None:
        if self.collect_sql or self.connection.in_atomic_block:
            super().execute(sql, params)
        else:
            migration_locks.again(lambda: super(SchemaEditor, self).execute(sql, params))
