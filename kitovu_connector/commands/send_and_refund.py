"""The commands `send` and `refund`, which make one payment."""

import argparse
import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.prompt import Confirm

from kitovu_connector.amounts import AmountError, format_amount, parse_amount
from kitovu_connector.commands.common import FAILED, AddCommand, Misused, alias, err, out, with_connector
from kitovu_connector.running_connector_client import CoreRequests, NotRunning, RequestRefused


def add_to(command: AddCommand) -> None:
    """Adds the commands."""
    send = command("send", _send, "make one payment; your core's books do not record this payment")
    send.add_argument("to", help="the payee: MSISDN/255655001001")
    send.add_argument("amount", help="15000, or 12.50")
    send.add_argument("currency", help="TZS")
    send.add_argument("--from", dest="payer", required=True, help="the payer: MSISDN/255712001001")
    send.add_argument("--id", help="your own id of the payment; an equal id means the same payment (default: a new id)")
    send.add_argument("--note", help="a note for the payee")
    send.add_argument("--yes", action="store_true", help="pay without showing the payee first")

    refund = command(
        "refund", _refund, "pay an incoming transfer back to its payer; your core's books do not record this payment"
    )
    refund.add_argument("transfer", help="the transfer's id, as `listen` and `reconcile` show it")
    refund.add_argument("--amount", help="refund only this part of the amount; needs --id")
    refund.add_argument(
        "--id", help="your own id of the refund (default: derived from the transfer, so no transfer is refunded twice)"
    )
    refund.add_argument("--reason", help="a note for the payer")
    refund.add_argument("--yes", action="store_true", help="pay immediately, without asking you to confirm")


def _send(asked: argparse.Namespace) -> int:
    try:
        amount = format_amount(parse_amount(asked.amount))
    except AmountError as error:
        raise Misused(f"amount: {error}") from None
    payment = {
        "homeTransactionId": asked.id or str(uuid.uuid4()),
        "from": alias(asked.payer),
        "to": alias(asked.to),
        "amount": amount,
        "currency": asked.currency,
    } | ({"note": asked.note} if asked.note else {})

    async def run(connector: CoreRequests) -> int:
        if not asked.yes:
            party = await connector.party(asked.to)
            name = f"{party.get('displayName', 'somebody without a name')} at {party.get('fspId')}"
            if not Confirm.ask(f"Pay {amount} {asked.currency} to {escape(name)}?", console=out, default=False):
                return FAILED
        return await _pay(connector, payment)

    return with_connector(asked, run)


def _refund(asked: argparse.Namespace) -> int:
    if asked.amount and not asked.id:
        raise Misused("--amount needs --id: each part of a refund is a separate payment")

    async def run(connector: CoreRequests) -> int:
        found = await connector.incoming(asked.transfer)
        if found["state"] != "COMMITTED":
            raise Misused(f"{asked.transfer} is {found['state']}: only a committed transfer can be refunded")
        if "transactionId" not in found:
            raise Misused(f"the terms of {asked.transfer}, with its payer, are no longer kept (quote_retention_s)")
        payment = {
            "homeTransactionId": asked.id or f"refund-{asked.transfer}",
            "from": _alias_in(found["to"]),
            "to": _alias_in(found["from"]),
            "amount": asked.amount or found["amount"],
            "currency": found["currency"],
            "transactionType": "REFUND",
            "refundInfo": {"originalTransactionId": found["transactionId"]}
            | ({"refundReason": asked.reason} if asked.reason else {}),
        }
        whom = "/".join(payment["to"].values())
        question = f"Pay {payment['amount']} {payment['currency']} back to {escape(whom)}?"
        if not asked.yes and not Confirm.ask(question, console=out, default=False):
            return FAILED
        return await _pay(connector, payment)

    return with_connector(asked, run)


def _alias_in(party: Mapping[str, Any]) -> dict[str, str]:
    return {name: party[name] for name in ("idType", "idValue", "idSubValue") if name in party}


async def _pay(connector: CoreRequests, payment: Mapping[str, Any]) -> int:
    home_id = payment["homeTransactionId"]
    again = f"It may have begun all the same: the same command with --id {home_id} is the same payment"
    try:
        found = await connector.pay(payment)
    except NotRunning as error:
        raise NotRunning(f"{error}. {again}") from None
    except asyncio.CancelledError:  # the person has interrupted the command
        err.print(again, markup=False)
        raise
    except RequestRefused as error:
        raise RequestRefused(error.status, error.code, f"{error.why}. {await _known(connector, home_id)}") from None
    why = f" {found['errorCode']} {found['errorDescription']}" if found.get("errorCode") else ""
    out.print(
        f"{found['state']} {found.get('transferAmount') or payment['amount']} {found['currency']} to"
        f" {found.get('payeeName') or '/'.join(payment['to'].values())}{why}"
        f"  (id {home_id}, transfer {found['transferId']})",
        markup=False,
    )
    return 0 if found["state"] == "COMMITTED" else FAILED


async def _known(connector: CoreRequests, home_id: str) -> str:
    try:
        begun = await connector.payment(home_id)
    except (NotRunning, RequestRefused):
        return f"It is not known whether a payment with the id {home_id} has begun"
    if begun is None:
        return f"No payment has begun (id {home_id})"
    return f"The payment with the id {home_id} is {begun['state']} (transfer {begun['transferId']})"
