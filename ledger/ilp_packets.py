"""Reads a transfer's ILP packet and compares it with the transfer. Pure.

In the API, only the payee must check a transfer's ILP packet. With the setting CHECK_ILP_PACKETS, the hub also checks
the packet.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fspiop import base64url, correlation_ids, ilp, money
from fspiop.iso20022 import ilp4
from ledger.commands_and_outcomes import Terms


@dataclass(frozen=True, slots=True)
class Packet:
    """An ILP packet of version 1 or 4: the amount in minor units, the payee's address and the Transaction object.

    `account` is None in version 4, because the address in a packet of version 4 is always the same.
    """

    amount: int
    account: str | None
    transaction: Mapping[str, Any]


def read(text: str) -> Packet | None:
    """Returns the ILP packet that this text encodes, or None if the text is not a packet."""
    try:
        payment = ilp.decode_payment(text)
    except ValueError:
        pass
    else:
        return Packet(payment.amount, payment.account, _transaction_in(payment.data))
    try:
        prepare = ilp4.decode_prepare(text)
    except ValueError:
        return None
    return Packet(prepare.amount, None, _transaction_in(prepare.data))


def fault_of(packet: Packet | None, *, amount: int, currency: str, payee: str) -> str | None:
    """Returns the first difference between a packet and a transfer, or None (FSPIOP API v1.1, sections 4 and
    6.7.2.8)."""
    if packet is None:
        return "is no ILP packet"
    try:
        if packet.amount != money.minor_units(amount, currency):
            return "is of another amount"
    except money.AmountError:
        return "can not hold this amount"
    # The comparison ignores the case of letters, because Mojaloop's libraries write participants' names in lower case.
    # The names of two participants never differ only in case.
    if packet.account is not None and not packet.account.lower().startswith(f"g.{payee.lower()}."):
        return "is for another payee"
    agreed = packet.transaction.get("amount")
    named = agreed.get("currency") if isinstance(agreed, dict) else None
    if isinstance(named, str) and named != currency:
        return "is of another currency"
    return None


def terms_in(text: str, packet: Packet, *, bulk_quote_id: str | None = None) -> Terms:
    """Returns the terms that the hub needs to find the packet's quote, and to compare the packet with this quote."""
    return Terms(
        packet_sha256=ilp.packet_digest(text),
        quote_id=_id(packet.transaction.get("quoteId")),
        transaction_id=_id(packet.transaction.get("transactionId")),
        bulk_quote_id=bulk_quote_id,
    )


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and correlation_ids.is_correlation_id(value) else None


def _transaction_in(data: bytes) -> Mapping[str, Any]:
    """Returns the Transaction object (section 7.4.17) in a packet's data, or {} if the data contains something else."""
    try:
        found = json.loads(base64url.decode(data.decode("ascii")))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
