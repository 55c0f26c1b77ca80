"""manage.py run_replay: runs a replay of rules that a person requested in the portal. A worker starts this command."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ledger.rule_history.replay import without_cycles
from portal import replays


class Command(BaseCommand):
    help = "Runs a replay that a person requested in the portal. The workers start this command; people need not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("replay", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        with without_cycles():
            replays.run(options["replay"])
