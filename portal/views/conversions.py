"""Pages of conversions, FX quotes, and the history of one conversion."""

from django import forms
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy

from hub.participants.models import Participant
from portal import pagination
from portal.queries import conversions
from portal.queries.conversions import Wish
from portal.search_forms import DayField, Search
from portal.visitor import Visitor, visitor_of
from portal.words import states

_STATES = ("RESERVED", "AGREED", "COMMITTED", "ABORTED")
_STATES_OF_TERMS = ("PENDING", "ACCEPTED", "REJECTED", "EXPIRED")


class TermsSearch(Search):
    id = forms.CharField(label=gettext_lazy("Any id"), required=False, max_length=36)
    dfsp = forms.CharField(label=gettext_lazy("Participant"), required=False, max_length=30)
    state = forms.ChoiceField(
        label=gettext_lazy("State"),
        required=False,
        choices=states.choices(*_STATES_OF_TERMS),
    )
    since = DayField(label=gettext_lazy("From"), required=False)
    until = DayField(label=gettext_lazy("To"), required=False, is_end=True)

    def wish(self, visitor: Visitor) -> Wish:
        """Returns the conditions from all valid fields. Ignores invalid fields."""
        self.is_valid()
        said = {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}
        dfsp = None
        if "dfsp" in said:
            dfsp = Participant.objects.filter(name=said["dfsp"]).values_list("pk", flat=True).first() or 0
        return Wish(
            any_id=said.get("id", ""),
            own=visitor.dfsp_id,
            dfsp=dfsp,
            since=said.get("since"),
            until=said.get("until"),
            other=self.other(said),
        )

    def other(self, said: dict[str, str]) -> Q:
        return Q(state=said["state"]) if "state" in said else Q()


class ConversionSearch(TermsSearch):
    state = forms.ChoiceField(label=gettext_lazy("State"), required=False, choices=states.choices(*_STATES))
    error = forms.CharField(label=gettext_lazy("Error code"), required=False, max_length=4)
    currency = forms.CharField(label=gettext_lazy("Currency"), required=False, max_length=3)

    def other(self, said: dict[str, str]) -> Q:
        found = super().other(said)
        if "error" in said:
            found &= Q(error_code=said["error"])
        if "currency" in said:
            currency = said["currency"].upper()
            found &= Q(source_currency=currency) | Q(target_currency=currency)
        return found


def index(request: HttpRequest) -> HttpResponse:
    search = ConversionSearch(request.GET)
    wish = search.wish(visitor_of(request))
    page, found = pagination.by_arrival(
        request, lambda before, size: conversions.latest(wish, before=before, size=size)
    )
    context = {"search": search, "page": page, "stopped_at": found.stopped_at}
    return render(request, "portal/conversions.html", context)


def terms(request: HttpRequest) -> HttpResponse:
    search = TermsSearch(request.GET)
    wish = search.wish(visitor_of(request))
    page, found = pagination.by_arrival(
        request, lambda before, size: conversions.latest_terms(wish, before=before, size=size)
    )
    context = {"search": search, "page": page, "stopped_at": found.stopped_at}
    return render(request, "portal/terms.html", context)


def show(request: HttpRequest, conversion_id: str) -> HttpResponse:
    visitor = visitor_of(request)
    found = conversions.visible(visitor.dfsp_id).filter(pk=conversion_id[:40]).first()
    if found is None:
        raise Http404
    story = conversions.story_of(found)
    may_open = story.transfer is not None and (
        visitor.may_see(story.transfer.payer_id) or visitor.may_see(story.transfer.payee_id)
    )
    context = {"conversion": found, "story": story, "may_open_transfer": may_open}
    return render(request, "portal/conversion.html", context)
