"""The command kitovu-connector: sets up, examines and runs a DFSP's connector, and sends requests to the connector."""

import argparse
import asyncio
import os
import signal
import sys
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.prompt import Confirm, IntPrompt, Prompt
from rich.table import Table
from rich.text import Text

from fspiop import time as fsptime
from kitovu_connector import (
    book_comparison,
    configuration_files,
    doctor,
    key_files,
    logs,
    payment_files,
    reconciliation_report,
    request_command,
)
from kitovu_connector.amounts import AmountError, format_amount, parse_amount
from kitovu_connector.book_comparison import AtHub, FaultyFunds
from kitovu_connector.client import HubClient
from kitovu_connector.config import Config, ConfigError, StartError, load
from kitovu_connector.configuration_files import Answers, FileExists
from kitovu_connector.configured_core import core_of
from kitovu_connector.core_requests import CoreRequests, NotRunning, RequestRefused
from kitovu_connector.doctor import Finding, Verdict
from kitovu_connector.hub_api import HubApi, HubRefused, HubUnreachable, Submission
from kitovu_connector.payment_files import FaultyFile
from kitovu_connector.payment_states import State
from kitovu_connector.reconciliation import FAULTS, LONGEST
from kitovu_connector.service import Connector

T = TypeVar("T")

_CONFIG = "connector.toml"
_NOT_FLAGS = frozenset({"jws_keys"})
_STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAULT: "red", Verdict.SKIPPED: "dim"}
_POLL_S = 1.0
_MOST_AT_ONCE = 200
_FAILED, _MISUSED = 1, 2

