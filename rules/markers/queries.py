"""Reads markers and appeals."""

from collections.abc import Collection, Mapping
from typing import Literal

from django.db.models import QuerySet

from rules.markers.models import Appeal, Marker
from rules.party_keys import dfsp_key
from rules.profiles import store as profiles

Serves = Literal["yes", "no", "not known"]


def filed_by(participant_id: int, number: int) -> Marker | None:
    """Returns this marker if this DFSP has filed it."""
    return Marker.objects.filter(filed_by=participant_id, pk=number).first()


def latest_appeal(participant_id: int, number: int) -> Appeal | None:
    """Returns this DFSP's latest appeal against this marker."""
    return Appeal.objects.filter(filed_by=participant_id, marker=number).first()


def of_party(key: int) -> "QuerySet[Marker]":
    """Returns all markers of a party, including lifted markers, with the DFSPs that filed the markers.

    The latest marker is first.
    """
    return Marker.objects.filter(key=key).select_related("filed_by")


def open_appeals() -> "QuerySet[Appeal]":
    """Returns the appeals that wait for a decision, with the oldest first."""
    found = Appeal.objects.filter(state=Appeal.State.OPEN).select_related("marker__filed_by", "filed_by")
    return found.order_by("id")


def serves(appeals: Collection[Appeal]) -> Mapping[int, Serves]:
    """For each appeal id, returns whether the appealing DFSP served the party at the party's latest payment.

    The party can have moved to this DFSP after that payment. So the people who decide about the appeal must not rely on
    the result alone. Runs one statement.
    """
    found = profiles.read({appeal.marker.key for appeal in appeals}) if appeals else {}
    return {appeal.pk: _serves(appeal.filed_by.name, found[appeal.marker.key].served_by) for appeal in appeals}


def _serves(dfsp: str, served_by: int) -> Serves:
    if not served_by:
        return "not known"
    return "yes" if served_by == dfsp_key(dfsp) else "no"


def in_force() -> "QuerySet[Marker]":
    """Returns the markers in force, with the DFSPs that filed these markers. The latest marker is first."""
    return Marker.objects.filter(lifted_at=None).select_related("filed_by").order_by("-id")
