"""The commands `payments` and `listen`, which show outgoing payments and received transfers."""

import argparse
import asyncio

from rich.table import Table
from rich.text import Text

from kitovu_connector.commands.common import AddCommand, moment_of, out, with_connector
from kitovu_connector.core_requests import CoreRequests
from kitovu_connector.payment_states import State

_POLL_S = 1.0


def add_to(command: AddCommand) -> None:
    """Adds the commands."""
    payments = command("payments", _payments, "list outgoing payments, in the order of their last change")
    payments.add_argument("--state", choices=[state.value for state in State])
    payments.add_argument(
        "--since", help="only payments that have changed since this time: 2026-01-31, 2026-01-31T08:00:00.000Z, or 2h"
    )
    payments.add_argument("--limit", type=int, default=100)

    listen = command("listen", _listen, "print each transfer when it changes, until Ctrl-C")
    listen.add_argument("--since", default="0s", help="begin with changes since this time (default: now)")
    listen.add_argument("--count", type=int, help="end after this number of lines")


def _payments(asked: argparse.Namespace) -> int:
    async def run(connector: CoreRequests) -> int:
        table = Table("changed", "id", "to", "amount", "state", "reason", box=None, pad_edge=False)
        since = moment_of(asked.since) if asked.since else None
        async for found in connector.payments(state=asked.state, since=since, most=asked.limit):
            to = found["payeeName"] or found["to"]["idValue"]
            reason = " ".join(filter(None, (found["errorCode"], found["errorDescription"])))
            amount = f"{found['amount']} {found['currency']}"
            row = (found["changedDate"], found["homeTransactionId"], to, amount, found["state"], reason)
            # another DFSP chose the name, so the library `rich` must not interpret the name as markup
            table.add_row(*map(Text, row))
        out.print(table)
        return 0

    return with_connector(asked, run)


def _listen(asked: argparse.Namespace) -> int:
    async def run(connector: CoreRequests) -> int:
        since, told, left = moment_of(asked.since), dict[tuple[str, str, str], str](), asked.count
        while True:
            changed = since
            async for found in connector.transfers(since=since):
                changed = found["changedDate"]
                line = (found["transferId"], found["direction"], found["state"])
                # Each request begins at the time of the last line, because several changes can have the same time. So a
                # line can arrive again after it was printed.
                if line in told:
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

    return with_connector(asked, run)
