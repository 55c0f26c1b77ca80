"""Adds an index while the hub runs. No request waits for the index, even if the table is large. The migration must have
`atomic = False`. If the migration was interrupted, run it again: it replaces the incomplete index.
"""

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState

_TIMEOUTS = ("statement_timeout", "lock_timeout")


def _take_time(schema_editor: BaseDatabaseSchemaEditor) -> None:
    # Disables the timeouts, because PostgreSQL needs a long time: it reads the whole table for the index, and waits for
    # every older transaction. Other transactions do not wait.
    for name in _TIMEOUTS:
        schema_editor.execute(f"SELECT set_config('kitovu.{name}', current_setting('{name}'), false)")
        schema_editor.execute(f"SET {name} = 0")


def _be_quick(schema_editor: BaseDatabaseSchemaEditor) -> None:
    for name in _TIMEOUTS:
        schema_editor.execute(f"SELECT set_config('{name}', current_setting('kitovu.{name}'), false)")


class AddIndex(AddIndexConcurrently):
    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        self._ensure_not_in_transaction(schema_editor)
        _take_time(schema_editor)
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {self.index.name}")
        super().database_forwards(app_label, schema_editor, from_state, to_state)
        _be_quick(schema_editor)


class RemoveIndex(RemoveIndexConcurrently):
    def database_forwards(self, *arguments: Any) -> None:
        schema_editor = arguments[1]
        _take_time(schema_editor)
        super().database_forwards(*arguments)
        _be_quick(schema_editor)
