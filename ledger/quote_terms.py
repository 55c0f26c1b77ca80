"""Finds transfer requests (prepares) whose terms differ from the terms of their quotes. This module compares prepares
only with quotes that this hub has forwarded.

To check the terms, the module runs one SQL statement for a batch, and at most two SQL statements for a bulk. If no
prepare needs this check, no SQL statement runs.
"""

from collections.abc import Sequence

from ledger.commands_and_outcomes import Prepare, Terms
from quotes import terms_match as quotes
from quotes.terms_match import Claim


def at_odds(prepares: Sequence[Prepare]) -> frozenset[bytes]:
    """Returns the digest of each prepare whose terms differ from the terms of its quote."""
    judged = [(prepare, prepare.terms) for prepare in prepares if prepare.terms is not None]
    if not judged:
        return frozenset()
    claims = [_claim(prepare, terms) for prepare, terms in judged]
    bulk_quote_id = judged[0][1].bulk_quote_id  # a batch with a bulk contains only this bulk
    if bulk_quote_id is not None:
        found = quotes.not_in_bulk_quote(bulk_quote_id, claims)
        if found is not None:
            return found
    return quotes.not_as_quoted(claims)


def _claim(prepare: Prepare, terms: Terms) -> Claim:
    return Claim(
        key=prepare.digest,
        payer_id=prepare.source_id,
        payee=prepare.payee,
        condition=prepare.condition,
        packet_sha256=terms.packet_sha256,
        quote_id=terms.quote_id,
        transfer_id=prepare.transfer_id,
        transaction_id=terms.transaction_id,
    )
