"""The command `lookup`, which shows one payee."""

import argparse

from kitovu_connector.commands.common import AddCommand, out, with_connector
from kitovu_connector.running_connector_client import CoreRequests


def add_to(command: AddCommand) -> None:
    """Adds the command."""
    lookup = command("lookup", _lookup, "show a payee, as the payee's DFSP describes it")
    lookup.add_argument("party", help="MSISDN/255655001001")


def _lookup(asked: argparse.Namespace) -> int:
    async def run(connector: CoreRequests) -> int:
        for name, value in (await connector.party(asked.party)).items():
            out.print(f"{name:20} {value}", markup=False)
        return 0

    return with_connector(asked, run)
