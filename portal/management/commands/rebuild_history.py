"""manage.py rebuild_history [--check]: rebuilds the history of payments, or compares the history with the ledger."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hub.command_output_and_user import console_of
from portal.history import recomputing

_MOST_SHOWN = 20


class Command(BaseCommand):
    help = "Rebuilds the history of payments from the ledger; --check only compares, and exits with 1 on a difference."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a row differs")

    def handle(self, *args: Any, **options: Any) -> None:
        console = console_of(self)
        try:
            if not options["check"]:
                console.print(f"history: {recomputing.rebuild()} rows rebuilt", highlight=False)
            rows, differences = recomputing.compare()
        except recomputing.Busy as error:
            raise CommandError(f"the hub is counting {error}s now; try again") from None
        for found in differences[:_MOST_SHOWN]:
            figures = f"{found.stored} stored, {found.recomputed} in the ledger"
            console.print(f"  [red]DIFFERS[/red] {found.source}s, {found.period}: {figures}", highlight=False)
        console.print(f"history: {rows} rows, {len(differences)} differences", highlight=False)
        if differences:
            sys.exit(1)
