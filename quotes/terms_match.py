"""Compares each transfer with the terms in the payee DFSP's answer to the quote.

This module has two SQL statements. Each SQL statement processes any number of transfers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hub.sql_execution import execute
from quotes.terms_digest import digest_of


@dataclass(frozen=True, slots=True)
class Claim:
    """The terms of a transfer, and the ids with which the hub finds the transfer's quote."""

    key: bytes
    payer_id: int
    payee: str
    condition: str
    packet_sha256: bytes
    quote_id: str | None
    transfer_id: str
    transaction_id: str | None

    @property
    def terms(self) -> bytes:
        return digest_of(self.condition, self.packet_sha256)


# There are five ways to find the quote of a transfer: by the transfer's condition, packet or id, or by one of the two
# ids in the packet. Connectors use the id of the payment transaction as the transfer's id. Each subquery stops at the
# first row and uses its own index.
_NOT_AS_QUOTED = """
    SELECT c.key
    FROM unnest(%s::bytea[], %s::bigint[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::text[], %s::text[])
         AS c (key, payer_id, payee, condition, packet_sha256, quote_id, transfer_id, transaction_id)
    CROSS JOIN LATERAL (
        (SELECT 1 FROM quotes_quote q
         WHERE q.payer_id = c.payer_id AND q.condition = c.condition AND q.packet_sha256 IS NOT NULL LIMIT 1)
        UNION ALL
        (SELECT 1 FROM quotes_quote q WHERE q.payer_id = c.payer_id AND q.packet_sha256 = c.packet_sha256 LIMIT 1)
        UNION ALL
        (SELECT 1 FROM quotes_quote q
         WHERE q.quote_id = c.quote_id AND q.payer_id = c.payer_id AND q.packet_sha256 IS NOT NULL LIMIT 1)
        UNION ALL
        (SELECT 1 FROM quotes_quote q
         WHERE q.transaction_id IN (c.transfer_id, c.transaction_id) AND q.payer_id = c.payer_id
           AND q.packet_sha256 IS NOT NULL LIMIT 1)
        LIMIT 1
    ) known
    LEFT JOIN LATERAL (
        SELECT true AS is_there FROM quotes_quote q JOIN participants_participant payee ON payee.id = q.payee_id
        WHERE q.payer_id = c.payer_id AND q.condition = c.condition AND q.packet_sha256 = c.packet_sha256
          AND payee.name = c.payee
        LIMIT 1
    ) same ON true
    WHERE same.is_there IS NULL
"""


def not_as_quoted(claims: Sequence[Claim]) -> frozenset[bytes]:
    """Compares the terms of each transfer with the answer to the transfer's quote. Returns the keys of the transfers
    whose terms or payee DFSP differ from the answer.

    The comparison uses only answers that this hub has forwarded.

    The function runs one SQL statement.
    """
    columns = [
        [c.key for c in claims],
        [c.payer_id for c in claims],
        [c.payee for c in claims],
        [c.condition for c in claims],
        [c.packet_sha256 for c in claims],
        [c.quote_id for c in claims],
        [c.transfer_id for c in claims],
        [c.transaction_id for c in claims],
    ]
    return frozenset(row[0] for row in execute(_NOT_AS_QUOTED, columns))


_BULK_TERMS = """
    SELECT payee.name, b.terms
    FROM quotes_bulkquote b JOIN participants_participant payee ON payee.id = b.payee_id
    WHERE b.bulk_quote_id = %s AND b.payer_id = %s AND b.terms IS NOT NULL
"""


def not_in_bulk_quote(bulk_quote_id: str, claims: Sequence[Claim]) -> frozenset[bytes] | None:
    """Returns the keys of the transfers whose terms are not in the answer to the bulk quote. Returns None if the bulk
    quote has no answer.

    The function runs one SQL statement.
    """
    row = execute(_BULK_TERMS, [bulk_quote_id, claims[0].payer_id]).fetchone()
    if row is None:
        return None
    payee, given = row[0], {bytes(terms) for terms in row[1]}
    return frozenset(c.key for c in claims if c.payee != payee or c.terms not in given)
