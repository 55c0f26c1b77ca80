"""Django's command migrate for a running hub. The command waits only briefly for each lock, and then tries again. See
`hub.migration_locks`."""

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

from hub import migration_locks


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        with migration_locks.short_waits(connection):
            # Each finished migration is recorded, and a migration that waited too long was rolled back. Migrations that
            # are not atomic are retried statement by statement (hub.postgresql).
            migration_locks.again(lambda: super(Command, self).handle(*args, **options), tell=self.stderr.write)
