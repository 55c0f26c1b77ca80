"""The command `payments`, which lists outgoing payments."""

import argparse

from rich.table import Table
from rich.text import Text

from kitovu_connector.commands.common import AddCommand, moment_of, out, with_connector
from kitovu_connector.payment_states import State
from kitovu_connector.running_connector_client import CoreRequests


def add_to(command: AddCommand) -> None:
    """Adds the command."""
    payments = command("payments", _payments, "list outgoing payments, in the order of their last change")
    payments.add_argument("--state", choices=[state.value for state in State])
    payments.add_argument(
        "--since", help="only payments that have changed since this time: 2026-01-31, 2026-01-31T08:00:00.000Z, or 2h"
    )
    payments.add_argument("--limit", type=int, default=100)


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
