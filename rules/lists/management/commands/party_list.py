"""manage.py party_list: creates a list of parties, replaces a list's content, or shows all lists."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from fspiop.errors import FspiopError
from hub.audit import program_change_requests
from hub.command_output_and_user import told, who
from rules.change_refused import NotChanged
from rules.lists import queries, services
from rules.lists.models import PartyList
from rules.lists.party_files import COLUMNS, BadFile

ACTOR = "manage.py"


class Command(BaseCommand):
    help = "Creates a list of parties, replaces a list's content by a file, or shows all lists."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        commands.add_parser("show", help="show each list with its version, parties and names")
        create = commands.add_parser("create", help="create an empty list")
        create.add_argument("name", help="the list's name in rules: small letters, digits and hyphens")
        create.add_argument("--kind", choices=PartyList.Kind.values, required=True)
        create.add_argument("--title", default="")
        create.add_argument(
            "--least-score", type=int, default=88, help="how similar a name must be, 70 to 100 (default: %(default)s)"
        )
        load = commands.add_parser("import", help="replace the content of a list by a CSV file")
        load.add_argument("name")
        load.add_argument("file", type=Path, help=f"with the columns {', '.join(COLUMNS)}")
        load.add_argument("--reason", default="", help="the reason, for the person who approves the change")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['command']}")(**options)
        except program_change_requests.Waits as waits:
            self.stdout.write(told(waits))
        except BadFile as refused:
            faults = "\n".join(f"  {fault}" for fault in refused.faults)
            raise CommandError(f"Nothing was imported: {refused.count} bad lines\n{faults}") from None
        except FspiopError as error:
            raise CommandError(error.description) from None
        except (NotChanged, OSError) as reason:
            raise CommandError(str(reason)) from None

    def _show(self, **_options: Any) -> None:
        for each, length in queries.lists():
            self.stdout.write(
                f"{each.name} ({each.kind}): version {each.version}, {length.parties} parties, {length.names} names"
            )

    def _create(self, *, name: str, kind: str, title: str, least_score: int, **_options: Any) -> None:
        services.create(name=name, kind=kind, title=title, least_score=least_score, actor=ACTOR)
        self.stdout.write(f"list {name} created without entries")

    def _import(self, *, name: str, file: Path, reason: str, **_options: Any) -> None:
        staged = services.stage(name, file_name=file.name, raw=file.read_bytes(), actor=ACTOR)
        payload = {"list": name, "file": staged.pk, "sha256": staged.sha256}
        try:
            program_change_requests.ask_where_needed(
                "activate_list",
                program=program_change_requests.Program(who()),
                subject=f"list {name}",
                payload=lambda: payload,
                reason=reason,
            )
        except FspiopError:
            services.discard(staged.pk, sha256=staged.sha256)  # without a request, nobody can approve the file
            raise
        version = services.activate(staged.pk, sha256=staged.sha256, actor=ACTOR)
        self.stdout.write(
            f"list {name} has version {version.number}: {version.added} entries added, {version.removed} removed"
        )
