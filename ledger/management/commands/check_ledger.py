"""manage.py check_ledger: reports whether every invariant of the ledger is true. The command also reports whether each
profile agrees with the stored transfers.

If an invariant is not true, the command prints rows that break the invariant, and exits with 1.
"""

import sys
from typing import Any

from django.core.management.base import BaseCommand
from rich.table import Table

from hub.audit import trail
from hub.command_output_and_user import console_of
from ledger import invariants
from ledger.rule_history import rebuild


class Command(BaseCommand):
    help = "Checks every invariant of the ledger and the audit trail's chain; exits with 1 if a check fails."

    def handle(self, *args: Any, **options: Any) -> None:
        console = console_of(self)
        breaks = invariants.find_breaks()
        broken = {found.invariant.name for found in breaks}
        for invariant in invariants.INVARIANTS:
            mark = "[red]BROKEN[/red]" if invariant.name in broken else "[green]ok[/green]    "
            console.print(f"  {mark} {invariant.name}", highlight=False)
        for found in breaks:
            if found.error:
                console.print(f"{found.invariant.name} could not be checked: {found.error}", style="red")
                continue
            table = Table(*found.columns, title=f"{found.invariant.name}: {found.invariant.sentence}")
            for row in found.rows:
                table.add_row(*(str(value) for value in row))
            console.print(table)
        bad_entries = list(trail.broken_links())
        for entry in bad_entries:
            console.print(f"  [red]BROKEN[/red] audit entry {entry.pk} does not follow the one before it")
        differing = rebuild.compare().differences
        for difference in differing[: invariants.MOST_ROWS]:
            console.print(f"  [red]BROKEN[/red] profile {difference.key}: {difference.text}", highlight=False)
        if breaks or bad_entries or differing:
            broken_count = len(breaks) + bool(bad_entries) + bool(differing)
            console.print(f"ledger: {broken_count} invariants broken", style="red")
            sys.exit(1)
        console.print(f"ledger: ok, {len(invariants.INVARIANTS)} invariants hold", highlight=False)
