"""Reads markers and appeals."""

from django.db.models import QuerySet

from rules.markers.models import Appeal, Marker


def filed_by(participant_id: int, number: int) -> Marker | None:
    """Returns this marker if this DFSP has filed the marker."""
    return Marker.objects.filter(filed_by=participant_id, pk=number).first()


def latest_appeal(participant_id: int, number: int) -> Appeal | None:
    """Returns this DFSP's latest appeal against this marker."""
    return Appeal.objects.filter(filed_by=participant_id, marker=number).first()


def of_party(key: int) -> "QuerySet[Marker]":
    """Returns all markers of a party, including lifted markers, with the DFSPs that filed them.

    The latest marker is first.
    """
    return Marker.objects.filter(key=key).select_related("filed_by")


def open_appeals() -> "QuerySet[Appeal]":
    """Returns the appeals that wait for a decision, with the oldest first."""
    found = Appeal.objects.filter(state=Appeal.State.OPEN).select_related("marker__filed_by", "filed_by")
    return found.order_by("id")


def in_force() -> "QuerySet[Marker]":
    """Returns the markers in force, with the DFSPs that filed them. The latest marker is first."""
    return Marker.objects.filter(lifted_at=None).select_related("filed_by").order_by("-id")
