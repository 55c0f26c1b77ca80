"""The kinds of change for a participant's contacts and allowed source addresses."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.participants import networks_and_contacts
from hub.participants.models import Contact
from portal.changes.change_kind import Kind, Line, Payload, must_still_be, participant_named
from portal.permissions import Right


def told_networks(networks: list[str]) -> str:
    return ", ".join(networks) or _("any address")


def _describe_networks(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Before"), told_networks(payload["before"])),
        Line(_("After"), told_networks(payload["networks"])),
    ]


def _check_networks_still(payload: Payload) -> None:
    participant = participant_named(payload["participant"])
    must_still_be(networks_and_contacts.networks_of(participant), payload["before"])


def _set_networks(payload: Payload, actor: str) -> None:
    _check_networks_still(payload)
    participant = participant_named(payload["participant"])
    networks_and_contacts.set_networks(participant, networks=payload["networks"], actor=actor)


def told_contact(contact: Payload) -> str:
    parts = (contact["name"], contact["role"], contact["email"], contact["phone"])
    return ", ".join(part for part in parts if part)


def _describe_contact(payload: Payload) -> list[Line]:
    return [Line(_("Participant"), payload["participant"]), Line(_("Contact"), told_contact(payload["contact"]))]


def add_contact(payload: Payload, actor: str) -> None:
    networks_and_contacts.add_contact(participant_named(payload["participant"]), **payload["contact"], actor=actor)


def _check_contact_still(payload: Payload) -> None:
    must_still_be(Contact.objects.filter(pk=payload["id"]).exists(), True)


def _remove_contact(payload: Payload, actor: str) -> None:
    networks_and_contacts.remove_contact(
        participant_named(payload["participant"]), contact_id=payload["id"], actor=actor
    )


_RIGHTS = (Right.ASK_TECHNICAL, Right.CHECK_PARTICIPANTS)
KINDS = [
    Kind(
        "set_networks",
        gettext_lazy("Change the allowed source addresses"),
        *_RIGHTS,
        _describe_networks,
        _set_networks,
        check_still=_check_networks_still,
    ),
    Kind("add_contact", gettext_lazy("Add a contact"), *_RIGHTS, _describe_contact, add_contact),
    Kind(
        "remove_contact",
        gettext_lazy("Remove a contact"),
        *_RIGHTS,
        _describe_contact,
        _remove_contact,
        check_still=_check_contact_still,
    ),
]
