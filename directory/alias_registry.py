"""Finds the DFSP of an alias, and registers and withdraws aliases. Each alias has an oracle that is responsible for it.

Never call these functions in a database transaction, because they can send HTTP requests to external oracles.
"""

import time
from collections.abc import Sequence

from django.conf import settings
from django.db import DatabaseError

from directory import builtin_oracle, queries, remote_oracle
from directory.aliases import Alias, check_form, fitting
from directory.certifier_numbers import check_not_reserved
from directory.lookup_decisions import not_found
from directory.models import Oracle
from fspiop.errors import ErrorCode, FspiopError
from hub.api import errors
from hub.participants import queries as participants
from hub.participants.models import Participant
from hub.participants.participant_checks import Party


def owner_of(alias: Alias, *, caller: int) -> Party:
    """Returns the active participant that serves this alias.

    Raises 3204 if no participant serves the alias, and 3200 if the alias's sub-id is unknown. `caller` is the
    participant that requests the lookup. The hub limits the number of requests to an oracle for each caller. Raises
    2003 if an oracle does not answer. If an oracle does not answer, the hub does not ask the next oracle, because the
    next oracle could name a different DFSP.
    """
    until = time.monotonic() + settings.ORACLE_TIMEOUT_S
    for oracle in queries.oracles_for(alias):
        found = (
            builtin_oracle.find(alias)
            if oracle is None
            else remote_oracle.find(oracle, alias, caller=caller, until=until)
        )
        registrations = fitting(found, alias)
        active = participants.active_named({registration.fsp for registration in registrations})
        for registration in registrations:
            if registration.fsp in active:
                return active[registration.fsp]
    raise not_found(alias)


def register(alias: Alias, fsp: Participant) -> None:
    """Registers an alias for this DFSP. If this DFSP has already registered the alias, confirms the registration.
    Raises 3003 if another DFSP has registered the alias, or if the alias is reserved for the certifier."""
    check_form(alias)
    check_not_reserved(alias, fsp)
    oracle = queries.oracles_for(alias)[0]
    if oracle is None:
        is_ours = not builtin_oracle.register([alias], fsp)
    else:
        is_ours = remote_oracle.register(oracle, alias, fsp, until=time.monotonic() + settings.ORACLE_TIMEOUT_S)
    if not is_ours:
        raise FspiopError(ErrorCode.ADD_PARTY_INFO_ERROR, builtin_oracle.HELD)


def register_many(aliases: Sequence[Alias], fsp: Participant) -> dict[Alias, FspiopError]:
    """Registers many aliases. Returns the aliases that could not be registered, with an error for each.

    The function registers the aliases in parts of a few hundred aliases. The number of SQL statements grows only with
    the number of parts.
    """
    until = time.monotonic() + settings.ORACLE_BATCH_TIMEOUT_S
    refused: dict[Alias, FspiopError] = {}
    groups: dict[tuple[str, str], list[Alias]] = {}
    for alias in aliases:
        try:
            check_form(alias)
            check_not_reserved(alias, fsp)
        except FspiopError as error:
            refused[alias] = error
        else:
            groups.setdefault((alias.type, alias.currency), []).append(alias)
    for group in groups.values():
        try:
            refused |= _register_group(group, fsp, until)
        except (FspiopError, DatabaseError) as error:  # the other groups of aliases are perhaps already registered
            refused |= dict.fromkeys(group, errors.as_fspiop(error))
    return refused


def _register_group(group: Sequence[Alias], fsp: Participant, until: float) -> dict[Alias, FspiopError]:
    try:
        oracle = queries.oracles_for(group[0])[0]
    except FspiopError:
        # The reference hub uses this text for a batch. The reference hub's text for a single alias has one more space.
        raise FspiopError(ErrorCode.ADD_PARTY_INFO_ERROR, f"Oracle type:{group[0].type} not found") from None
    if oracle is None:
        return builtin_oracle.register_many(group, fsp)
    reasons = remote_oracle.register_many(oracle, group, fsp, until=until)
    return {alias: FspiopError(ErrorCode.ADD_PARTY_INFO_ERROR, reason) for alias, reason in reasons.items()}


def withdraw(alias: Alias, fsp: Participant) -> None:
    """Withdraws this DFSP's registrations of an alias from every responsible oracle.

    Raises 3204 if the DFSP has no registration of the alias.
    """
    until = time.monotonic() + settings.ORACLE_TIMEOUT_S
    withdrawn = [_withdraw(oracle, alias, fsp, until) for oracle in queries.oracles_for(alias)]
    if not any(withdrawn):
        raise not_found(alias)


def _withdraw(oracle: Oracle | None, alias: Alias, fsp: Participant, until: float) -> bool:
    return (
        builtin_oracle.withdraw(alias, fsp)
        if oracle is None
        else remote_oracle.withdraw(oracle, alias, fsp, until=until)
    )
