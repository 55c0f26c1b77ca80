"""The command `request`, which asks a payer for money, forwards the one-time password, and waits for the money."""

import argparse
import asyncio
import time
import uuid
from collections.abc import Mapping
from typing import Any

from rich.prompt import Prompt

from kitovu_connector.commands.common import FAILED, AddCommand, alias, out, with_connector
from kitovu_connector.running_connector_client import CoreRequests, NotRunning, RequestRefused

_POLL_S = 1.0
_QUESTION = "The payer's bank asks for the one-time password"
_WAITING_S = 300.0


def add_to(command: AddCommand) -> None:
    """Adds the commands."""
    request = command("request", _request, "ask a customer of another DFSP for money, and wait for it")
    request.add_argument("payer", help="the payer: MSISDN/255712001001")
    request.add_argument("amount", help="what your customer receives: 2500, or 12.50")
    request.add_argument("currency", help="TZS")
    request.add_argument("--to", required=True, help="the payee, your customer: MSISDN/255770001001")
    request.add_argument("--id", help="your own id of the request; equal ids mean the same request (default: a new id)")
    request.add_argument("--note", help="a note for the payer")
    request.add_argument(
        "--otp", action="store_true", help="the payer approves with a one-time password, which you enter here"
    )
    request.add_argument(
        "--wait", type=float, default=_WAITING_S, help="the seconds to wait for the money (default: 300)"
    )


def _request(asked: argparse.Namespace) -> int:
    wanted = _body_of(asked)

    async def run(connector: CoreRequests) -> int:
        return await _wait_for_money(connector, wanted, seconds=asked.wait)

    return with_connector(asked, run)


def _body_of(asked: argparse.Namespace) -> dict[str, Any]:
    body = {
        "homeRequestId": asked.id or str(uuid.uuid4()),
        "from": alias(asked.payer),
        "to": alias(asked.to),
        "amount": asked.amount,
        "currency": asked.currency,
        "otp": asked.otp,
    }
    return body | ({"note": asked.note} if asked.note else {})


async def _wait_for_money(connector: CoreRequests, body: Mapping[str, Any], *, seconds: float) -> int:
    """Sends the request. Waits for at most `seconds` until the payer has paid or has refused to pay."""
    home_id, until = body["homeRequestId"], time.monotonic() + seconds
    found, told = await _ask(connector, body), ""
    while True:
        if (line := _line(found)) != told:
            told = line
            out.print(line, markup=False)
        if found["isEnded"]:
            return 0 if found["isPaid"] else FAILED
        if found["isOtpWanted"]:
            try:
                entered = await asyncio.to_thread(Prompt.ask, _QUESTION, console=out)
            except EOFError:
                out.print(f"no password was entered: the same command with --id {home_id} asks again", markup=False)
                return FAILED
            found = await connector.enter_password(home_id, entered.strip())
            continue
        if time.monotonic() >= until:
            out.print(f"not paid yet: the same command with --id {home_id} waits again", markup=False)
            return FAILED
        await asyncio.sleep(_POLL_S)
        # without an answer, the repeated request makes the connector send the request again
        found = await (_ask(connector, body) if found["answer"] is None else connector.request_now(home_id))


async def _ask(connector: CoreRequests, body: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return await connector.request(body)
    except NotRunning as error:
        again = f"the same command with --id {body['homeRequestId']} is the same request"
        raise NotRunning(f"{error}. It may have begun all the same: {again}") from None
    except RequestRefused as error:
        raise RequestRefused(error.status, error.code, f"{error.why} (id {body['homeRequestId']})") from None


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
