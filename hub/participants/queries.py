"""Queries of participants."""

from collections.abc import Collection
from datetime import timedelta

from django.db.models import QuerySet
from django.db.models.functions import Now

from hub.participants.models import Credential, CurrencyPair, Endpoint, Participant
from hub.participants.participant_checks import Party as Party
from hub.sql_execution import execute

# A participant's id and name never change, and no other participant ever gets them. So names can be cached.
_ids_by_name: dict[str, int] = {}
_names_by_id: dict[int, str] = {}


def id_of(name: str) -> int | None:
    """Returns the id of the participant with exactly this name, or None."""
    found = _ids_by_name.get(name)
    if found is None:
        found = Participant.objects.filter(name=name).values_list("id", flat=True).first()
        if found is not None:
            _ids_by_name[name] = found
            _names_by_id[found] = name
    return found


def has_certifier() -> bool:
    """Returns whether the hub has ever certified a DFSP. From then on, the test currency is only for tests."""
    return Participant.objects.filter(is_certifier=True).exists()


def known_id(name: str) -> int | None:
    """Returns the cached id of the participant, or None if this process has not cached it. Makes no query."""
    return _ids_by_name.get(name)


def name_of(participant_id: int) -> str:
    """Returns the participant's name. The participant must exist."""
    if participant_id not in _names_by_id:
        name = Participant.objects.values_list("name", flat=True).get(pk=participant_id)
        _names_by_id[participant_id] = name
        _ids_by_name[name] = participant_id
    return _names_by_id[participant_id]


def known_name(participant_id: int) -> str:
    """Returns the cached name of the participant. If this process has not cached the name, returns the id. Log calls
    use this function, because it never queries the database."""
    return _names_by_id.get(participant_id, f"#{participant_id}")


def forget() -> None:
    """Clears this process's cache. Only tests call this function, because only tests replace the database."""
    _ids_by_name.clear()
    _names_by_id.clear()


def active(name: str) -> Participant | None:
    """Returns the active participant with this name, or None. Reads the participant from the database and not from a
    cache."""
    return Participant.objects.filter(name=name, is_active=True, is_hub=False).first()


_ACTIVE = """
    SELECT p.id, p.name, p.may_send, p.may_receive, ARRAY({currencies}), p.tested_by_id FROM participants_participant p
    WHERE p.name = ANY(%s::text[]) AND p.is_active AND NOT p.is_hub
"""
_statements = {"active": _ACTIVE.format(currencies="SELECT NULL::text WHERE false")}


def currencies_come_from(select: str) -> None:
    """Sets the SQL query that finds the currencies of the participant `p`. The ledger calls this function, because the
    accounts are in the ledger's tables."""
    _statements["active"] = _ACTIVE.format(currencies=select)


def active_named(names: Collection[str]) -> dict[str, Party]:
    """Maps each of these names to the active participant with this name. Leaves out names without an active
    participant. Runs only one SQL statement."""
    found = (Party(*row) for row in execute(_statements["active"], [list(names)])) if names else ()
    return {party.name: party for party in found}


def endpoints_of(participant_ids: Collection[int]) -> dict[int, dict[str, str]]:
    """For each participant, returns its endpoints: a mapping from each endpoint's type to the endpoint's value."""
    found: dict[int, dict[str, str]] = {participant_id: {} for participant_id in participant_ids}
    rows = Endpoint.objects.filter(participant_id__in=participant_ids)
    for participant_id, endpoint_type, value in rows.values_list("participant_id", "type", "value"):
        found[participant_id][endpoint_type] = value
    return found


def ending_credentials(within: timedelta, participant_id: int | None = None) -> QuerySet[Credential]:
    """Returns the credentials that expire within this time, of one participant or of all participants. The list begins
    with the credential that expires first."""
    found = Credential.objects.filter(
        revoked_at__isnull=True, valid_until__gt=Now(), valid_until__lte=Now() + within
    ).select_related("participant")
    if participant_id is not None:
        found = found.filter(participant_id=participant_id)
    return found.order_by("valid_until", "id")


def providers(source_currency: str | None = None, target_currency: str | None = None) -> list[str]:
    """Returns the names of the active participants that offer this conversion. If no currencies are given, any
    conversion counts. The names are in the order in which the participants were registered."""
    # An FXP receives one currency and pays the other.
    pairs = CurrencyPair.objects.filter(
        participant__is_active=True, participant__may_send=True, participant__may_receive=True
    )
    if source_currency is not None:
        pairs = pairs.filter(source_currency=source_currency, target_currency=target_currency)
    found = pairs.order_by("participant_id").values_list("participant_id", "participant__name").distinct()
    return [name for _, name in found]
