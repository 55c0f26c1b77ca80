"""Whether a transfer is what its ILP packet says. Pure. The API leaves this check to the payee; a scheme may want it
of the hub too (setting CHECK_ILP_PACKETS)."""

import json

from fspiop import base64url, ilp, money


def fault_of(packet: str, *, amount: int, currency: str, payee: str) -> str | None:
    """What of the packet does not fit the transfer; None where it fits (FSPIOP API v1.1, sections 4 and 6.7.2.8)."""
    try:
        payment = ilp.decode_payment(packet)
    except ValueError:
        return "is no ILP packet"
    try:
        if payment.amount != money.minor_units(amount, currency):
            return "is of another amount"
    except money.AmountError:
        return "can not hold this amount"
    if not payment.account.lower().startswith(f"g.{payee.lower()}."):
        return "is for another payee"
    named = _currency_in(payment.data)
    if named is not None and named != currency:
        return "is of another currency"
    return None


def _currency_in(data: bytes) -> str | None:
    """The currency of the Transaction object that the data may be; the data is the two DFSPs' own matter."""
    try:
        named = json.loads(base64url.decode(data.decode("ascii")))["amount"]["currency"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return named if isinstance(named, str) else None
