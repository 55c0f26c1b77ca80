"""Sets up the certifier as a participant, and disables the certifier after the runs."""

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
from portal.certification import test_accounts
from portal.certification.telephone_numbers_of_cases import ALIASES
from portal.certification.test_accounts import ACTOR

_CREDENTIALS_ARE_VALID = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certifier:
    """The certifier's identity during some runs: the participant, the signing key, and the client for tokens."""

    participant: Participant
    key: RSAPrivateKey
    client: str
    secret: str


def set_up(*, endpoint: str) -> Certifier:
    """Prepares the certifier. A repeated call adds only the parts that are still missing."""
    test_accounts.open_hub_accounts()
    certifier = _certifier()
    test_accounts.open_accounts(certifier)
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
