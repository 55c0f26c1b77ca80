"""Sets a participant's networks (the addresses from which the participant calls) and its contact persons."""

from collections.abc import Sequence
from ipaddress import ip_network

from django.db import transaction

from fspiop.errors import ErrorCode, FspiopError
from fspiop.invalid_value_codes import Fault, InvalidValue
from hub.audit import record
from hub.participants import credential_cache
from hub.participants.models import AllowedNetwork, Contact, Participant

MOST_NETWORKS = 50  # the list has a limit, because the hub searches it for each request


class NetworkFault(Fault):
    """The faults that an entry in a participant's list of allowed networks can have."""

    NO_NETWORK = "%(line)s is neither an address nor a network such as 192.0.2.0/24"
    IPV4_AS_IPV6 = "%(network)s has IPv4 addresses: write it as an IPv4 network"
    ALL_ADDRESSES = "a network of all addresses allows every address: leave the list empty instead"
    TOO_MANY = "at most %(most)s networks"


def read_networks(lines: Sequence[str]) -> list[str]:
    """Returns the addresses and networks in a uniform spelling, without duplicates. Raises ValueError if one of them is
    invalid.
    """
    found: dict[str, None] = {}
    for line in lines:
        try:
            network = ip_network(line.strip())
        except ValueError:
            raise InvalidValue(NetworkFault.NO_NETWORK, line=line.strip()[:60]) from None
        if network.version == 6 and network.network_address.ipv4_mapped is not None:
            # the hub compares such addresses as IPv4 addresses
            raise InvalidValue(NetworkFault.IPV4_AS_IPV6, network=network)
        if network.prefixlen == 0:
            raise InvalidValue(NetworkFault.ALL_ADDRESSES)
        found[str(network)] = None
    if len(found) > MOST_NETWORKS:
        raise InvalidValue(NetworkFault.TOO_MANY, most=MOST_NETWORKS)
    return list(found)


@transaction.atomic
def set_networks(participant: Participant, *, networks: Sequence[str], actor: str) -> None:
    """Replaces the networks from which a participant is allowed to send requests. An empty list allows every
    address."""
    Participant.objects.select_for_update(no_key=True).get(pk=participant.pk)
    try:
        wanted = read_networks(networks)
    except ValueError as error:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, str(error)) from None
    before = networks_of(participant)
    AllowedNetwork.objects.filter(participant=participant).delete()
    AllowedNetwork.objects.bulk_create(AllowedNetwork(participant=participant, network=network) for network in wanted)
    record("networks_set", subject=participant.name, actor=actor, before=before, after=wanted)
    credential_cache.forget()
    transaction.on_commit(credential_cache.forget)


def networks_of(participant: Participant) -> list[str]:
    return list(AllowedNetwork.objects.filter(participant=participant).values_list("network", flat=True))


@transaction.atomic
def add_contact(participant: Participant, *, role: str, name: str, email: str, phone: str, actor: str) -> Contact:
    if not (email or phone):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "a contact needs an e-mail address or a telephone number")
    contact = Contact.objects.create(participant=participant, role=role, name=name, email=email, phone=phone)
    record("contact_added", subject=participant.name, actor=actor, after=_told(contact))
    return contact


@transaction.atomic
def remove_contact(participant: Participant, *, contact_id: int, actor: str) -> None:
    contact = Contact.objects.select_for_update().filter(participant=participant, pk=contact_id).first()
    if contact is None:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, "this participant has no such contact")
    told = _told(contact)
    contact.delete()
    record("contact_removed", subject=participant.name, actor=actor, before=told)


def _told(contact: Contact) -> dict[str, str]:
    return {"role": contact.role, "name": contact.name, "email": contact.email, "phone": contact.phone}
