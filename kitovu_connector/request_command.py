"""kitovu-connector request: asks a payer for money, passes on a one-time password, and waits for the money."""

import argparse
import asyncio
import time
import uuid
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.prompt import Prompt

from kitovu_connector.core_requests import CoreRequests

_PAID, _NOT_PAID = 0, 1
_POLL_S = 1.0
_QUESTION = "The payer's bank asks for the one-time password"
_WAITING_S = 300.0


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    command.add_argument("payer", help="the payer: MSISDN/255712001001")
    command.add_argument("amount", help="what your customer receives: 2500, or 12.50")
    command.add_argument("currency", help="TZS")
    command.add_argument("--to", required=True, help="the payee, your customer: MSISDN/255770001001")
    command.add_argument("--id", help="your own id: the same id is the same request; by default a new one")
    command.add_argument("--note", help="a text for the payer")
    command.add_argument(
        "--otp", action="store_true", help="the payer approves by a one-time password that is entered here"
    )
    command.add_argument("--wait", type=float, default=_WAITING_S, help="how many seconds to wait for the money; 300")


def wanted(asked: argparse.Namespace, *, payer: Mapping[str, str], payee: Mapping[str, str]) -> dict[str, Any]:
    """Returns the body of POST /requests."""
    body = {
        "homeRequestId": asked.id or str(uuid.uuid4()),
        "from": dict(payer),
        "to": dict(payee),
        "amount": asked.amount,
        "currency": asked.currency,
        "otp": asked.otp,
    }
    return body | ({"note": asked.note} if asked.note else {})


async def run(connector: CoreRequests, body: Mapping[str, Any], out: Console, *, seconds: float) -> int:
    """Sends the request. Returns when the payer has paid or will not pay, but after `seconds` at the latest."""
    home_id, until = body["homeRequestId"], time.monotonic() + seconds
    found, told = await connector.request(body), ""
    while True:
        if (line := _line(found)) != told:
            told = line
            out.print(line, markup=False)
        if found["isEnded"]:
            return _PAID if found["isPaid"] else _NOT_PAID
        if found["isOtpWanted"]:
            try:
                entered = await asyncio.to_thread(Prompt.ask, _QUESTION, console=out)
            except EOFError:
                out.print(f"no password was entered: the same command with --id {home_id} asks again", markup=False)
                return _NOT_PAID
            found = await connector.enter_password(home_id, entered.strip())
            continue
        if time.monotonic() >= until:
            out.print(f"not paid yet: the same command with --id {home_id} waits again", markup=False)
            return _NOT_PAID
        await asyncio.sleep(_POLL_S)
        found = await connector.request_now(home_id)


def _line(found: Mapping[str, Any]) -> str:
    payer = f"{found['payerName'] or 'the payer'} at {found['payerFsp']}" if found["payerFsp"] else "the payer"
    money = f"{found['amount']} {found['currency']}"
    ids = f"  (id {found['homeRequestId']}, request {found['transactionRequestId']})"
    if found["isPaid"]:
        return f"PAID {money} by {payer}  (transfer {found['transferIds'][-1]})"
    if found["state"] == "FAILED":
        return f"FAILED {money} from {payer}: {found['errorCode']} {found['errorDescription']}{ids}"
    if found["answer"] is None:
        return f"ASKING {payer} for {money}{ids}"
    return f"{found['answer']} {money} from {payer}{ids}"
