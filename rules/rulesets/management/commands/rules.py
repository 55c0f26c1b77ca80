"""manage.py rules: checks, shows, imports, exports, activates and replays versions of the scheme's rules."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.table import Table

from fspiop.errors import FspiopError
from hub.audit import program_change_requests
from hub.audit.program_change_requests import Program
from hub.command_output_and_user import console_of, moment, told, who
from rules.language.checks_of_well_formed_rules import GATES, costs_ns
from rules.language.faults import RuleSetRefused
from rules.language.rule_types import RuleSet
from rules.language.schema import schema
from rules.rulesets import command_registry, queries, services
from rules.rulesets.models import Activation, RuleSetVersion


class Command(BaseCommand):
    help = "The scheme's rules: checks a file, and shows, imports, exports and activates versions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="action", required=True)
        commands.add_parser("check", help="report every fault in FILE").add_argument("file", type=Path)
        commands.add_parser("import", help="store FILE as a new version").add_argument("file", type=Path)
        commands.add_parser("export", help="write a version as JSON").add_argument("version", type=int)
        commands.add_parser("schema", help="write the JSON schema of rule sets")
        show = commands.add_parser("show", help="show the active rules, a version, or all versions")
        show.add_argument("version", type=int, nargs="?")
        show.add_argument("--all", action="store_true", help="list all versions and activations")
        activate = commands.add_parser("activate", help="activate a version for payments; 'none' switches rules off")
        activate.add_argument("version", help="the version's number, or none")
        activate.add_argument("--from", dest="begins", type=moment, help="such as 2026-12-01T00:00:00Z (default: now)")
        activate.add_argument("--until", type=moment, help="such as 2026-12-02T00:00:00Z (default: until the next)")
        activate.add_argument("--reason", default="by command")
        for name, command in command_registry.BY_NAME.items():
            command.add_arguments(commands.add_parser(name, help=command.help))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            more = command_registry.BY_NAME.get(options["action"])
            if more is None:
                getattr(self, f"_{options['action']}")(options)
            elif code := more.run(console_of(self), options):
                sys.exit(code)
        except program_change_requests.Waits as waits:
            self.stdout.write(told(waits))
        except RuleSetRefused as refused:
            raise CommandError("\n".join(str(fault) for fault in refused.faults)) from None
        except FspiopError as error:
            raise CommandError(error.description) from None
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from None

    def _check(self, options: dict[str, Any]) -> None:
        rule_set = services.check_text(options["file"].read_bytes())
        self.stdout.write(f"{rule_set.name}: ok, {len(rule_set.rules)} rules, {_costs(rule_set)}")

    def _import(self, options: dict[str, Any]) -> None:
        version = services.create_from_text(options["file"].read_bytes(), actor=who())
        self.stdout.write(f"version {version.pk}: {version.name}")

    def _export(self, options: dict[str, Any]) -> None:
        self.stdout.write(services.text_of(self._version(options["version"])))

    def _schema(self, _options: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(schema(), indent=2))

    def _show(self, options: dict[str, Any]) -> None:
        if options["all"]:
            self._show_all()
            return
        if options["version"] is not None:
            self._show_version(self._version(options["version"]))
            return
        active = queries.active()
        if active is None or active.version is None:
            self.stdout.write("no rules are active")
            return
        self.stdout.write(f"active: version {active.version_id}, {_period(active)}, by {active.actor}")
        self._show_version(active.version)

    def _show_version(self, version: RuleSetVersion) -> None:
        rule_set = services.check(version.content)
        table = Table("rule", "title", "kind", "gate", "action", "mode", title=f"version {version.pk}: {version.name}")
        for rule in rule_set.rules:
            action = type(rule.action).__name__.lower()
            code = getattr(rule.action, "code", "")
            table.add_row(rule.id, rule.title, rule.kind, rule.gate, f"{action} {code}".strip(), rule.mode)
        console_of(self).print(table)

    def _show_all(self) -> None:
        console = console_of(self)
        table = Table("version", "name", "rules", "by", "created", "SHA-256")
        for version in RuleSetVersion.objects.order_by("pk"):
            rules = str(len(version.content.get("rules", ())))
            digest = bytes(version.digest).hex()[:16]
            table.add_row(
                str(version.pk), version.name, rules, version.author, f"{version.created_at:%Y-%m-%d %H:%M}", digest
            )
        console.print(table)
        for activation in Activation.objects.order_by("pk"):
            named = "no rules" if activation.version_id is None else f"version {activation.version_id}"
            console.print(f"{named} {_period(activation)}, by {activation.actor}", highlight=False)

    def _activate(self, options: dict[str, Any]) -> None:
        named = options["version"]
        if named != "none" and not named.isdecimal():
            raise CommandError(f"'{named}' is not a version: write the version's number, or none")
        number = None if named == "none" else int(named)
        begins, until, reason, actor = options["begins"], options["until"], options["reason"], who()
        program_change_requests.ask_where_needed(
            "activate_rules",
            program=Program(actor),
            subject="rules",
            payload=lambda: services.activation_terms(number, valid_from=begins, valid_until=until, reason=reason),
            reason=reason,
        )
        activation = services.activate(number, valid_from=begins, valid_until=until, reason=reason, actor=actor)
        self.stdout.write(f"active {_period(activation)}")

    def _version(self, number: int) -> RuleSetVersion:
        version = queries.version(number)
        if version is None:
            raise CommandError(f"there is no version {number} of the rules")
        return version


def _period(activation: Activation) -> str:
    until = f" until {activation.valid_until.isoformat()}" if activation.valid_until else ""
    return f"from {activation.valid_from.isoformat()}{until}" + (" (cancelled)" if activation.cancelled_at else "")


def _costs(rule_set: RuleSet) -> str:
    """For each gate, returns the highest cost that the rules of the gate can have for one payment. docs/rules.md has
    the table of costs."""
    costs = {gate: max(costs_ns(rule_set, gate), default=0) for gate in GATES}
    return ", ".join(f"{gate} {cost / 1000:.1f} us" for gate, cost in costs.items())
