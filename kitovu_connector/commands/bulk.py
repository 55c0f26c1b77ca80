"""The command `bulk`, which makes the payments of a CSV file."""

import argparse
from collections import Counter
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kitovu_connector import payment_files
from kitovu_connector.commands.common import FAILED, AddCommand, Misused, alias, err, out, with_connector
from kitovu_connector.payment_files import FaultyFile
from kitovu_connector.running_connector_client import CoreRequests, NotRunning

_MOST_AT_ONCE = 200


def add_to(command: AddCommand) -> None:
    """Adds the commands."""
    bulk = command("bulk", _bulk, "make the payments of a CSV file: id, to, amount, currency, note")
    bulk.add_argument(
        "file",
        type=Path,
        help="each line has your own id of its payment, so you can send the file again without paying twice",
    )
    bulk.add_argument("--from", dest="payer", required=True, help="the payer of all payments: BUSINESS/employer")
    bulk.add_argument("--at-once", type=int, default=20, help="the number of simultaneous payments (default: 20)")
    bulk.add_argument("--results", type=Path, help="the file for the results (default: FILE.results.csv)")


def _bulk(asked: argparse.Namespace) -> int:
    if not 0 < asked.at_once <= _MOST_AT_ONCE:
        raise Misused(f"--at-once must be 1 to {_MOST_AT_ONCE}")
    try:
        payments = payment_files.read(asked.file, alias(asked.payer))
    except FaultyFile as error:
        raise Misused(f"{error}\nNothing was paid.") from None
    results: Path = asked.results or asked.file.with_suffix(".results.csv")
    columns = (BarColumn(40), MofNCompleteColumn(), TextColumn("{task.fields[counts]}"), TimeRemainingColumn())
    counts: Counter[str] = Counter()

    async def run(connector: CoreRequests) -> int:
        with Progress(*columns, console=err) as progress:
            task = progress.add_task("payments", total=len(payments), counts="")

            def told(result: payment_files.Result) -> None:
                counts[_kind_of(result)] += 1
                progress.update(task, advance=1, counts=_counted(counts))

            try:
                await payment_files.pay(connector, payments, at_once=asked.at_once, results=results, told=told)
            except NotRunning as error:
                raise NotRunning(f"{error}. Send the same file again then: no line is paid twice") from None
        out.print(f"{len(payments)} payments: {_counted(counts)}. Results: {results}", markup=False)
        return 0 if counts["COMMITTED"] == len(payments) else FAILED

    return with_connector(asked, run)


def _kind_of(result: payment_files.Result) -> str:
    is_another_order = result.state == "COMMITTED" and result.code
    return f"{result.state} with other content" if is_another_order else result.state


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()) if count)
