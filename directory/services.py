"""Finding who serves an alias, and registering and withdrawing aliases, with whichever oracle answers for them."""

from collections.abc import Sequence

from directory import builtin, queries
from directory.aliases import Alias, check_form, fitting
from fspiop.errors import ErrorCode, FspiopError
from hub.participants import queries as participants
from hub.participants.models import Participant


def owner_of(alias: Alias) -> Participant:
    """The active participant that serves this alias; 3204 where there is none, 3200 where its sub-id is unknown."""
    for _ in queries.oracles_for(alias):
        registrations = fitting(builtin.find(alias), alias)
        active = participants.active_named({registration.fsp for registration in registrations})
        for registration in registrations:
            if registration.fsp in active:
                return active[registration.fsp]
    raise not_found(alias)


def register(alias: Alias, fsp: Participant) -> None:
    """Registers an alias for this DFSP, or says again what is registered; another's stays with that one (3003)."""
    check_form(alias)
    queries.oracles_for(alias)
    if builtin.register([alias], fsp):
        raise held_by_another()


def register_many(aliases: Sequence[Alias], fsp: Participant) -> dict[Alias, FspiopError]:
    """Registers many aliases for this DFSP; returns those that were not, and why. Statements do not grow with them."""
    refused: dict[Alias, FspiopError] = {}
    served: dict[tuple[str, str], list[Alias]] = {}
    for alias in aliases:
        try:
            check_form(alias)
        except FspiopError as error:
            refused[alias] = error
        else:
            served.setdefault((alias.type, alias.currency), []).append(alias)
    for (alias_type, _), group in served.items():
        try:
            queries.oracles_for(group[0])
        except FspiopError:
            # The reference hub's words, which differ from those about a single alias by a space.
            no_oracle = FspiopError(ErrorCode.ADD_PARTY_INFO_ERROR, f"Oracle type:{alias_type} not found")
            refused |= dict.fromkeys(group, no_oracle)
        else:
            refused |= dict.fromkeys(builtin.register(group, fsp), held_by_another())
    return refused


def withdraw(alias: Alias, fsp: Participant) -> None:
    """Withdraws this DFSP's registrations of an alias; 3204 where it has none."""
    queries.oracles_for(alias)
    if not builtin.withdraw(alias, fsp):
        raise not_found(alias)


def not_found(alias: Alias) -> FspiopError:
    return FspiopError(ErrorCode.ID_NOT_FOUND if alias.sub_id else ErrorCode.PARTY_NOT_FOUND)


def held_by_another() -> FspiopError:
    return FspiopError(ErrorCode.ADD_PARTY_INFO_ERROR, "this alias is registered by another participant")
