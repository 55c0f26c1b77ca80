"""Sets up the certifier as a participant. Opens the test accounts of the certifier and of the tested DFSPs.

The accounts are in the test currency (`hub.test_currency`). The hub never settles and never converts this currency.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from directory import alias_registry, builtin_oracle
from directory.aliases import Alias
from fspiop import jws
from fspiop.errors import ErrorCode, FspiopError
from hub.api.authentication import TOKEN
from hub.audit.models import Entry
from hub.participants import credentials
from hub.participants import services as participants
from hub.participants.models import Credential, Participant
from hub.test_currency import TEST_CURRENCY
from ledger import accounts_and_funds as ledger
from ledger import queries
from ledger.models import Account
from portal.certification.aliases import ALIASES

ACTOR = "certification"
_CAP = 1_000_000 * 10_000  # in ten-thousandths
_LEAST_FREE = 100_000 * 10_000  # an account with less free money than this amount gets more test money
_CREDENTIALS_ARE_VALID = timedelta(days=1)
_HUB_TYPES = (Account.Type.HUB_RECONCILIATION, Account.Type.HUB_MULTILATERAL_SETTLEMENT)


@dataclass(frozen=True, slots=True)
class Certifier:
    """The certifier's identity during some runs: the participant, the signing key, and the client for tokens."""

    participant: Participant
    key: RSAPrivateKey
    client: str
    secret: str


def set_up(*, endpoint: str) -> Certifier:
    """Prepares the certifier. A repeated call adds only the parts that are still missing."""
    _open_hub_accounts()
    certifier = _certifier()
    open_accounts(certifier)
    if not certifier.is_active:
        certifier = participants.set_active(certifier, is_active=True, actor=ACTOR)
    participants.set_endpoint(certifier, endpoint_type="FSPIOP_CALLBACK_URL", value=endpoint, actor=ACTOR)
    builtin_oracle.take_back("MSISDN", ALIASES, to=certifier)
    for identifier in ALIASES:
        alias_registry.register(Alias("MSISDN", identifier), certifier)
    key = _signing_key(certifier)
    client, secret = _client(certifier)
    return Certifier(certifier, key, client, secret)


def take_down() -> None:
    """Disables the certifier, so that no participant can pay the certifier outside of a test."""
    certifier = Participant.objects.filter(name=settings.CERTIFIER_NAME).first()
    if certifier is None or not _is_made_here(certifier):
        return
    _revoke(certifier, Credential.Kind.CLIENT)
    if not settings.CERTIFIER_SIGNING_KEY_FILE:
        _revoke(certifier, Credential.Kind.SIGNING_KEY)
    if certifier.is_active:
        participants.set_active(certifier, is_active=False, actor=ACTOR)


def _open_hub_accounts() -> None:
    for account_type in _HUB_TYPES:
        known = Account.objects.filter(participant__is_hub=True, currency=TEST_CURRENCY, type=account_type)
        if not known.exists():
            ledger.open_hub_account(account_type=account_type, currency=TEST_CURRENCY, actor=ACTOR)


@transaction.atomic
def _certifier() -> Participant:
    """Returns the certifier.

    While the function creates this participant, or marks this participant as the certifier, no conversion can begin.
    After the creation of the certifier, `check_ledger` (`test_money_never_settles`) allows no new conversion of test
    money.
    """
    name = settings.CERTIFIER_NAME
    found = Participant.objects.filter(name=name).first()
    if found is not None and not _is_made_here(found):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"CERTIFIER_NAME: {name} is a DFSP; choose another name")
    if found is not None and found.is_certifier:
        return found
    ledger.stop_conversions()
    if found is None:
        found = participants.create(name=name, is_certifier=True, actor=ACTOR)
    else:
        found = participants.mark_as_certifier(found, actor=ACTOR)
    if queries.was_converted_since(TEST_CURRENCY, found.created_at):
        raise FspiopError(
            ErrorCode.CLIENT_ERROR, f"{TEST_CURRENCY} was converted since {name} exists; choose another CERTIFIER_NAME"
        )
    return found


def _is_made_here(participant: Participant) -> bool:
    """Returns whether the certification created this participant. The name alone proves nothing, because it is possible
    that a DFSP had this name earlier."""
    created = Entry.objects.filter(subject=participant.name, action="participant_created", actor=ACTOR)
    return created.exists()


@transaction.atomic
def open_accounts(participant: Participant) -> None:
    """Prepares the test accounts of the certifier or of a DFSP. A repeated call adds only the parts that are still
    missing."""
    if not queries.accounts_of(participant, TEST_CURRENCY).exists():
        ledger.register_participant(name=participant.name, currency=TEST_CURRENCY, is_proxy=False, actor=ACTOR)
    position = queries.positions_of(participant, TEST_CURRENCY).get()
    if position.net_debit_cap is None:
        ledger.set_initial_limit(participant, currency=TEST_CURRENCY, ndc=_CAP, actor=ACTOR)
        position.refresh_from_db()
    elif not position.is_active:
        ledger.set_account_active(position, is_active=True, actor=ACTOR)
    used = queries.value_of(position)
    cap = position.net_debit_cap or 0
    if cap - used < _LEAST_FREE:
        ledger.change_ndc(participant, currency=TEST_CURRENCY, ndc=used + _CAP, alarm_percentage=None, actor=ACTOR)
    settlement = queries.accounts_of(participant, TEST_CURRENCY).get(type=Account.Type.SETTLEMENT)
    if queries.cover_of(settlement) - used < _LEAST_FREE:
        ledger.record_funds_in(
            settlement,
            transfer_id=str(uuid.uuid4()),
            amount=max(_CAP, used + _CAP),
            reason="test money for certification",
            external_reference="certification",
            actor=ACTOR,
        )


def _signing_key(certifier: Participant) -> RSAPrivateKey:
    file = settings.CERTIFIER_SIGNING_KEY_FILE
    key = jws.load_private_key(Path(file).read_bytes()) if file else rsa.generate_private_key(65537, 2048)
    text = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    if file:
        try:
            credentials.check_signing_key(certifier, key=text.decode())
        except FspiopError:  # the key is already registered
            return key
        credentials.add_signing_key(certifier, key=text.decode(), actor=ACTOR)
        return key
    _revoke(certifier, Credential.Kind.SIGNING_KEY)
    until = timezone.now() + _CREDENTIALS_ARE_VALID
    credentials.add_signing_key(certifier, key=text.decode(), valid_until=until, actor=ACTOR)
    return key


def _client(certifier: Participant) -> tuple[str, str]:
    if TOKEN not in settings.PARTICIPANT_AUTH:
        return "", ""
    _revoke(certifier, Credential.Kind.CLIENT)
    made = credentials.add_client(certifier, valid_until=timezone.now() + _CREDENTIALS_ARE_VALID, actor=ACTOR)
    return made.credential.label, made.secret


def _revoke(certifier: Participant, kind: str) -> None:
    for credential in Credential.objects.filter(participant=certifier, kind=kind, revoked_at=None):
        credentials.revoke(certifier, credential_id=credential.pk, actor=ACTOR)