_WIDTH_OF_A_FILE = 200

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Misused(Exception):
    """The error for a misused command, with the reason as text."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status: 0, 1 if the command failed, 2 if it was misused."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0].startswith("-") and given[0] not in ("-h", "--help"):
        given.insert(0, "serve")  # the earlier form of the command line, without a subcommand
    asked = _parser().parse_args(given)
    run: Callable[[argparse.Namespace], int] = asked.run
    try:
        return run(asked)
    except (ConfigError, StartError) as error:
        doing = "The connector cannot start" if asked.command == "serve" else "The configuration cannot be used"
        for line in str(error).splitlines():
            err.print(f"{doing}: {line}", markup=False)
        return _MISUSED
    except Misused as error:
        err.print(str(error), markup=False)
        return _MISUSED
    except (NotRunning, RequestRefused, HubUnreachable, HubRefused) as error:
        err.print(f"{asked.command}: {error}", markup=False)
        return _FAILED
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kitovu-connector", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument(
            "--config", type=Path, help=f"the configuration; CONNECTOR_CONFIG, or {_CONFIG} in this folder"
        )
        added.set_defaults(run=run)
        return added

    init = command("init", _init, "ask for what is needed, and write a configuration, keys and a signing request")
    init.add_argument("--folder", type=Path, default=Path(), help="the folder for the files (default: this folder)")
    init.add_argument("--yes", action="store_true", help="ask no questions: use these flags and the defaults")
    for name in ("dfsp", "hub-url", "backend-url", "inbound-host"):
        init.add_argument(f"--{name}")
    for name in ("inbound-port", "outbound-port"):
        init.add_argument(f"--{name}", type=int)
    init.add_argument(
        "--demo", action="store_true", help="for a hub on this machine, without signatures, certificates or tokens"
    )

    serve = command("serve", _serve, "run the connector until SIGTERM")
    for setting in fields(Config):
        if setting.name not in _NOT_FLAGS:
            serve.add_argument("--" + setting.name.replace("_", "-"))

    command("doctor", _doctor, "examine settings, keys, hub, callback and core, and say what to do")

    send = command("send", _send, "make one payment; your core's books do not record this payment")
    send.add_argument("to", help="the payee: MSISDN/255655001001")
    send.add_argument("amount", help="15000, or 12.50")
    send.add_argument("currency", help="TZS")
    send.add_argument("--from", dest="payer", required=True, help="the payer: MSISDN/255712001001")
    send.add_argument("--id", help="your own id of the payment; an equal id means the same payment (default: a new id)")
    send.add_argument("--note", help="a text for the payee")
    send.add_argument("--yes", action="store_true", help="pay without showing the payee first")

    bulk = command("bulk", _bulk, "make the payments of a CSV file: id, to, amount, currency, note")
    bulk.add_argument("file", type=Path, help="each line has your own payment id, so you can send the file again")
    bulk.add_argument("--from", dest="payer", required=True, help="the payer of all payments: BUSINESS/employer")
    bulk.add_argument("--at-once", type=int, default=20, help="the number of simultaneous payments (default: 20)")
    bulk.add_argument("--results", type=Path, help="the file for the results (default: FILE.results.csv)")

    refund = command(
        "refund", _refund, "pay an incoming transfer back to its payer; your core's books do not record this payment"
    )
    refund.add_argument("transfer", help="the transfer's id, as `listen` and `reconcile` show it")
    refund.add_argument("--amount", help="refund only this part of the amount; needs --id")
    refund.add_argument(
        "--id", help="your own id of the refund (default: one id per transfer, so each is refunded only once)"
    )
    refund.add_argument("--reason", help="a text for the payer")
    refund.add_argument("--yes", action="store_true", help="pay without a question first")

    request = command("request", _request, "ask a customer of another DFSP for money, and wait for it")
    request_command.add_arguments(request)

    lookup = command("lookup", _lookup, "show a payee, as the payee's DFSP describes it")
    lookup.add_argument("party", help="MSISDN/255655001001")

    payments = command("payments", _payments, "list outgoing payments, in the order of their last change")
    payments.add_argument("--state", choices=[state.value for state in State])
    payments.add_argument(
        "--since", help="only payments that have changed since this time: 2026-01-31, 2026-01-31T08:00:00.000Z, or 2h"
    )
    payments.add_argument("--limit", type=int, default=100)

    listen = command("listen", _listen, "print each transfer when it changes, until Ctrl-C")
    listen.add_argument("--since", default="0s", help="begin with changes since this time (default: now)")
    listen.add_argument("--count", type=int, help="end after this number of lines")

    reconcile = command("reconcile", _reconcile, "compare this connector's transfers with the hub's statement")
    reconcile.add_argument("--since", default="24h", help="default: 24h ago")
    reconcile.add_argument("--until", default="1m", help="default: 1m ago, because younger transfers may still be open")
    reconcile.add_argument("--report", type=Path, help="write every result with both sides to this CSV file")
    reconcile.add_argument(
        "--funds", type=Path, help="your own list of funds in and out: CSV with reference, direction, amount, currency"
    )

    command("positions", _positions, "show your positions and free limits at the hub")

    certificate = command("certificate", _certificate, "have the hub sign a client certificate, and fetch it")
    certificate.add_argument("action", choices=["request", "fetch"])
    certificate.add_argument("--csr", type=Path, default=Path("tls.csr"), help="the signing request (tls.csr)")
    certificate.add_argument("--out", type=Path, default=Path("tls.pem"), help="the file for the certificate")

    key = command("signing-key", _signing_key, "submit your public key for signatures, or fetch those of the others")
    key.add_argument("action", choices=["submit", "fetch"])
    key.add_argument("--key", type=Path, help="with submit: the private key that will replace signing_key later")
    key.add_argument("--out", type=Path, default=Path("keys"), help="with fetch: the folder for the keys")
    return parser


# --- setting up -------------------------------------------------------------------------------------------------------


def _init(asked: argparse.Namespace) -> int:
    answers = _answers(asked)
    try:
        written = configuration_files.write(asked.folder, answers)
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
    # The values are checked in the same way as at the start of the connector.
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


def _config(asked: argparse.Namespace) -> Config:
    return load(_config_file(asked), os.environ, {})


def _config_file(asked: argparse.Namespace) -> Path | None:
    if asked.config is not None:
        found: Path = asked.config
        return found
    if name := os.environ.get("CONNECTOR_CONFIG"):
        return Path(name)
    if "CONNECTOR_DFSP" in os.environ:  # all settings are in the environment, as in a container
        return None
    if Path(_CONFIG).exists():
        return Path(_CONFIG)
    raise Misused(f"there is no {_CONFIG} here: make one with `kitovu-connector init`, or name it with --config")


def _doctor(asked: argparse.Namespace) -> int:
    try:
        config = _config(asked)
    except ConfigError as error:
        _show(Finding("settings", Verdict.FAULT, str(error), "Correct connector.toml."))
        return _FAILED
    logs.configure("CRITICAL")  # doctor reports these facts as findings, so no log lines are needed

    async def run() -> list[Finding]:
        found = []
        async for finding in doctor.examine(config):
            _show(finding)
            found.append(finding)
        return found

    findings = asyncio.run(run())
    faults = sum(finding.verdict is Verdict.FAULT for finding in findings)
    out.print("All is well." if not faults else f"{faults} fault{'s' * (faults > 1)}.")
    return _FAILED if faults else 0


def _show(finding: Finding) -> None:
    out.print(f"[{_STYLES[finding.verdict]}]{finding.verdict:8}[/] {finding.check:15}", end=" ")
    out.print(finding.text, markup=False)
    if finding.advice and finding.verdict is not Verdict.OK:
        out.print(f"{'':24} {finding.advice}", markup=False)


# --- running ----------------------------------------------------------------------------------------------------------


def _serve(asked: argparse.Namespace) -> int:
    names = [setting.name for setting in fields(Config) if setting.name not in _NOT_FLAGS]
    flags = {name: getattr(asked, name) for name in names}
    file = asked.config
    if file is None and not {"dfsp", "hub_url"} <= {name for name, value in flags.items() if value is not None}:
        file = _config_file(asked)
    config = load(file, os.environ, flags)
    if not config.backend_url:
        raise ConfigError("backend_url must be given: the base URL of the core")
    config.check_callers_are_proven()
    logs.configure(config.log_level)
    asyncio.run(_run(config))
    return 0


async def _run(config: Config) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with core_of(config) as backend, Connector(config, backend):
        await stopped.wait()


# --- payments ---------------------------------------------------------------------------------------------------------


def _send(asked: argparse.Namespace) -> int:
    try:
        amount = format_amount(parse_amount(asked.amount))
    except AmountError as error:
        raise Misused(f"amount: {error}") from None
    payment = {
        "homeTransactionId": asked.id or str(uuid.uuid4()),
        "from": _alias(asked.payer),
        "to": _alias(asked.to),
        "amount": amount,
        "currency": asked.currency,
    } | ({"note": asked.note} if asked.note else {})

    async def run(connector: CoreRequests) -> int:
        if not asked.yes:
            party = await connector.party(asked.to)
            name = f"{party.get('displayName', 'somebody without a name')} at {party.get('fspId')}"
            if not Confirm.ask(f"Pay {amount} {asked.currency} to {escape(name)}?", console=out, default=False):
                return _FAILED
        return await _pay(connector, payment)

    return _with_connector(asked, run)


def _refund(asked: argparse.Namespace) -> int:
    if asked.amount and not asked.id:
        raise Misused("--amount needs --id: each part of a refund is a payment of its own")

    async def run(connector: CoreRequests) -> int:
        found = await connector.incoming(asked.transfer)
        if found["state"] != "COMMITTED":
            raise Misused(f"{asked.transfer} is {found['state']}: only a committed transfer can be refunded")
        if "transactionId" not in found:
            raise Misused(f"the terms of {asked.transfer}, with its payer, are no longer kept (quote_retention_s)")
        payment = {
            "homeTransactionId": asked.id or f"refund-{asked.transfer}",
            "from": _alias_in(found["to"]),
            "to": _alias_in(found["from"]),
            "amount": asked.amount or found["amount"],
            "currency": found["currency"],
            "transactionType": "REFUND",
            "refundInfo": {"originalTransactionId": found["transactionId"]}
            | ({"refundReason": asked.reason} if asked.reason else {}),
        }
        whom = "/".join(payment["to"].values())
        question = f"Pay {payment['amount']} {payment['currency']} back to {escape(whom)}?"
        if not asked.yes and not Confirm.ask(question, console=out, default=False):
            return _FAILED
        return await _pay(connector, payment)

    return _with_connector(asked, run)


def _alias_in(party: Mapping[str, Any]) -> dict[str, str]:
    return {name: party[name] for name in ("idType", "idValue", "idSubValue") if name in party}


async def _pay(connector: CoreRequests, payment: Mapping[str, Any]) -> int:
    try:
        found = await connector.pay(payment)
    except NotRunning as error:
        again = f"the same command with --id {payment['homeTransactionId']} is the same payment"
        raise NotRunning(f"{error}. It may have begun all the same: {again}") from None
    why = f" {found['errorCode']} {found['errorDescription']}" if found.get("errorCode") else ""
    out.print(
        f"{found['state']} {found.get('transferAmount') or payment['amount']} {payment['currency']} to"
        f" {found.get('payeeName') or '/'.join(payment['to'].values())}{why}"
        f"  (id {payment['homeTransactionId']}, transfer {found['transferId']})",
        markup=False,
    )
    return 0 if found["state"] == "COMMITTED" else _FAILED


def _bulk(asked: argparse.Namespace) -> int:
    if not 0 < asked.at_once <= _MOST_AT_ONCE:
        raise Misused(f"--at-once must be 1 to {_MOST_AT_ONCE}")
    try:
        payments = payment_files.read(asked.file, _alias(asked.payer))
    except FaultyFile as error:
        raise Misused(f"{error}\nNothing was paid.") from None
    results: Path = asked.results or asked.file.with_suffix(".results.csv")
    columns = (BarColumn(40), MofNCompleteColumn(), TextColumn("{task.fields[counts]}"), TimeRemainingColumn())
    counts: Counter[str] = Counter()

    async def run(connector: CoreRequests) -> int:
        with Progress(*columns, console=err) as progress:
            task = progress.add_task("payments", total=len(payments), counts="")

            def told(result: payment_files.Result) -> None:
                counts[result.state] += 1
                progress.update(task, advance=1, counts=_counted(counts))

            try:
                await payment_files.pay(connector, payments, at_once=asked.at_once, results=results, told=told)
            except NotRunning as error:
                raise NotRunning(f"{error}. Send the same file again then: no line is paid twice") from None
        out.print(f"{len(payments)} payments: {_counted(counts)}. Results: {results}", markup=False)
        return 0 if counts["COMMITTED"] == len(payments) else _FAILED

    return _with_connector(asked, run)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()) if count)


def _request(asked: argparse.Namespace) -> int:
    wanted = request_command.wanted(asked, payer=_alias(asked.payer), payee=_alias(asked.to))

    async def run(connector: CoreRequests) -> int:
        return await request_command.run(connector, wanted, out, seconds=asked.wait)

    return _with_connector(asked, run)


def _lookup(asked: argparse.Namespace) -> int:
    async def run(connector: CoreRequests) -> int:
        for name, value in (await connector.party(asked.party)).items():
            out.print(f"{name:20} {value}", markup=False)
        return 0

    return _with_connector(asked, run)


def _payments(asked: argparse.Namespace) -> int:
    async def run(connector: CoreRequests) -> int:
        table = Table("changed", "id", "to", "amount", "state", "reason", box=None, pad_edge=False)
        since = _moment(asked.since) if asked.since else None
        async for found in connector.payments(state=asked.state, since=since, most=asked.limit):
            to = found["payeeName"] or found["to"]["idValue"]
            reason = " ".join(filter(None, (found["errorCode"], found["errorDescription"])))
            amount = f"{found['amount']} {found['currency']}"
            row = (found["changedDate"], found["homeTransactionId"], to, amount, found["state"], reason)
            table.add_row(*map(Text, row))  # a name comes from another DFSP, so it must not be read as markup
        out.print(table)
        return 0

    return _with_connector(asked, run)


def _listen(asked: argparse.Namespace) -> int:
    async def run(connector: CoreRequests) -> int:
        since, told, left = _moment(asked.since), dict[tuple[str, str, str], str](), asked.count
        while True:
            changed = since
            async for found in connector.transfers(since=since):
                changed = found["changedDate"]
                line = (found["transferId"], found["direction"], found["state"])
                if line in told:  # the last moment is read again, because further changes may have the same time
                    continue
                told[line] = changed
                arrow = "to  " if found["direction"] == "OUT" else "from"
                out.print(
                    f"{found['changedDate']}  {found['direction']:3}  {found['state']:9}"
                    f"  {found['amount']} {found['currency']} {arrow} {found['otherFsp']}  {found['transferId']}"
                    f"  {found['errorCode'] or ''}",
                    markup=False,
                )
                if left is not None:
                    left -= 1
                    if not left:
                        return 0
            since = changed
            told = {line: moment for line, moment in told.items() if moment >= since}
            await asyncio.sleep(_POLL_S)

    return _with_connector(asked, run)


# --- the hub's own API ------------------------------------------------------------------------------------------------


def _reconcile(asked: argparse.Namespace) -> int:
    config, since, until = _config(asked), _moment(asked.since), _moment(asked.until)
    if since >= until:
        raise Misused("--since must be before --until")

    begin, now = _earlier(since, LONGEST), fsptime.format_datetime(datetime.now(UTC) + timedelta(minutes=1))

    try:
        funds = None if asked.funds is None else book_comparison.read_funds(asked.funds)
    except FaultyFunds as error:
        raise Misused(str(error)) from None

    async def run(connector: CoreRequests) -> int:
        async def read(api: HubApi) -> AtHub:
            return await book_comparison.read_hub(api, begin=begin, until=now)

        at_hub = await _ask_hub(config, read)
        here = await book_comparison.read_connector(connector, begin=begin)
        books = book_comparison.compare_books(at_hub, here, funds, begin=begin, since=since, until=until)
        reconciliation_report.show(out, books, since, until)
        if asked.report is not None:
            reconciliation_report.write(asked.report, books)
            out.print(f"wrote {asked.report}", markup=False)
        return _FAILED if any(compared.result in FAULTS for _, compared in books.all()) else 0

    return _with_connector(asked, run)


def _earlier(moment: str, by: timedelta) -> str:
    return fsptime.format_datetime(fsptime.parse_datetime(moment) - by)


def _positions(asked: argparse.Namespace) -> int:
    async def run(api: HubApi) -> int:
        table = Table("currency", "position", "reserved", "cap", "cover", "free", box=None, pad_edge=False)
        for found in await api.positions():
            row = (found.currency, found.position, found.reserved, found.net_debit_cap, found.cover, found.free)
            table.add_row(*(text or "-" for text in row))
        out.print(table)
        return 0

    return asyncio.run(_ask_hub(_config(asked), run))


def _certificate(asked: argparse.Namespace) -> int:
    config = _config(asked)

    async def request(api: HubApi) -> int:
        submitted = await api.submit_signing_request(_text_of(asked.csr))
        _show_submission(submitted)
        out.print("Read this SHA-256 to the operator. Then: kitovu-connector certificate fetch", markup=False)
        return 0

    async def fetch(api: HubApi) -> int:
        wanted = _key_id_of_request(asked.csr)
        for submission in await api.submissions():
            if submission.key_id == wanted and submission.certificate is not None:
                asked.out.write_text(submission.certificate.pem)
                out.print(f"wrote {asked.out}, valid until {submission.certificate.valid_until}", markup=False)
                return 0
            if submission.key_id == wanted:
                _show_submission(submission)
                return _FAILED
        raise Misused(f"{asked.csr} was not submitted: kitovu-connector certificate request")

    return asyncio.run(_ask_hub(config, request if asked.action == "request" else fetch))


def _signing_key(asked: argparse.Namespace) -> int:
    config = _config(asked)

    async def submit(api: HubApi) -> int:
        file = asked.key or config.signing_key
        if not file:
            raise Misused("there is no signing_key: name one with --key")
        key = key_files.private_key("--key", str(file))
        submitted = await api.submit_signing_key(configuration_files.public_pem(key.public_key()))
        _show_submission(submitted)
        return 0

    async def fetch(api: HubApi) -> int:
        listed = await api.signing_keys()
        assert listed is not None
        configuration = _config_file(asked)
        folder = Path.cwd() if configuration is None else configuration.parent  # connector.toml names files from here
        asked.out.mkdir(parents=True, exist_ok=True)
        table: dict[str, list[str]] = {}
        for key in listed[0]:
            if key.participant == config.dfsp:
                continue
            file = asked.out / f"{key.participant.replace(' ', '_')}-{key.key_id[:8]}.pem"
            file.write_text(key.key)
            table.setdefault(key.participant, []).append(_path_from(folder, file))
        out.print("[jws_keys]", markup=False)
        for name, files in table.items():
            shown = ", ".join(f'"{file}"' for file in files)
            out.print(f'"{name}" = [{shown}]', markup=False)
        return 0

    return asyncio.run(_ask_hub(config, submit if asked.action == "submit" else fetch))


def _path_from(folder: Path, file: Path) -> str:
    return os.path.relpath(file, folder)


def _show_submission(found: Submission) -> None:
    decision = f": {found.decision}" if found.decision else ""
    out.print(f"submission {found.id}: {found.state}, {found.approvals} of 2 approvals{decision}", markup=False)
    out.print(f"SHA-256 of the key: {found.key_id}", markup=False)


def _key_id_of_request(file: Path) -> str:
    try:
        return configuration_files.key_id_of_request(_text_of(file))
    except ValueError as error:
        raise Misused(f"{file} is no signing request: {error}") from None


# --- helpers ----------------------------------------------------------------------------------------------------------


def _with_connector(asked: argparse.Namespace, run: Callable[[CoreRequests], Awaitable[int]]) -> int:
    async def whole() -> int:
        async with CoreRequests(_config(asked)) as connector:
            return await run(connector)

    return asyncio.run(whole())


async def _ask_hub(config: Config, run: Callable[[HubApi], Awaitable[T]]) -> T:
    key_files.check_files(config)
    logs.configure("CRITICAL")
    async with HubClient(config) as client:
        return await run(HubApi(client))


def _alias(text: str) -> dict[str, str]:
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise Misused(f"{text}: must be TYPE/VALUE, such as MSISDN/255655001001")
    return dict(zip(("idType", "idValue", "idSubValue"), parts, strict=False))


def _moment(text: str) -> str:
    """Returns a time in the API's form. `text` is a time in this form, a day, or an age such as 30s, 15m, 2h, 7d."""
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    if text[:-1].isdecimal() and text[-1] in units:
        return fsptime.format_datetime(datetime.now(UTC) - timedelta(**{units[text[-1]]: int(text[:-1])}))
    try:
        return fsptime.format_datetime(fsptime.parse_datetime(text if "T" in text else f"{text}T00:00:00.000Z"))
    except ValueError:
        raise Misused(f"{text}: must be like 2026-01-31, 2026-01-31T08:00:00.000Z or 2h") from None


def _text_of(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"{file} cannot be read: {error}") from None
