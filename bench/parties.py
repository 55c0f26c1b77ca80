"""The parties of a load that tests rules: 100,000 customers, or one biller that receives all payments."""

import uuid
from zlib import crc32

from bench import messages

PARTIES = 100_000
ONE_IN = 50
"""Of each `ONE_IN` payments, one payment has the KYC tier for which a rule raises an alert."""
WATCHED_TIER = "9"
CUSTOMERS = 1_000
"""Each DFSP has this number of customers that payers look up before a payment."""
MSISDN = "44{:09}"


def payer_of(number: int) -> int:
    """Returns the payer of the payment with this number."""
    return number * 7919 % PARTIES


def number_of(payment_id: str) -> int:
    """Returns a pseudo-random number for a payment."""
    return crc32(payment_id.encode())


def is_watched(number: int) -> bool:
    """Returns whether a rule raises an alert for this payment."""
    return number % ONE_IN == 0


def scenario(*, biller: bool) -> str:
    """Returns the use case of a payment.

    Limits on received payments apply to transfers between customers, not to billers.
    """
    return "PAYMENT" if biller else "TRANSFER"


def quote(payer: bytes, payee: bytes, alias: bytes, payment_id: str, clock: messages.Clock, *, biller: bool) -> bytes:
    """Returns the body of POST /quotes for this payment."""
    number = number_of(payment_id)
    return messages.quote_between(
        payer,
        payee,
        MSISDN.format(payer_of(number)).encode(),
        alias,
        payment_id.encode(),
        clock,
        scenario=scenario(biller=biller).encode(),
        kyc_tier=WATCHED_TIER.encode() if is_watched(number) else b"",
    )


def quote_id(payer: str, payee: str, number: int) -> str:
    """Returns the id of the quote that belongs to a packet."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{payer}/{payee}/{number}/quote"))
