"""request: asks a customer of another DFSP for money."""

import argparse

from kitovu_connector import request_command
from kitovu_connector.commands.common import AddCommand, alias, out, with_connector
from kitovu_connector.core_requests import CoreRequests


def add_to(command: AddCommand) -> None:
    """Adds the commands."""
    request = command("request", _request, "ask a customer of another DFSP for money, and wait for it")
    request_command.add_arguments(request)


def _request(asked: argparse.Namespace) -> int:
    wanted = request_command.wanted(asked, payer=alias(asked.payer), payee=alias(asked.to))

    async def run(connector: CoreRequests) -> int:
        return await request_command.run(connector, wanted, out, seconds=asked.wait)

    return with_connector(asked, run)
