"""Queries of held transfers, for pages and reports."""

from django.db.models import QuerySet

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
