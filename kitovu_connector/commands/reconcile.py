"""The command `reconcile`, which compares the hub's statement with the connector's books and the bank's list of
funds.
"""

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fspiop import time as fsptime
from kitovu_connector import hub_and_dfsp_books, reconciliation_report
from kitovu_connector.commands.common import (
    FAILED,
    AddCommand,
    Misused,
    ask_hub,
    config_of,
    moment_of,
    out,
    with_connector,
)
from kitovu_connector.hub_and_dfsp_books import AtHub, FaultyFunds
from kitovu_connector.hub_api import HubApi
from kitovu_connector.reconciliation_differences import FAULTS, LONGEST
from kitovu_connector.running_connector_client import CoreRequests


def add_to(command: AddCommand) -> None:
    """Adds the commands."""
    reconcile = command("reconcile", _reconcile, "compare this connector's transfers with the hub's statement")
    reconcile.add_argument("--since", default="24h", help="default: 24h ago")
    reconcile.add_argument("--until", default="1m", help="default: 1m ago, because younger transfers may still be open")
    reconcile.add_argument("--report", type=Path, help="write every result, with both records, to this CSV file")
    reconcile.add_argument(
        "--funds", type=Path, help="your own list of funds in and out: CSV with reference, direction, amount, currency"
    )


def _reconcile(asked: argparse.Namespace) -> int:
    config, since, until = config_of(asked), moment_of(asked.since), moment_of(asked.until)
    if since >= until:
        raise Misused("--since must be before --until")

    begin, now = _earlier(since, LONGEST), fsptime.format_datetime(datetime.now(UTC) + timedelta(minutes=1))

    try:
        funds = None if asked.funds is None else hub_and_dfsp_books.read_funds(asked.funds)
    except FaultyFunds as error:
        raise Misused(str(error)) from None

    async def run(connector: CoreRequests) -> int:
        async def read(api: HubApi) -> AtHub:
            return await hub_and_dfsp_books.read_hub(api, begin=begin, until=now)

        at_hub = await ask_hub(config, read)
        here = await hub_and_dfsp_books.read_connector(connector, begin=begin)
        books = hub_and_dfsp_books.compare_books(at_hub, here, funds, begin=begin, since=since, until=until)
        reconciliation_report.show(out, books, since, until)
        if asked.report is not None:
            reconciliation_report.write(asked.report, books)
            out.print(f"wrote {asked.report}", markup=False)
        return FAILED if any(compared.result in FAULTS for _, compared in books.all()) else 0

    return with_connector(asked, run)


def _earlier(moment: str, by: timedelta) -> str:
    return fsptime.format_datetime(fsptime.parse_datetime(moment) - by)
