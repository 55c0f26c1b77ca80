"""The directory: which DFSP an alias belongs to, and who answers for which type of alias."""

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy

from directory.models import Oracle, PartyIdentifier
from hub.audit import record
from portal.search import Search
from portal.visitor import visitor_of


class AliasSearch(Search):
    identifier = forms.CharField(label=gettext_lazy("Alias"), required=False, max_length=128)
    type = forms.CharField(label=gettext_lazy("Type"), required=False, max_length=32)


def index(request: HttpRequest) -> HttpResponse:
    """Only whole aliases are found: a directory that can be leafed through would be a list of a country's customers."""
    search = AliasSearch(request.GET)
    search.is_valid()
    identifier = search.cleaned_data.get("identifier")
    found = None
    if identifier:
        rows = PartyIdentifier.objects.filter(identifier=identifier).select_related("fsp")
        found = list(search.filtered(rows, type="type")[:50])
        # Who looked up whose alias is worth knowing; the alias itself is not kept.
        record("alias_looked_up", subject="directory", actor=visitor_of(request).name, after={"found": len(found)})
    oracles = Oracle.objects.order_by("type", "currency")
    context = {"search": search, "found": found, "oracles": oracles, "builtin": settings.BUILTIN_ORACLE_TYPES}
    return render(request, "portal/directory.html", context)
