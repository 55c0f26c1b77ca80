"""The pages of the directory: search of aliases, oracles with their health, and requests for changes."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from django import forms as django_forms
from django.conf import settings
from django.core.cache import caches
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from directory import oracles as scheme_oracles
from directory import queries, remote_oracle
from directory.models import Oracle, PartyIdentifier
from hub.audit import record
from portal import change_request_forms, pagination
from portal.changes import Line
from portal.parse_typed_values import forms_of_identifier, shown_identifier
from portal.rules.party_fields import ID_TYPES, identifier_field
from portal.search_forms import Search
from portal.views.request_change import AskForm, asking
from portal.visitor import visitor_of

_FRESH_S = 15
_MOST_SHARED = 200
_MOST_FOUND = 50


class AliasSearch(Search):
    identifier = identifier_field(required=False)
    type = django_forms.ChoiceField(label=gettext_lazy("Type"), required=False, choices=[("", "–"), *ID_TYPES])

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        try:
            said["identifiers"] = forms_of_identifier(said.get("identifier", ""), said.get("type", ""))
        except django_forms.ValidationError as error:
            self.add_error("identifier", error)
        return said

    def _understood(self) -> Iterator[str]:
        if "identifier" in self.said:
            yield shown_identifier(self.said["identifier"], self.said.get("type", ""))


def index(request: HttpRequest) -> HttpResponse:
    """Finds an alias only if the visitor enters the alias completely. No user can browse a list of a country's
    customers."""
    search = AliasSearch(request.GET)
    said = search.said
    found = None
    if said.get("identifiers"):
        registered = queries.registrations_of(*said["identifiers"], id_type=said.get("type", ""))
        found = pagination.latest(registered, _MOST_FOUND)
        # The audit trail records the search and its user, but not the alias.
        record("alias_looked_up", subject="directory", actor=visitor_of(request).name, after={"found": len(found)})
    oracles = Oracle.objects.order_by("type", "currency")
    is_shared = found is not None and len({registration.fsp_id for registration in found}) > 1
    context = {"search": search, "found": found, "is_shared": is_shared, "oracles": oracles}
    return render(request, "portal/directory.html", context | {"builtin": settings.BUILTIN_ORACLE_TYPES})


def shared(request: HttpRequest) -> HttpResponse:
    """Lists aliases that several participants have registered with different currencies or sub-ids.

    Operators use the list to find registrations that should be withdrawn.
    """
    found = pagination.latest(queries.shared_identifiers(), _MOST_SHARED)
    record("shared_aliases_listed", subject="directory", actor=visitor_of(request).name, after={"found": len(found)})
    return render(request, "portal/shared_aliases.html", {"found": found})


def _oracle(oracle_id: int) -> Oracle:
    found = Oracle.objects.filter(pk=oracle_id).first()
    if found is None:
        raise Http404
    return found


def health(request: HttpRequest, oracle_id: int) -> HttpResponse:
    """Returns the part of the page that shows whether this oracle responds.

    Each process checks an oracle at most once every few seconds.
    """
    oracle = _oracle(oracle_id)
    probe = partial(remote_oracle.probe, oracle)
    answered = caches["process"].get_or_set(f"portal:oracle:{oracle.pk}", probe, _FRESH_S)
    return render(request, "portal/oracle_health.html", {"answered": answered})


def _said(said: dict[str, Any]) -> dict[str, Any]:
    return {name: said[name] for name in ("type", "endpoint", "currency", "is_default")}


def add_oracle(request: HttpRequest) -> HttpResponse:
    return asking(
        request,
        "add_oracle",
        form=change_request_forms.OracleTerms(request.POST or None),
        subject=lambda said: f"oracle for {said['type']}",
        payload=lambda said: {"after": _said(said)},
        back=reverse("directory"),
    )


def change_oracle(request: HttpRequest, oracle_id: int) -> HttpResponse:
    oracle = _oracle(oracle_id)
    return asking(
        request,
        "change_oracle",
        form=change_request_forms.OracleTerms(request.POST or None, initial=scheme_oracles.terms_of(oracle)),
        subject=str(oracle),
        payload=lambda said: {"oracle": oracle.pk, "before": scheme_oracles.terms_of(oracle), "after": _said(said)},
        back=reverse("directory"),
    )


def remove_oracle(request: HttpRequest, oracle_id: int) -> HttpResponse:
    oracle = _oracle(oracle_id)
    return asking(
        request,
        "remove_oracle",
        form=AskForm(request.POST or None),
        subject=str(oracle),
        payload=lambda _said: {"oracle": oracle.pk, "before": scheme_oracles.terms_of(oracle)},
        back=reverse("directory"),
        facts=[Line(_("Type"), oracle.type), Line(_("Address"), oracle.endpoint)],
    )


def port(request: HttpRequest, registration_id: int) -> HttpResponse:
    found = PartyIdentifier.objects.select_related("fsp").filter(pk=registration_id).first()
    if found is None:
        raise Http404
    return asking(
        request,
        "port_alias",
        form=change_request_forms.Porting(request.POST or None, but=found.fsp),
        subject=f"registration {found.pk} of {found.type}",
        payload=lambda said: {
            "registration": found.pk,
            "type": found.type,
            "before": found.fsp.name,
            "to": said["to"].name,
        },
        back=reverse("directory"),
        facts=[Line(_("Type"), found.type), Line(_("Alias"), found.identifier), Line(_("From"), found.fsp.name)],
    )
