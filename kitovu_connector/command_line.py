"""The command kitovu-connector: sets up, examines and runs a DFSP's connector, and sends requests to the connector."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kitovu_connector.commands import (
    bulk,
    list_payments,
    listen,
    live,
    lookup,
    positions_and_credentials,
    reconcile,
    send_and_refund,
    send_request_to_pay,
    serving,
    set_up,
)
from kitovu_connector.commands.common import CONFIG, FAILED, MISUSED, Misused, Run, err
from kitovu_connector.config import ConfigError, StartError
from kitovu_connector.hub_api import HubRefused, HubUnreachable
from kitovu_connector.running_connector_client import NotRunning, RequestRefused

_COMMANDS = (
    set_up,
    serving,
    live,
    send_and_refund,
    lookup,
    bulk,
    send_request_to_pay,
    list_payments,
    listen,
    reconcile,
    positions_and_credentials,
)
"""The commands, in the order in which the help shows them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status: 0 for success, 1 if the command failed, and 2 if the command was
    misused."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0].startswith("-") and given[0] not in ("-h", "--help"):
        given.insert(0, "serve")  # without a subcommand, as in earlier versions of the command line
    asked = _parser().parse_args(given)
    run: Run = asked.run
    try:
        return run(asked)
    except (ConfigError, StartError) as error:
        doing = "The connector cannot start" if asked.command == "serve" else "The configuration cannot be used"
        for line in str(error).splitlines():
            err.print(f"{doing}: {line}", markup=False)
        return MISUSED
    except Misused as error:
        err.print(str(error), markup=False)
        return MISUSED
    except (NotRunning, RequestRefused, HubUnreachable, HubRefused) as error:
        err.print(f"{asked.command}: {error}", markup=False)
        return FAILED
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kitovu-connector", description=__doc__)
    added = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Run, text: str) -> argparse.ArgumentParser:
        one = added.add_parser(name, help=text, description=text)
        one.add_argument("--config", type=Path, help=f"the configuration; CONNECTOR_CONFIG, or {CONFIG} in this folder")
        one.set_defaults(run=run)
        return one

    for part in _COMMANDS:
        part.add_to(command)
    return parser
