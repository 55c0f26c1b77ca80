"""manage.py rebuild_profiles [--check]: rebuilds the rules' profiles, or compares the profiles with the transfers."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from hub.command_output_and_user import console_of
from ledger.rule_history import rebuild

MOST_SHOWN = 20


class Command(BaseCommand):
    help = (
        "Rebuilds the profiles that differ from the transfers; with --check, only lists these profiles, and exits with "
        "1 if there are any."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a profile differs")

    def handle(self, *args: Any, **options: Any) -> None:
        console = console_of(self)
        if not options["check"]:
            console.print(f"profiles: {rebuild.rebuild()} rebuilt", highlight=False)
        found = rebuild.compare()
        for difference in found.differences[:MOST_SHOWN]:
            console.print(f"  [red]DIFFERS[/red] profile {difference.key}: {difference.text}", highlight=False)
        console.print(
            f"profiles: {found.profiles} with {found.payments} payments, {len(found.differences)} differences",
            highlight=False,
        )
        if found.differences:
            sys.exit(1)
