"""Requests, lists and revokes administration clients: programs that use the administration APIs."""

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fspiop.errors import FspiopError
from hub.administration import services
from hub.administration.models import SCOPES, AdministrationClient
from portal.changes import Line
from portal.changes.clients import SCOPE_NAMES, told_scopes
from portal.views.request_change import AskForm, asking
from portal.visitor import visitor_of

_MOST_DAYS = 730
_USUAL_DAYS = 365


class NewClient(AskForm):
    name = forms.RegexField(
        r"^[a-z0-9][a-z0-9-]{1,31}\Z",
        label=gettext_lazy("Name"),
        max_length=32,
        help_text=gettext_lazy(
            "The purpose of the client, for example provisioning. 2 to 32 lower-case letters, digits or hyphens."
        ),
    )
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Permissions"),
        choices=[(scope, SCOPE_NAMES[scope]) for scope in SCOPES],
        widget=forms.CheckboxSelectMultiple,
    )
    days = forms.IntegerField(
        label=gettext_lazy("Validity in days"), min_value=1, max_value=_MOST_DAYS, initial=_USUAL_DAYS
    )


def index(request: HttpRequest) -> HttpResponse:
    user = visitor_of(request).user
    clients = AdministrationClient.objects.select_related("holder").order_by("-id")
    shown = [
        {
            "client": client,
            "scopes": told_scopes(client.scopes),
            "may_fetch": client.holder_id == (user and user.pk) and services.may_be_fetched(client),
        }
        for client in clients
    ]
    return render(request, "portal/clients.html", {"clients": shown})


def create(request: HttpRequest) -> HttpResponse:
    """Requests a client. The requester receives the client's secret, so the requester can never approve the client's
    requests."""
    holder = visitor_of(request).name
    return asking(
        request,
        "add_administration_client",
        form=NewClient(request.POST or None),
        subject=lambda said: str(said["name"]),
        payload=lambda said: {
            "name": said["name"],
            "scopes": sorted(said["scopes"]),
            "days": said["days"],
            "holder": holder,
        },
        back=reverse("clients"),
        facts=[Line(_("Secret given to"), holder)],
    )


def give_secret(request: HttpRequest, client_id: int) -> HttpResponse:
    """Shows the secret only once, and only to the requester of the client."""
    user = visitor_of(request).user
    assert user is not None
    try:
        client, secret = services.give_secret(client_id, to=user)
    except FspiopError as error:
        if error.http_status == 404:
            raise Http404 from None
        messages.error(request, _("The secret was already shown, or it can no longer be shown."))
        return redirect("clients")
    return render(request, "portal/client_secret.html", {"client": client, "secret": secret})


def revoke(request: HttpRequest, client_id: int) -> HttpResponse:
    found = AdministrationClient.objects.filter(pk=client_id, revoked_at=None).first()
    if found is None:
        raise Http404
    return asking(
        request,
        "revoke_administration_client",
        form=AskForm(request.POST or None),
        subject=found.key,
        payload=lambda _said: {"key": found.key},
        back=reverse("clients"),
        facts=[Line(_("Client"), found.key), Line(_("Permissions"), told_scopes(found.scopes))],
    )
