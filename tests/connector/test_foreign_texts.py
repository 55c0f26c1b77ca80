"""What another DFSP writes is no formula in a spreadsheet of the bank, and no command on its terminal."""

import asyncio
import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from kitovu_connector import payment_files
from kitovu_connector.running_connector_client import CoreRequests
from tests.connector.hub_stub import Scheme, scheme
from tests.connector.test_hostile_dfsp import ORDER

FORMULA, COMMAND = '=HYPERLINK("http://x")', "no\u001b]0;x\u0007\u001b[2Jthanks"


class Refuses:
    """A connector whose payments the payee's DFSP refuses."""

    async def pay(self, payment: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"state": "ABORTED", "errorCode": "5104", "errorDescription": FORMULA, "transferId": "t"}


def test_a_reason_is_no_formula_in_the_file_of_results(tmp_path: Path) -> None:
    results = tmp_path / "results.csv"
    payments = [{"homeTransactionId": "-1"}]
    connector = cast(CoreRequests, Refuses())
    asyncio.run(payment_files.pay(connector, payments, at_once=1, results=results, told=lambda _: None))
    with results.open(newline="") as file:
        assert list(csv.reader(file))[1] == ["-1", "ABORTED", "5104", f"'{FORMULA}", "t"]


def test_a_reason_is_no_command_on_a_terminal(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.answers.remove("quotes")
        waiting = asyncio.create_task(world.connector._payer.send(ORDER))
        await world.until("POST", "/quotes")
        payment = await waiting
        reason = {"errorInformation": {"errorCode": "5103", "errorDescription": COMMAND}}
        assert await world.hub_passes_on("PUT", f"/quotes/{payment.quote_id}/error", reason) == 200
        await world.ended("P1")
        async with CoreRequests(world.config) as core:
            (found,) = [each async for each in core.payments()]
        assert found["errorDescription"].isprintable()
        assert "thanks" in json.dumps(found)

    async def run() -> None:
        async with scheme(tmp_path, "nothing") as world:
            await story(world)

    asyncio.run(run())
