"""For each transfer, compares the entries in the payer bank's, the hub's and the payee bank's books."""

import json
from dataclasses import dataclass

from hub.local.demo.banks import Bank
from hub.local.demo.http import call_until_answered
from hub.local.stack import Stack

_CURRENCY = "TZS"  # the currency of the banks' own accounts


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of the comparison: the number of transfers that are equal in all three books, and a sentence about
    each difference."""

    agreed: int
    faults: list[str]


def books_of(bank: Bank) -> dict[str, dict[str, int]]:
    """Returns the books that a bank exports: the bank's transfers, with their amounts in ten-thousandths."""
    _, books = call_until_answered("GET", f"{bank.url}/books")
    found: dict[str, dict[str, int]] = books
    return found


def compare(stack: Stack, banks: list[Bank]) -> Comparison:
    """Checks that every committed transfer is in all three books with the same amount."""
    books = {bank.name: books_of(bank) for bank in banks}
    at_hub = json.loads(stack.manage("committed_transfers", "--json").strip().splitlines()[-1])
    faults: list[str] = []
    converted = {transfer["transferId"] for transfer in at_hub if transfer["currency"] != _CURRENCY}
    for transfer in at_hub:
        transfer_id, amount = transfer["transferId"], transfer["amount"]
        received = books[transfer["payee"]]["received"].get(transfer_id)
        if transfer_id in converted:  # this row is the payment from the payer's bank to the FXP, in another currency
            if received != amount:
                faults.append(f"{transfer_id}: hub {amount}, payee's books {received}")
            continue
        sent = books[transfer["payer"]]["sent"].get(transfer_id)
        if sent != amount or received != amount:
            faults.append(f"{transfer_id}: payer's books {sent}, hub {amount}, payee's books {received}")
    for side, role in (("sent", "payer"), ("received", "payee")):
        for name, mine in books.items():
            hub_side = {transfer["transferId"] for transfer in at_hub if transfer[role] == name}
            hub_side |= converted if side == "sent" else set()
            faults += [
                f"{transfer_id}: only in {name}'s books" for transfer_id in mine[side] if transfer_id not in hub_side
            ]
    paid = {transfer_id for mine in books.values() for transfer_id in mine["sent"]}
    faults += [f"{transfer_id}: converted, and in no payer's books" for transfer_id in sorted(converted - paid)]
    for name, mine in books.items():
        faults += [f"{name}'s books do not balance: {row}" for row in mine["faults"]]
        faults += [f"{name} still has {what} {row[0]}" for what in ("open", "expected") for row in mine[what]]
        received = sum(amount for transfer_id, amount in mine["received"].items() if transfer_id not in converted)
        net = sum(mine["sent"].values()) - received
        if mine["balances"]["scheme"] != net:
            faults.append(f"{name}'s account with the scheme is {mine['balances']['scheme']}, its transfers make {net}")
    return Comparison(len(at_hub), faults)
