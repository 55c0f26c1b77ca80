"""Whether transfers come with the terms that their payees gave: two questions, of any number of transfers at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from hub.database import execute
from quotes.terms_digest import digest_of


@dataclass(frozen=True, slots=True)
class Claim:
    """What a transfer comes with: the terms, and the ids by which it names the quote that they are of."""

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


# A payer names its quote by any of five: condition, packet, the ids that the packet says, and the transfer's own id,
# which connectors make the transaction's. Each question stops at the first row and goes by an index of its own.
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
    """The keys of those whose quote the hub saw answered, by their payee, with other terms. One statement."""
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
    """The keys of those whose terms are not in this answer to their payer; None where there is none. One statement."""
    row = execute(_BULK_TERMS, [bulk_quote_id, claims[0].payer_id]).fetchone()
    if row is None:
        return None
    payee, given = row[0], {bytes(terms) for terms in row[1]}
    return frozenset(c.key for c in claims if c.payee != payee or c.terms not in given)
