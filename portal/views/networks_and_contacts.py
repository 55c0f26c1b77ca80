"""Requests changes of a participant's contacts, and of the source addresses that the hub allows for the participant."""

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from hub.participants import networks_and_contacts
from portal import change_request_forms
from portal.changes import Line
from portal.changes.networks_and_contacts import told_contact, told_networks
from portal.views.request_change import AskForm, asking
from portal.visitor import participant_of

_PARTS = ("role", "name", "email", "phone")


def networks(request: HttpRequest, name: str) -> HttpResponse:
    before = networks_and_contacts.networks_of(participant_of(request, name))
    return asking(
        request,
        "set_networks",
        form=change_request_forms.Networks(request.POST or None, initial={"networks": before}),
        subject=name,
        payload=lambda said: {"participant": name, "before": before, "networks": said["networks"]},
        back=reverse("participant", args=[name]),
        facts=[Line(_("Participant"), name), Line(_("Now"), told_networks(before))],
    )


def add_contact(request: HttpRequest, name: str) -> HttpResponse:
    participant_of(request, name)
    return asking(
        request,
        "add_contact",
        form=change_request_forms.NewContact(request.POST or None),
        subject=name,
        payload=lambda said: {"participant": name, "contact": {part: said[part] for part in _PARTS}},
        back=reverse("participant", args=[name]),
        facts=[Line(_("Participant"), name)],
    )


def remove_contact(request: HttpRequest, name: str, contact_id: int) -> HttpResponse:
    found = participant_of(request, name).contacts.filter(pk=contact_id).first()
    if found is None:
        raise Http404
    contact = {part: getattr(found, part) for part in _PARTS}
    return asking(
        request,
        "remove_contact",
        form=AskForm(request.POST or None),
        subject=name,
        payload=lambda _said: {"participant": name, "id": contact_id, "contact": contact},
        back=reverse("participant", args=[name]),
        facts=[Line(_("Participant"), name), Line(_("Contact"), told_contact(contact))],
    )
