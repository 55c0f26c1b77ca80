"""The command `live`, by which a program that restarts the connector checks it."""

import argparse

from kitovu_connector.commands.common import AddCommand, out, with_connector
from kitovu_connector.running_connector_client import CoreRequests


def add_to(command: AddCommand) -> None:
    """Adds the command."""
    command("live", _live, "exit with 0 if the connector runs")


def _live(asked: argparse.Namespace) -> int:
    async def run(connector: CoreRequests) -> int:
        await connector.live()
        out.print("the connector runs")
        return 0

    return with_connector(asked, run)
