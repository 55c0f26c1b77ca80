"""Queries that find the oracles for an alias, and queries that read the hub's data about an alias or an oracle."""

from collections.abc import Collection

from django.db.models import Count, QuerySet

from directory import alias_and_lookup_sql, builtin_oracle
from directory.aliases import TYPES, Alias
from directory.authoritative_oracles import authorities
from directory.models import Oracle, PartyIdentifier


def oracles(*, alias_type: str = "", currency: str = "") -> QuerySet[Oracle]:
    """Returns the registered oracles, in the order in which they were added."""
    found = Oracle.objects.order_by("id")
    if alias_type:
        found = found.filter(type=alias_type)
    if currency:
        found = found.filter(currency=currency)
    return found


def oracles_for(alias: Alias) -> list[Oracle | None]:
    """Returns the oracles that serve this alias. The first oracle receives new registrations (see
    `directory.authoritative_oracles`)."""
    return authorities(alias, alias_and_lookup_sql.oracles(alias.type), serves_itself=builtin_oracle.serves(alias.type))


def registrations_of(*identifiers: str, id_type: str = "") -> QuerySet[PartyIdentifier]:
    """Returns every registration of these identifiers in the hub's own oracle, for any sub-id, currency and DFSP. If
    `id_type` is empty, returns the registrations of all types."""
    types = [id_type] if id_type else sorted(TYPES)
    spellings = {Alias(each, identifier).key for each in types for identifier in identifiers}
    # The index begins with the type.
    found = PartyIdentifier.objects.filter(type__in=types, identifier__in=spellings).select_related("fsp")
    return found.order_by("type", "identifier", "sub_id", "currency")


def sub_ids_of(identifiers: Collection[str]) -> set[str]:
    """Returns the sub-ids with which these identifiers are registered in the hub's own oracle."""
    return set(registrations_of(*identifiers).exclude(sub_id="").order_by().values_list("sub_id", flat=True))


def shared_identifiers() -> "QuerySet[PartyIdentifier, tuple[str, str, int]]":
    """Returns a query for the identifiers that several DFSPs have registered, as (type, identifier, number of DFSPs).

    For example, a customer has moved to another DFSP, and both DFSPs have registered the customer's identifier.
    """
    rows = PartyIdentifier.objects.order_by("type", "identifier").values("type", "identifier")
    shared = rows.annotate(dfsps=Count("fsp", distinct=True)).filter(dfsps__gt=1)
    return shared.values_list("type", "identifier", "dfsps")
