"""Queries: the oracles that answer for an alias, and the hub's data about an alias or an oracle."""

from django.db.models import Count, QuerySet

from directory import builtin_oracle, store
from directory.aliases import Alias
from directory.models import Oracle, PartyIdentifier
from fspiop.errors import ErrorCode, FspiopError


def oracles(*, alias_type: str = "", currency: str = "") -> QuerySet[Oracle]:
    """The registered oracles, in the order in which they were added."""
    found = Oracle.objects.order_by("id")
    if alias_type:
        found = found.filter(type=alias_type)
    if currency:
        found = found.filter(currency=currency)
    return found


def oracles_for(alias: Alias) -> list[Oracle | None]:
    """The oracles for this alias, first the one for new registrations; None stands for the hub's own oracle.

    Each currency has one authority: the oracle of that currency, otherwise the one of all currencies, otherwise the
    hub's own. Without a currency any of them may have the alias. Then the default oracle comes first, and the hub's own
    comes before those of single currencies. 3003 if there is none for the type.
    """
    registered = store.oracles(alias.type)
    if alias.currency:
        first = [oracle for oracle in registered if oracle.currency == alias.currency]
        first += [oracle for oracle in registered if not oracle.currency]
        found: list[Oracle | None] = [*first[:1]] or _own(alias.type)
    else:
        first = [oracle for oracle in registered if oracle.is_default]
        first += [oracle for oracle in registered if not oracle.is_default and not oracle.currency]
        rest = [oracle for oracle in registered if oracle not in first]
        found = [*first, *_own(alias.type), *rest]
    if not found:
        raise FspiopError(ErrorCode.ADD_PARTY_INFO_ERROR, f"Oracle type: {alias.type} not found")
    return found


def _own(alias_type: str) -> list[Oracle | None]:
    return [None] if builtin_oracle.serves(alias_type) else []


def registrations_of(identifier: str) -> QuerySet[PartyIdentifier]:
    """Every registration of an identifier in the hub's own oracle, for any type, sub-id, currency and DFSP."""
    spellings = {Alias(alias_type, identifier).key for alias_type in ("MSISDN", "EMAIL", "IBAN", "ALIAS")}
    found = PartyIdentifier.objects.filter(identifier__in=spellings).select_related("fsp")
    return found.order_by("type", "identifier", "sub_id", "currency")


def shared_identifiers(most: int = 500) -> list[tuple[str, str, int]]:
    """Identifiers that several DFSPs have registered, as after a customer's move: type, identifier, number of DFSPs."""
    rows = PartyIdentifier.objects.order_by("type", "identifier").values("type", "identifier")
    shared = rows.annotate(dfsps=Count("fsp", distinct=True)).filter(dfsps__gt=1)
    return list(shared.values_list("type", "identifier", "dfsps")[:most])
