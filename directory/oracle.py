"""The hub's own oracle: aliases that participants registered with it."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from directory.models import PartyIdentifier
from fspiop.errors import ErrorCode, FspiopError
from hub.participants.models import Participant


@dataclass(frozen=True, slots=True)
class Alias:
    """What names a party: FSPIOP API v1.1, section 7.4.11 (PartyIdInfo). Empty where a part was not given."""

    type: str
    identifier: str
    sub_id: str = ""
    currency: str = ""


def serves(alias_type: str) -> bool:
    """Whether an oracle of this scheme answers for aliases of this type."""
    return alias_type in settings.BUILTIN_ORACLE_TYPES


def check_type(alias: Alias) -> None:
    """Refuses with 3003 a type that no oracle of this scheme answers for."""
    if not serves(alias.type):
        raise FspiopError(ErrorCode.ADD_PARTY_INFO_ERROR, f"Oracle type: {alias.type} not found")


def owner_of(alias: Alias) -> Participant | None:
    """The active DFSP that serves this alias; where no currency is asked for, the one that was registered first."""
    found = PartyIdentifier.objects.filter(
        type=alias.type, identifier=alias.identifier, sub_id=alias.sub_id, fsp__is_active=True
    ).select_related("fsp")
    if alias.currency:
        found = found.filter(currency__in=("", alias.currency)).order_by("-currency", "id")
    first = found.first()
    return first.fsp if first else None


@transaction.atomic
def register(alias: Alias, *, fsp_id: int) -> None:
    """Registers an alias, or says again what is registered. One that another DFSP holds stays with that DFSP (3003)."""
    record, is_new = PartyIdentifier.objects.get_or_create(
        type=alias.type,
        identifier=alias.identifier,
        sub_id=alias.sub_id,
        currency=alias.currency,
        defaults={"fsp_id": fsp_id},
    )
    if not is_new and record.fsp_id != fsp_id:
        raise FspiopError(ErrorCode.ADD_PARTY_INFO_ERROR, "this alias is registered by another participant")


def register_many(aliases: Sequence[Alias], *, fsp_id: int) -> list[Alias]:
    """Registers many aliases by two statements; returns those that another DFSP holds."""
    with transaction.atomic():
        PartyIdentifier.objects.bulk_create(
            [
                PartyIdentifier(
                    type=alias.type,
                    identifier=alias.identifier,
                    sub_id=alias.sub_id,
                    currency=alias.currency,
                    fsp_id=fsp_id,
                )
                for alias in aliases
            ],
            ignore_conflicts=True,
        )
        held = PartyIdentifier.objects.filter(
            type__in={alias.type for alias in aliases}, identifier__in={alias.identifier for alias in aliases}
        ).exclude(fsp_id=fsp_id)
        elsewhere = {Alias(*row) for row in held.values_list("type", "identifier", "sub_id", "currency")}
    return [alias for alias in aliases if alias in elsewhere]


def withdraw(alias: Alias, *, fsp_id: int) -> bool:
    """Deletes the caller's registrations of an alias; says whether there was one."""
    found = PartyIdentifier.objects.filter(
        type=alias.type, identifier=alias.identifier, sub_id=alias.sub_id, fsp_id=fsp_id
    )
    if alias.currency:
        found = found.filter(currency=alias.currency)
    deleted, _ = found.delete()
    return deleted > 0
