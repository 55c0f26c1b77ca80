"""Creates and changes participants."""

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from fspiop import money
from fspiop.errors import ErrorCode, FspiopError
from hub import egress
from hub.audit import record
from hub.participants import endpoint_types_and_urls, queries
from hub.participants.models import CurrencyPair, Endpoint, Participant
from hub.test_currency import TEST_CURRENCY

_NAMES_NOT_GIVEN = frozenset({"switch"})


def hub() -> Participant:
    """Returns the hub's own participant. The first call creates the hub's participant."""
    participant, _ = Participant.objects.get_or_create(is_hub=True, defaults={"name": settings.HUB_NAME})
    return participant


@transaction.atomic
def create(
    *, name: str, is_proxy: bool = False, is_live: bool = True, is_certifier: bool = False, actor: str
) -> Participant:
    """Creates an active participant. Refuses a name that differs only in case from an existing name.

    Only the certification can create the certifier, because the certification also disables the certifier after each
    run. If `is_live` is false, the participant can connect to the hub, but cannot send or receive payments before
    `go_live`.
    """
    is_reserved = name.lower() in _NAMES_NOT_GIVEN or name.lower() == settings.HUB_NAME.lower()
    if is_reserved or (name.lower() == settings.CERTIFIER_NAME.lower() and not is_certifier):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"name {name!r} is reserved; choose another")
    if Participant.objects.filter(name__iexact=name).exists():
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"Participant {name} has already been registered")
    if is_certifier:
        _check_no_pair_of_test_money()
    participant = Participant.objects.create(
        name=name,
        is_proxy=is_proxy,
        may_send=is_live,
        may_receive=is_live,
        is_certifier=is_certifier,
        onboarding_since=None if is_live else timezone.now(),
    )
    after = {"name": name, "isProxy": is_proxy} | ({} if is_live else {"isLive": False})
    record("participant_created", subject=name, actor=actor, after=after)
    return participant


@transaction.atomic
def mark_as_certifier(participant: Participant, *, actor: str) -> Participant:
    """Marks an existing participant as the certifier. From then on, the test currency is never converted."""
    participant = lock_open(participant)
    _check_no_pair_of_test_money()
    participant.is_certifier = True
    participant.save(update_fields=["is_certifier"])
    record("participant_marked_as_certifier", subject=participant.name, actor=actor)
    return participant


def _check_no_pair_of_test_money() -> None:
    if _pairs_of(TEST_CURRENCY).exists():
        raise FspiopError(
            ErrorCode.CLIENT_ERROR, f"withdraw all currency pairs with {TEST_CURRENCY} first: it becomes test money"
        )


@transaction.atomic
def go_live(participant: Participant, *, actor: str) -> None:
    """Ends the onboarding, so that the participant can send and receive payments. Before this call, check that the
    participant is ready."""
    participant = lock_open(participant)
    if participant.onboarding_since is None:
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"{participant.name} is live already")
    if participant.leaving_since is not None:
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"{participant.name} is leaving; cancel the off-boarding first")
    participant.may_send = participant.may_receive = True
    participant.onboarding_since = participant.tested_by = None
    participant.save(update_fields=["may_send", "may_receive", "onboarding_since", "tested_by"])
    record("participant_went_live", subject=participant.name, actor=actor)


def lock_open(participant: Participant) -> Participant:
    """Locks the participant and returns it. Refuses a closed participant, because closed participants never change
    again."""
    found = Participant.objects.select_for_update(no_key=True).get(pk=participant.pk)
    if found.closed_at is not None:
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"{found.name} was closed for good")
    return found


@transaction.atomic
def set_active(participant: Participant, *, is_active: bool, actor: str) -> Participant:
    """Enables or disables a participant. A disabled participant cannot send or receive payments."""
    participant = lock_open(participant)
    before = participant.is_active
    participant.is_active = is_active
    participant.save(update_fields=["is_active"])
    record(
        "participant_enabled" if is_active else "participant_disabled",
        subject=participant.name,
        actor=actor,
        before={"isActive": before},
        after={"isActive": is_active},
    )
    return participant


