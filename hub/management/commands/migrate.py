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
            # The migration that waited too long was rolled back, so a second run continues with this migration. If a
            # migration is not atomic, `hub.postgresql` repeats single statements.
            migration_locks.again(lambda: super(Command, self).handle(*args, **options), tell=self.stderr.write)
