"""Clears matches of names. Two people must confirm that a party is not the listed person.

A database transaction can clear a match only if the same transaction contains the approved request
(`clear_name_match`).
"""

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from hub.audit import record
from rules.change_refused import NotChanged
from rules.lists import change_numbers
from rules.lists.models import NameMatch

KIND = "clear_name_match"
"""The kind of request in `hub.audit.approvals`."""


def subject_of(match_id: int) -> str:
    """Returns the subject of a request to clear this match. A trigger in the database checks that the change matches
    this subject."""
    return f"name match {match_id}"


def open_matches() -> "QuerySet[NameMatch]":
    """Returns the matches that are not cleared, with their entries and lists. The latest match comes first."""
    found = NameMatch.objects.filter(cleared_at=None, entry__removed_by=None)
    return found.select_related("entry__party_list").order_by("-id")


@transaction.atomic
def clear(match_id: int, *, actor: str) -> NameMatch:
    """Clears a match, in the database transaction that approves the request."""
    found = NameMatch.objects.select_for_update(no_key=True).filter(pk=match_id, cleared_at=None).first()
    if found is None:
        raise NotChanged(_("The match does not exist, or it was already cleared."))
    record("name_match_cleared", subject=subject_of(match_id), actor=actor, after={"entry": found.entry_id})
    found.cleared_at, found.cleared_by = Now(), actor
    found.change = change_numbers.count(change_numbers.LISTS)
    found.save(update_fields=["cleared_at", "cleared_by", "change"])
    return found
