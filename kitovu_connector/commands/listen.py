"""The command `listen`, which prints each transfer when it changes."""

import argparse
import asyncio

from kitovu_connector.commands.common import AddCommand, moment_of, out, with_connector
from kitovu_connector.running_connector_client import CoreRequests

_POLL_S = 1.0


def add_to(command: AddCommand) -> None:
    """Adds the command."""
    listen = command("listen", _listen, "print each transfer when it changes, until Ctrl-C")
    listen.add_argument("--since", default="0s", help="begin with changes since this time (default: now)")
    listen.add_argument("--count", type=int, help="end after this number of lines")


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
