"""Statements that change tables, each tried again where others hold its lock, unless it is part of a transaction."""

from typing import Any

from django.db.backends.postgresql.schema import DatabaseSchemaEditor

from hub import migration_locks


class SchemaEditor(DatabaseSchemaEditor):
    def execute(self, sql: Any, params: Any = ()) -> None:
        if self.collect_sql or self.connection.in_atomic_block:
            super().execute(sql, params)
        else:
            migration_locks.again(lambda: super(SchemaEditor, self).execute(sql, params))
