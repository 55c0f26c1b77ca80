"""Pages of conversions, FX quotes, and the history of one conversion."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy

from portal import pagination
from portal.pagination import Page
from portal.parse_typed_values import spellings_of_id
from portal.queries import conversions
from portal.queries.conversions import Wish
from portal.queries.keyset import Found
from portal.search_forms import CurrencyField, DayField, ParticipantField, Search
from portal.visitor import Visitor, visitor_of
from portal.words import states

_STATES = ("RESERVED", "AGREED", "COMMITTED", "ABORTED")
_STATES_OF_TERMS = ("PENDING", "ACCEPTED", "REJECTED", "EXPIRED")


class TermsSearch(Search):
    id = forms.CharField(label=gettext_lazy("Any id"), required=False, max_length=36)
    dfsp = ParticipantField(label=gettext_lazy("Participant"))
    state = forms.ChoiceField(
        label=gettext_lazy("State"),
        required=False,
        choices=states.choices(*_STATES_OF_TERMS),
    )
    since = DayField(label=gettext_lazy("From"), required=False)
    until = DayField(label=gettext_lazy("Until"), required=False, is_end=True)

    def wish(self, visitor: Visitor) -> Wish:
        """Returns the search conditions from all fields."""
        said = self.said
        return Wish(
            any_id=said.get("id", ""),
            own=visitor.dfsp_id,
            dfsp=said.get("dfsp"),
            since=said.get("since"),
            until=said.get("until"),
            other=self.other(said),
        )

    def other(self, said: dict[str, str]) -> Q:
        return Q(state=said["state"]) if "state" in said else Q()


class ConversionSearch(TermsSearch):
    state = forms.ChoiceField(label=gettext_lazy("State"), required=False, choices=states.choices(*_STATES))
    error = forms.CharField(label=gettext_lazy("Error code"), required=False, max_length=4)
    currency = CurrencyField(label=gettext_lazy("Currency"))

    def other(self, said: dict[str, str]) -> Q:
        found = super().other(said)
        if "error" in said:
            found &= Q(error_code=said["error"])
        if "currency" in said:
            found &= Q(source_currency=said["currency"]) | Q(target_currency=said["currency"])
        return found


def _page(request: HttpRequest, search: TermsSearch, latest: Callable[..., Found[Any]]) -> tuple[Page, Found[Any]]:
    if not search.is_valid():
        return pagination.by_arrival(request, lambda _before, _size: Found([]))
    wish = search.wish(visitor_of(request))
    return pagination.by_arrival(request, lambda before, size: latest(wish, before=before, size=size))


def index(request: HttpRequest) -> HttpResponse:
    search = ConversionSearch(request.GET)
    page, found = _page(request, search, conversions.latest)
    context = {"search": search, "page": page, "stopped_at": found.stopped_at}
    return render(request, "portal/conversions.html", context)


def terms(request: HttpRequest) -> HttpResponse:
    search = TermsSearch(request.GET)
    page, found = _page(request, search, conversions.latest_terms)
    context = {"search": search, "page": page, "stopped_at": found.stopped_at}
    return render(request, "portal/terms.html", context)


def show(request: HttpRequest, conversion_id: str) -> HttpResponse:
    visitor = visitor_of(request)
    found = conversions.visible(visitor.dfsp_id).filter(pk__in=spellings_of_id(conversion_id[:40])).first()
    if found is None:
        raise Http404
    story = conversions.story_of(found)
    may_open = story.transfer is not None and (
        visitor.may_see(story.transfer.payer_id) or visitor.may_see(story.transfer.payee_id)
    )
    context = {"conversion": found, "story": story, "may_open_transfer": may_open}
    return render(request, "portal/conversion.html", context)
