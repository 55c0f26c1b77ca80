"""The hub's own oracle: the aliases that participants registered at the hub."""

import time
from collections.abc import Sequence

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models.functions import Now

from directory import alias_and_lookup_sql
from directory.aliases import Alias, Registration
from directory.models import PartyIdentifier
from fspiop.errors import ErrorCode, FspiopError
from hub import pauses_in_long_work, sql_execution
from hub.api import errors
from hub.audit import record
from hub.concurrency_shares import NoPlace
from hub.participants.models import Participant

HELD = "this alias is registered by another participant"
"""The error text for an alias that another DFSP has registered."""
_BUSY = "the hub is registering other batches of aliases; send this alias again"
_AT_ONCE = 250
_PATIENCE_S = 5.0
_PAUSES_FOR_S = 8.0  # the sender of the batch waits for the response, and a front waits for 20 s at most


def serves(alias_type: str) -> bool:
    """Returns whether the hub itself stores aliases of this type."""
    return alias_type in settings.BUILTIN_ORACLE_TYPES


def find(alias: Alias) -> list[Registration]:
    """Returns the registrations of this alias. If the alias has no currency, the oldest registration comes first."""
    return alias_and_lookup_sql.registrations(alias)


def register(aliases: Sequence[Alias], fsp: Participant) -> set[Alias]:
    """Registers new aliases, or confirms registered aliases, with two SQL statements. Returns the aliases that another
    DFSP has registered.

    No DFSP can take over an alias that another DFSP has registered. The other DFSP must first withdraw the alias.
    """
    with transaction.atomic():
        return _register(aliases, fsp)


def _register(aliases: Sequence[Alias], fsp: Participant) -> set[Alias]:
    alias_and_lookup_sql.register(aliases, fsp_id=fsp.pk)
    held = alias_and_lookup_sql.held_by_others(aliases, fsp_id=fsp.pk)
    return {alias for alias in aliases if alias.identity in held}


def register_many(aliases: Sequence[Alias], fsp: Participant) -> dict[Alias, FspiopError]:
    """Works like `register`, with one database transaction for each `_AT_ONCE` aliases. Returns the aliases that were
    not registered, with an error for each.

    A part of the aliases is not registered if the database cannot register the part, or if other batches have blocked
    the part for `_PATIENCE_S`. In this case, the later parts are not registered either. The earlier parts stay
    registered.
    """
    refused: dict[Alias, FspiopError] = {}
    paused_until = time.monotonic() + _PAUSES_FOR_S
    for at in range(0, len(aliases), _AT_ONCE):
        is_last = at + _AT_ONCE >= len(aliases)
        pauses = not is_last and time.monotonic() < paused_until
        try:
            with pauses_in_long_work.turn(fsp.pk, wait_s=_PATIENCE_S, pauses=pauses):
                try:
                    with transaction.atomic():
                        sql_execution.use_keys()
                        held = _register(aliases[at : at + _AT_ONCE], fsp)
                finally:
                    sql_execution.give_back()
        except DatabaseError as error:
            return refused | dict.fromkeys(aliases[at:], errors.as_fspiop(error))
        except NoPlace:
            return refused | dict.fromkeys(aliases[at:], FspiopError(ErrorCode.SERVER_BUSY, _BUSY))
        refused |= dict.fromkeys(held, FspiopError(ErrorCode.ADD_PARTY_INFO_ERROR, HELD))
    return refused


def take_back(alias_type: str, identifiers: Sequence[str], *, to: Participant) -> None:
    """Deletes all registrations of these identifiers by other DFSPs, because the identifiers are reserved for one
    participant."""
    PartyIdentifier.objects.filter(type=alias_type, identifier__in=identifiers).exclude(fsp=to).delete()


@transaction.atomic
def port(registration_id: int, *, to: Participant, actor: str) -> PartyIdentifier:
    """Moves a registration to another DFSP. Operators use this function if the old DFSP does not withdraw the
    registration.

    Adds an entry to the audit trail.
    """
    registration = PartyIdentifier.objects.select_for_update(of=("self",)).select_related("fsp").get(pk=registration_id)
    if not to.is_active or to.is_hub:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "the new DFSP must be active")
    before = registration.fsp
    registration.fsp, registration.changed_at = to, Now()
    registration.save(update_fields=["fsp", "changed_at"])
    # The audit entry does not contain the alias. Audit entries are kept for ever, but a customer's number must not be
    # kept for ever.
    record(
        "registration_ported",
        subject=f"registration {registration_id} of {registration.type}",
        actor=actor,
        before={"fsp": before.name},
        after={"fsp": to.name},
    )
    return registration


def withdraw(alias: Alias, fsp: Participant) -> bool:
    """Deletes this DFSP's registrations of an alias. Returns whether the DFSP had a registration."""
    found = PartyIdentifier.objects.filter(type=alias.type, identifier=alias.key, sub_id=alias.sub_key, fsp=fsp)
    if alias.currency:
        found = found.filter(currency=alias.currency)
    deleted, _ = found.delete()
    return deleted > 0
