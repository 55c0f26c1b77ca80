"""Chooses the oracles that are authoritative for an alias. Pure."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from directory.aliases import Alias
from fspiop.errors import ErrorCode, FspiopError


class Registered(Protocol):
    """A registered oracle for aliases of one type. An oracle without a currency serves all currencies."""

    @property
    def currency(self) -> str: ...

    @property
    def is_default(self) -> bool: ...


R = TypeVar("R", bound=Registered)


def authorities(alias: Alias, registered: Sequence[R], *, serves_itself: bool) -> list[R | None]:
    """Returns the oracles that serve this alias. The first oracle in the list receives new registrations.

    In the list, None means the hub's own oracle.

    Each currency has one authority. If an oracle serves only this currency, that oracle is the authority. If no oracle
    serves only this currency, the authority is the oracle for all currencies. If neither oracle exists, the authority
    is the hub's own oracle. If the alias has no currency, every oracle of the alias's type can have a registration of
    the alias. The list for an alias without a currency begins with the default oracle. In this list, the hub's own
    oracle comes before the oracles for single currencies. Raises 3003 if no oracle serves aliases of this type.
    """
    own: list[R | None] = [None] if serves_itself else []
    if alias.currency:
        first = [oracle for oracle in registered if oracle.currency == alias.currency]
        first += [oracle for oracle in registered if not oracle.currency]
        found: list[R | None] = [*first[:1]] or own
    else:
        first = [oracle for oracle in registered if oracle.is_default]
        first += [oracle for oracle in registered if not oracle.is_default and not oracle.currency]
        rest = [oracle for oracle in registered if oracle not in first]
        found = [*first, *own, *rest]
    if not found:
        raise FspiopError(ErrorCode.ADD_PARTY_INFO_ERROR, f"Oracle type: {alias.type} not found")
    return found
