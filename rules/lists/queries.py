"""Reads lists and their entries."""

from django.db.models import Count, Q, QuerySet

from rules.lists.models import Entry, ListVersion, PartyList


def lists() -> "QuerySet[PartyList]":
    """Returns all lists by name, each with its numbers of parties and names (`parties`, `names`)."""
    live = Q(entries__removed_by=None, entries__isnull=False)
    return PartyList.objects.annotate(
        parties=Count("entries", filter=live & Q(entries__key__isnull=False)),
        names=Count("entries", filter=live & Q(entries__key=None)),
    ).order_by("name")


def entries(list_name: str) -> "QuerySet[Entry]":
    """Returns the entries that are on this list now, the latest first."""
    found = Entry.objects.filter(party_list__name=list_name, removed_by=None)
    return found.select_related("added_by").order_by("-id")


def versions(list_name: str) -> "QuerySet[ListVersion]":
    """Returns the versions of this list, the latest first."""
    return ListVersion.objects.filter(party_list__name=list_name).order_by("-number")