@transaction.atomic
def set_directions(participant: Participant, *, may_send: bool, may_receive: bool, actor: str) -> Participant:
    """Sets whether a participant is allowed to begin payments, and whether it is allowed to receive payments. Payments
    that are already reserved still commit or abort."""
    participant = lock_open(participant)
    if participant.leaving_since is not None:
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"{participant.name} is leaving; cancel the off-boarding first")
    if participant.onboarding_since is not None:
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"{participant.name} is not live yet")
    before = {"maySend": participant.may_send, "mayReceive": participant.may_receive}
    participant.may_send, participant.may_receive = may_send, may_receive
    participant.save(update_fields=["may_send", "may_receive"])
    after = {"maySend": may_send, "mayReceive": may_receive}
    record("directions_set", subject=participant.name, actor=actor, before=before, after=after)
    return participant


def set_endpoint(participant: Participant, *, endpoint_type: str, value: str, actor: str) -> Endpoint:
    """Adds or replaces an endpoint. The next callback already uses the new endpoint."""
    # the check precedes the database transaction, because it resolves the host name over the network
    _check_endpoint(endpoint_type, value)
    return _save_endpoint(participant, endpoint_type=endpoint_type, value=value, actor=actor)


def _check_endpoint(endpoint_type: str, value: str) -> None:
    if not endpoint_types_and_urls.is_known_type(endpoint_type):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"type: {endpoint_type} is not an endpoint type")
    if endpoint_type in endpoint_types_and_urls.EMAIL_TYPES | endpoint_types_and_urls.ALARM_NUMBER_TYPES:
        is_fit = 0 < len(value) <= 512
    else:
        is_fit = endpoint_types_and_urls.is_fit(endpoint_type, value)
    if not is_fit:
        raise FspiopError(
            ErrorCode.VALIDATION_ERROR,
            "value: must be an http or https URL without user, query, fragment or {{names}} unknown to its type",
        )
    if endpoint_type not in endpoint_types_and_urls.EMAIL_TYPES | endpoint_types_and_urls.ALARM_NUMBER_TYPES:
        try:
            egress.check_url(value)
        except ValueError as error:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"value: {error}") from None


@transaction.atomic
def _save_endpoint(participant: Participant, *, endpoint_type: str, value: str, actor: str) -> Endpoint:
    found = Endpoint.objects.select_for_update().filter(participant=participant, type=endpoint_type)
    endpoint = found.first()
    before = None if endpoint is None else endpoint.value
    if endpoint is None or before != value:  # `changed_at` is the time of the last change, not of the last request
        endpoint, _ = Endpoint.objects.update_or_create(
            participant=participant, type=endpoint_type, defaults={"value": value}
        )
    record(
        "endpoint_set",
        subject=participant.name,
        actor=actor,
        before={"value": before},
        after={"type": endpoint_type, "value": value},
    )
    return endpoint


@transaction.atomic
def offer_pair(participant: Participant, *, source_currency: str, target_currency: str, actor: str) -> CurrencyPair:
    """Registers the participant as a provider of this conversion. If the participant already offers this conversion,
    the call changes nothing."""
    for name, currency in (("sourceCurrency", source_currency), ("targetCurrency", target_currency)):
        if currency not in money.CURRENCIES:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: {currency} is not a currency")
        if currency == TEST_CURRENCY and queries.has_certifier():
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: {currency} is for tests, and is never converted")
    if source_currency == target_currency:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "targetCurrency: must differ from the source currency")
    pair, is_new = CurrencyPair.objects.get_or_create(
        participant=participant, source_currency=source_currency, target_currency=target_currency
    )
    if is_new:
        record("pair_offered", subject=participant.name, actor=actor, after=_as_written(pair))
    return pair


def _pairs_of(currency: str) -> QuerySet[CurrencyPair]:
    return CurrencyPair.objects.filter(Q(source_currency=currency) | Q(target_currency=currency))


@transaction.atomic
def withdraw_pair(participant: Participant, *, source_currency: str, target_currency: str, actor: str) -> None:
    """Removes this conversion from the conversions that the participant offers.

    Conversions to which the participant has already agreed continue.
    """
    pair = CurrencyPair.objects.filter(
        participant=participant, source_currency=source_currency, target_currency=target_currency
    ).first()
    if pair is None:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, "The participant does not offer this conversion")
    pair.delete()
    record("pair_withdrawn", subject=participant.name, actor=actor, before=_as_written(pair))


def _as_written(pair: CurrencyPair) -> dict[str, str]:
    return {"sourceCurrency": pair.source_currency, "targetCurrency": pair.target_currency}
