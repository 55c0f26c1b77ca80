"""Queries of held transfers, for pages and reports."""

from collections.abc import Sequence

from django.db.models import QuerySet

from hub.sql_execution import execute
from ledger.held_transfers.models import HeldTransfer


def hold_of(transfer_id: str) -> HeldTransfer | None:
    """Returns the hold of a transfer, even if the hold has ended. Returns None if the transfer was never held."""
    return HeldTransfer.objects.filter(pk=transfer_id).first()


def held() -> "QuerySet[HeldTransfer]":
    """Returns the transfers that are held now, sorted by the end of the hold."""
    return HeldTransfer.objects.filter(state=HeldTransfer.State.HELD).select_related("transfer").order_by("until", "pk")


def ended() -> "QuerySet[HeldTransfer]":
    """Returns the transfers whose hold has ended. The hold with the latest beginning comes first."""
    found = HeldTransfer.objects.exclude(state=HeldTransfer.State.HELD)
    return found.select_related("transfer").order_by("-held_at", "-pk")


# Finds each transfer's parties by the transfer's id, so the SQL statement reads only rows of held transfers.
_CONCERNING = """
    SELECT h.transfer_id
    FROM (SELECT %s::bigint AS key, %s::text AS dfsp, %s::text[] AS transfers, %s::text[] AS quotes, %s::text AS wanted)
         AS about
    JOIN ledger_heldtransfer h ON h.state = 'HELD' AND h.refusal_code IS NULL
                                  AND h.transfer_id = coalesce(about.wanted, h.transfer_id)
    JOIN ledger_transfer t ON t.transfer_id = h.transfer_id
    JOIN participants_participant payer ON payer.id = t.payer_id
    LEFT JOIN LATERAL (SELECT c.payer_key, c.payee_key FROM rules_profiles_countedtransfer c
                       WHERE c.transfer_id = h.transfer_id LIMIT 1) AS party ON true
    WHERE h.transfer_id = ANY(about.transfers) OR h.quote_id = ANY(about.quotes)
       OR CASE WHEN about.dfsp = '' THEN about.key IN (party.payer_key, party.payee_key)
               ELSE (payer.name = about.dfsp AND party.payer_key IS NULL)
                 OR (t.payee_name = about.dfsp AND party.payee_key IS NULL) END
    ORDER BY h.until, h.transfer_id LIMIT %s
"""


def concerning(
    party_key: int,
    *,
    unknown_party_of: str,
    transfer_ids: Sequence[str],
    quote_ids: Sequence[str],
    most: int,
    only: str | None = None,
) -> list[str]:
    """Returns the ids of held transfers that people can still release or refuse, sorted by the end of the hold.

    Returns the transfers with these ids, the transfers of these quotes, and the transfers from or to the party with
    this key. If `unknown_party_of` names a DFSP, the result has this DFSP's transfers with an unknown party instead of
    the transfers of the party. If `only` is set, returns at most the transfer with this id. Runs one SQL statement.
    """
    parameters = [party_key, unknown_party_of, list(transfer_ids), list(quote_ids), only, most]
    return [transfer_id for (transfer_id,) in execute(_CONCERNING, parameters)]
