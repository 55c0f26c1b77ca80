"""Django's migrate, on a hub at work: it waits for each lock shortly, and again. See `hub.migration_locks`."""

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

from hub import migration_locks


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        with migration_locks.short_waits(connection):
            # What was done is recorded, migration by migration; one that waited too long was undone. Those that are not
            # atomic are tried again statement by statement (hub.postgresql).
            migration_locks.again(lambda: super(Command, self).handle(*args, **options), tell=self.stderr.write)
