"""The commands `init` and `doctor`, which write a configuration and examine it."""

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path

from rich.prompt import Confirm, IntPrompt, Prompt

from kitovu_connector import doctor, logs, new_connector_files
from kitovu_connector.commands.common import FAILED, AddCommand, Misused, config_of, out
from kitovu_connector.config import Config, ConfigError
from kitovu_connector.doctor import Finding, Verdict
from kitovu_connector.new_connector_files import Answers, FileExists

_STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAULT: "red", Verdict.SKIPPED: "dim"}


def add_to(command: AddCommand) -> None:
    """Adds the commands."""
    init = command("init", _init, "ask for your settings, and write a configuration, keys and a signing request")
    init.add_argument("--folder", type=Path, default=Path(), help="the folder for the files (default: this folder)")
    init.add_argument("--yes", action="store_true", help="use only flags and defaults, and ask no questions")
    for name in ("dfsp", "hub-url", "backend-url", "inbound-host"):
        init.add_argument(f"--{name}")
    for name in ("inbound-port", "outbound-port"):
        init.add_argument(f"--{name}", type=int)
    init.add_argument(
        "--demo", action="store_true", help="for a hub on this machine, without signatures, certificates or tokens"
    )

    command("doctor", _doctor, "examine settings, keys, hub, callback and core, and show how to mend each fault")


def _init(asked: argparse.Namespace) -> int:
    answers = _answers(asked)
    try:
        written = new_connector_files.write(asked.folder, answers)
    except FileExists as error:
        raise Misused(f"init does not change existing files, and this file exists: {error}") from None
    for path in written:
        out.print(f"wrote {path}", markup=False)
    out.print("Next: `kitovu-connector doctor`, then `kitovu-connector serve`.", markup=False)
    return 0


def _answers(asked: argparse.Namespace) -> Answers:
    given = {
        name: value
        for name in ("dfsp", "hub_url", "backend_url", "inbound_host", "inbound_port", "outbound_port")
        if (value := getattr(asked, name)) is not None
    }
    if asked.demo:
        given |= dict.fromkeys(("signs", "uses_certificate", "uses_token"), False) | {"inbound_is_private": True}
    questions: dict[str, Callable[[], object]] = {
        "dfsp": lambda: Prompt.ask("Your participant name at the hub"),
        "hub_url": lambda: Prompt.ask("The hub's URL", default="https://hub.example"),
        "backend_url": lambda: Prompt.ask("Your core's URL", default="http://127.0.0.1:8080"),
        "inbound_host": lambda: Prompt.ask("The address on which the hub calls this connector", default="0.0.0.0"),  # noqa: S104
        "inbound_port": lambda: IntPrompt.ask("The port for the hub's calls", default=4000),
        "outbound_port": lambda: IntPrompt.ask("The port for your core's calls", default=4001),
        "signs": lambda: Confirm.ask("Does the scheme require signatures?", default=True),
        "uses_certificate": lambda: Confirm.ask("Does the scheme require client certificates?", default=True),
        "uses_token": lambda: Confirm.ask("Does the scheme require access tokens?", default=True),
    }
    for name, ask in questions.items():
        if name not in given and not asked.yes:
            given[name] = ask()
    missing = [name for name in ("dfsp", "hub_url", "backend_url") if not given.get(name)]
    if missing:
        raise Misused(f"init needs {', '.join('--' + name.replace('_', '-') for name in missing)}")
    answers = Answers(**given)
    # Config checks the answers. The same checks also run when the connector starts.
    Config(
        dfsp=answers.dfsp,
        hub_url=answers.hub_url,
        backend_url=answers.backend_url,
        state=Path("state"),
        ilp_secret="x" * 16,
        inbound_host=answers.inbound_host,
        inbound_port=answers.inbound_port,
        outbound_port=answers.outbound_port,
    )
    return answers


def _doctor(asked: argparse.Namespace) -> int:
    try:
        config = config_of(asked)
    except ConfigError as error:
        _show(Finding("settings", Verdict.FAULT, str(error), "Correct connector.toml."))
        return FAILED
    logs.configure("CRITICAL")  # doctor prints these facts itself, so the command writes no log lines

    async def run() -> list[Finding]:
        found = []
        async for finding in doctor.examine(config):
            _show(finding)
            found.append(finding)
        return found

    findings = asyncio.run(run())
    faults = sum(finding.verdict is Verdict.FAULT for finding in findings)
    out.print("All is well." if not faults else f"{faults} fault{'s' * (faults > 1)}.")
    return FAILED if faults else 0


def _show(finding: Finding) -> None:
    out.print(f"[{_STYLES[finding.verdict]}]{finding.verdict:8}[/] {finding.check:15}", end=" ")
    out.print(finding.text, markup=False)
    if finding.advice and finding.verdict is not Verdict.OK:
        out.print(f"{'':24} {finding.advice}", markup=False)
