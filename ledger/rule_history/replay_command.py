"""manage.py rules replay: shows the decisions that rules would have made about the stored payments."""

import json
from argparse import ArgumentParser
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table

from fspiop.money import format_amount
from hub.command_output_and_user import moment
from ledger.rule_history import replay, replayed_rules
from ledger.rule_history.replay_report import Report
from ledger.rule_history.replayed_rules import ReplayedRules
from rules.rulesets import queries


class ReplayCommand:
    help = "show what a version, a file or the live rules would decide about the stored payments"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("rules", nargs="?", help="the number of a version, or a file (default: the live version)")
        parser.add_argument("--since", type=moment, help="judge payments from this time on: 2026-12-01T00:00:00Z")
        parser.add_argument("--until", type=moment, help="judge only payments before this time")
        parser.add_argument("--json", action="store_true", help="write the figures as JSON")

    def run(self, console: Console, options: dict[str, Any]) -> int:
        """Replays the rules, and prints the report of the replay.

        Returns 1 if the replay did not reproduce a stored decision of the live version.
        """
        rules = _rules(options["rules"])
        with replay.without_cycles():
            if options["json"]:
                report = replay.run(rules, since=options["since"], until=options["until"])
                console.out(json.dumps(figures(report)), highlight=False)
            else:
                report = _with_progress(console, rules, options)
                show(console, rules, report)
        return 1 if report.different else 0


def _rules(named: str | None) -> ReplayedRules:
    if named is None:
        number = replayed_rules.live()
        if number is None:
            raise CommandError("no rules are active: name a version or a file")
        return replayed_rules.of_version(number)
    if named.isdecimal():
        if queries.version(int(named)) is None:
            raise CommandError(f"there is no version {named} of the rules")
        return replayed_rules.of_version(int(named))
    return replayed_rules.of_text(Path(named).read_bytes())


def _with_progress(console: Console, rules: ReplayedRules, options: dict[str, Any]) -> Report:
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("replaying", total=None)
        return replay.run(
            rules,
            since=options["since"],
            until=options["until"],
            tell=lambda done, whole: progress.update(task, completed=done, total=whole),
        )


def figures(report: Report) -> dict[str, Any]:
    """Returns the report of a replay as JSON values."""
    return {
        "judged": dict(report.judged),
        "not_judged": report.not_judged,
        "outcomes": dict(report.outcomes),
        "hits": report.hits,
        "refused_value": {currency: format_amount(value) for currency, value in report.refused_value.items()},
        "rules": {
            rule: asdict(of) | {"refused_value": {name: format_amount(v) for name, v in of.refused_value.items()}}
            for rule, of in report.rules.items()
        },
        "alerts_per_day": round(report.alerts_per_day, 1),
        "alerts": {day.isoformat(): count for day, count in sorted(report.alerts.items())},
        "overlaps": [[*pair, count] for pair, count in report.overlaps.most_common(20)],
        "worst_hit": [list(each) for each in report.worst_hit()],
        "examples": [asdict(each) | {"at": each.at.isoformat()} for each in report.examples],
        "changed": [[then, now, count] for (then, now), count in report.changed.most_common()],
        "compared": report.compared,
        "reproduced": report.reproduced,
        "by_kill_switch": report.by_kill_switch,
        "late": report.late,
        "different": report.different,
        "differences": report.differences,
    }


def show(console: Console, rules: ReplayedRules, report: Report) -> None:
    """Prints the report of a replay as text for people."""

    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    what = f"version {rules.version}" if rules.version is not None else "a file"
    say(f"{rules.name} ({what}): judged {_told(report.judged)}; {_told(report.outcomes)}")
    if report.not_judged:
        say(f"payments not judged, because the hub has no facts about them: {report.not_judged}")
    _show_rules(console, report)
    say(f"alerts per day: {report.alerts_per_day:.1f}; refused: {_amounts(report.refused_value)}")
    for (one, other), count in report.overlaps.most_common(10):
        say(f"  both {one} and {other}: {count}")
    for name, hit, judged in report.worst_hit():
        say(f"  {name}: {hit} of {judged} payments held, refused or with an alert ({hit / judged:.1%})")
    _show_examples(console, report)
    for (then, now), count in report.changed.most_common():
        say(f"  {then} then, {now} by these rules: {count}")
    if rules.follows_history:
        say(
            f"decisions of this version: {report.compared}, reproduced {report.reproduced}"
            f" ({report.by_kill_switch} by kill switches), late counters {report.late}, different {report.different}"
        )
        for text in report.differences:
            say(f"  DIFFERS {text}")


def _show_rules(console: Console, report: Report) -> None:
    names = ("hits", "alerts", "holds", "refusals", "skipped", "no effect", "refused value")
    table = Table(Column("rule", overflow="fold"), *names, title=f"{report.hits} hits")
    for rule, of in sorted(report.rules.items(), key=lambda each: -each[1].hits):
        numbers = (of.hits, of.alerts, of.holds, of.refusals, of.skipped, of.no_effect)
        table.add_row(rule, *map(str, numbers), _amounts(of.refused_value))
    console.print(table)


def _show_examples(console: Console, report: Report) -> None:
    payment, rules = Column("payment", overflow="fold"), Column("rules", overflow="fold")
    table = Table("at", "gate", payment, "from", "to", "amount", "then", "now", rules, title="Examples")
    for each in sorted(report.examples, key=lambda example: example.at):
        now = f"{each.outcome} {each.code or ''}".strip()
        amount = f"{format_amount(each.amount)} {each.currency}" if each.currency else ""
        parties = (each.payer_dfsp, each.payee_dfsp, amount)
        table.add_row(
            f"{each.at:%Y-%m-%d %H:%M:%S}",
            each.gate,
            each.subject,
            *parties,
            each.outcome_then,
            now,
            ", ".join(each.rules),
        )
    console.print(table)


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "nothing"


def _amounts(values: Counter[str]) -> str:
    return ", ".join(f"{format_amount(value)} {currency}" for currency, value in sorted(values.items())) or "nothing"
