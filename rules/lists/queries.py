"""Reads lists and their entries."""

from typing import NamedTuple

from django.db.models import Count, Q, QuerySet

from rules.lists.models import Entry, ListVersion, PartyList


class Length(NamedTuple):
    """The number of parties and the number of names on a list."""

    parties: int
    names: int


def lists() -> list[tuple[PartyList, Length]]:
    """Returns all lists, sorted by name, with the number of parties and names on each list."""
    live = Q(entries__removed_by=None, entries__isnull=False)
    found = PartyList.objects.annotate(
        parties=Count("entries", filter=live & Q(entries__key__isnull=False)),
        names=Count("entries", filter=live & Q(entries__key=None)),
    ).order_by("name")
    return [(each, Length(each.parties, each.names)) for each in found]


def entries(list_name: str) -> "QuerySet[Entry]":
    """Returns the present entries of this list, with the latest first."""
    found = Entry.objects.filter(party_list__name=list_name, removed_by=None)
    return found.select_related("added_by").order_by("-id")


def versions(list_name: str) -> "QuerySet[ListVersion]":
    """Returns the versions of this list, with the latest first."""
    return ListVersion.objects.filter(party_list__name=list_name).order_by("-number")
