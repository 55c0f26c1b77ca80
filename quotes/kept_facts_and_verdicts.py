"""Finds the facts and the verdict that the hub stored with a transfer's quote: see `rules.kept_verdicts`.

This module has three SQL statements. Each SQL statement processes any number of transfers or conversions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hub.sql_execution import execute
from quotes import bulk_quote_terms
from quotes.terms_digest import digest_of
from rules import kept_verdicts
from rules.kept_verdicts import Kept


@dataclass(frozen=True, slots=True)
class Claim:
    """The DFSPs and the condition of a transfer, and the digest of the transfer's packet. With these values, the hub
    finds the transfer's quote."""

    key: bytes
    payer_id: int
    payee: str
    condition: str
    packet_sha256: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """The facts and verdict that the hub stored for one payment, and the payment's terms."""

    quote_id: str
    kept: Kept
    transaction_id: str | None
    amount: int | None
    currency: str | None
    expires_at: datetime | None = None  # the time at which the terms expire


# A payee sends terms only once, and the terms never change. Each packet contains the id of a quote, so the terms belong
# to only one quote. The SQL statement has no ORDER BY, so that PostgreSQL always uses the index on the terms.
_OF_QUOTES = """
    SELECT c.key, q.quote_id, q.transaction_id, q.transfer_amount, q.transfer_currency, q.terms_expire_at, q.rule_facts
    FROM unnest(%s::bytea[], %s::bigint[], %s::text[], %s::text[], %s::bytea[])
         AS c (key, payer_id, payee, condition, packet_sha256)
    CROSS JOIN LATERAL (
        SELECT q.quote_id, q.transaction_id, q.transfer_amount, q.transfer_currency, q.terms_expire_at, q.rule_facts
        FROM quotes_quote q JOIN participants_participant payee ON payee.id = q.payee_id
        WHERE q.payer_id = c.payer_id AND q.condition = c.condition AND q.packet_sha256 = c.packet_sha256
          AND q.packet_sha256 IS NOT NULL AND q.rule_facts IS NOT NULL AND payee.name = c.payee
        LIMIT 1
    ) q
"""


def of_transfers(claims: Sequence[Claim]) -> dict[bytes, Found]:
    """Returns the facts and the verdict that are stored with the quote of each transfer. Leaves out transfers without a
    stored quote."""
    columns = [
        [c.key for c in claims],
        [c.payer_id for c in claims],
        [c.payee for c in claims],
        [c.condition for c in claims],
        [c.packet_sha256 for c in claims],
    ]
    found = {}
    for key, quote_id, transaction_id, amount, currency, expires_at, stored in execute(_OF_QUOTES, columns):
        kept = kept_verdicts.from_bytes(bytes(stored)).get(quote_id)
        if kept is not None:
            found[bytes(key)] = Found(quote_id, kept, transaction_id, amount, currency, expires_at)
    return found


# The initiator names the conversion in its request for terms. Like `_OF_QUOTES`, this SQL statement has no ORDER BY.
_OF_FX_QUOTES = """
    SELECT c.key, q.conversion_request_id, q.rule_facts
    FROM unnest(%s::bytea[], %s::bigint[], %s::text[], %s::text[], %s::text[])
         AS c (key, initiator_id, fxp, condition, conversion_id)
    CROSS JOIN LATERAL (
        SELECT q.conversion_request_id, q.rule_facts
        FROM quotes_fxquote q JOIN participants_participant fxp ON fxp.id = q.payee_id
        WHERE q.conversion_id = c.conversion_id AND q.payer_id = c.initiator_id AND fxp.name = c.fxp
          AND q.state = 'ACCEPTED' AND coalesce(q.condition, c.condition) = c.condition AND q.rule_facts IS NOT NULL
        LIMIT 1
    ) q
"""


@dataclass(frozen=True, slots=True)
class ConversionClaim:
    """A conversion's id, parties and condition. With these values, the hub finds the conversion's quote."""

    key: bytes
    initiator_id: int
    fxp: str
    condition: str
    conversion_id: str


def of_conversions(claims: Sequence[ConversionClaim]) -> dict[bytes, Kept]:
    """Returns the facts and the verdict that are stored with the FX quote of each conversion. Leaves out conversions
    without a stored FX quote.
    """
    columns = [
        [c.key for c in claims],
        [c.initiator_id for c in claims],
        [c.fxp for c in claims],
        [c.condition for c in claims],
        [c.conversion_id for c in claims],
    ]
    found = {}
    for key, quote_id, stored in execute(_OF_FX_QUOTES, columns):
        kept = kept_verdicts.from_bytes(bytes(stored)).get(quote_id)
        if kept is not None:
            found[bytes(key)] = kept
    return found


_OF_A_BULK = """
    SELECT payee.name, b.rule_terms, b.rule_facts
    FROM quotes_bulkquote b JOIN participants_participant payee ON payee.id = b.payee_id
    WHERE b.bulk_quote_id = %s AND b.payer_id = %s AND b.rule_terms IS NOT NULL AND b.rule_facts IS NOT NULL
"""


def of_items(bulk_quote_id: str, claims: Sequence[Claim]) -> dict[bytes, Found]:
    """For each of these transfers, returns the facts and the verdict that the hub stored with the bulk quote."""
    row = execute(_OF_A_BULK, [bulk_quote_id, claims[0].payer_id]).fetchone()
    if row is None:
        return {}
    payee, terms, stored = row[0], bulk_quote_terms.from_bytes(bytes(row[1])), bytes(row[2])
    by_terms = {each.terms: each for each in terms}
    kept = kept_verdicts.from_bytes(stored)
    found = {}
    for claim in claims:
        one = by_terms.get(digest_of(claim.condition, claim.packet_sha256))
        if one is not None and one.quote_id in kept and claim.payee == payee:
            of_item = kept[one.quote_id]
            found[claim.key] = Found(one.quote_id, of_item, of_item.transaction_id, one.amount, one.currency)
    return found
