"""Queries that find the oracles for an alias, and queries that read the hub's data about an alias or an oracle."""

from django.db.models import Count, QuerySet

from directory import alias_and_lookup_sql, builtin_oracle
from directory.aliases import Alias
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


def registrations_of(identifier: str) -> QuerySet[PartyIdentifier]:
    """Returns every registration of an identifier in the hub's own oracle, for any type, sub-id, currency and DFSP."""
    spellings = {Alias(alias_type, identifier).key for alias_type in ("MSISDN", "EMAIL", "IBAN", "ALIAS")}
    found = PartyIdentifier.objects.filter(identifier__in=spellings).select_related("fsp")
    return found.order_by("type", "identifier", "sub_id", "currency")


def shared_identifiers() -> "QuerySet[PartyIdentifier, tuple[str, str, int]]":
    """Returns a query for the identifiers that several DFSPs have registered, as (type, identifier, number of DFSPs).

    For example, a customer has moved to another DFSP, and both DFSPs have registered the customer's identifier.
    """
    rows = PartyIdentifier.objects.order_by("type", "identifier").values("type", "identifier")
    shared = rows.annotate(dfsps=Count("fsp", distinct=True)).filter(dfsps__gt=1)
    return shared.values_list("type", "identifier", "dfsps")
