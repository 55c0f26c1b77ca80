"""Registers and revokes participants' credentials. The audit trail records each registration and each revocation."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from django.db import IntegrityError, transaction
from django.utils import timezone

from fspiop import keys_and_certificates
from fspiop.errors import ErrorCode, FspiopError
from fspiop.keys_and_certificates import PublicPart
from hub import client_secrets
from hub.audit import record
from hub.participants import certificate_authority, credential_cache
from hub.participants.models import Credential, Participant

MOST_CLIENTS = 2  # a participant needs a second client only while it replaces the first client
_VALID_FOR = timedelta(days=730)
_REGISTERED = "this certificate, key or client was registered before, for this or another participant"


@dataclass(frozen=True, slots=True)
class NewClient:
    """A participant's new OAuth2 client, and the client's secret. The database stores only the hash of a client's
    secret."""

    credential: Credential
    secret: str


def add_certificate(participant: Participant, *, pem: str, actor: str) -> Credential:
    """Registers a TLS client certificate for the certificate's period of validity."""
    return _add_public(
        participant, Credential.Kind.CERTIFICATE, _read(keys_and_certificates.read_certificate, pem), None, None, actor
    )


def issue_certificate(participant: Participant, *, csr: str, days: int, actor: str) -> Credential:
    """Makes the scheme's authority sign a certificate for a participant's signing request. Registers this
    certificate."""
    request = check_signing_request(participant, csr=csr)
    try:
        pem = certificate_authority.sign(request, name=participant.name, days=days)
    except certificate_authority.NotReady as error:
        raise FspiopError(ErrorCode.SERVICE_UNAVAILABLE, str(error)) from None
    return add_certificate(participant, pem=pem, actor=actor)


def check_signing_request(participant: Participant, *, csr: str) -> certificate_authority.Request:
    """Checks and returns the signing request. Raises FspiopError if the authority would refuse this request. This also
    works on a hub without an authority."""
    try:
        request = certificate_authority.read_request(csr, name=participant.name)
    except ValueError as error:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, str(error)) from None
    if _is_anothers(request.key_sha256, participant):
        raise FspiopError(ErrorCode.CLIENT_ERROR, "another participant has a certificate with this key")
    return request


def check_signing_key(participant: Participant, *, key: str) -> PublicPart:
    """Checks and returns the public key. Raises FspiopError if the hub would refuse to register this key."""
    part = _read_signing_key(participant, key)
    if Credential.objects.filter(sha256=part.sha256).exists():
        raise FspiopError(ErrorCode.CLIENT_ERROR, _REGISTERED)
    return part


def _is_anothers(key_sha256: str, participant: Participant) -> bool:
    """Returns whether another participant has ever registered this key, in a certificate or for signatures."""
    signing_keys = Credential.objects.filter(kind=Credential.Kind.SIGNING_KEY, sha256=key_sha256)
    return signing_keys.exclude(participant=participant).exists() or _is_in_anothers_certificate(
        key_sha256, participant
    )


def _is_in_anothers_certificate(key_sha256: str, participant: Participant) -> bool:
    certificates = Credential.objects.filter(kind=Credential.Kind.CERTIFICATE).exclude(participant=participant)
    pems = certificates.exclude(pem="").values_list("pem", flat=True)
    return any(
        certificate_authority.key_sha256_of(x509.load_pem_x509_certificate(pem.encode())) == key_sha256 for pem in pems
    )


def _read_signing_key(participant: Participant, key: str) -> PublicPart:
    """Reads the public key. Raises FspiopError if the key is in another participant's certificate. Everybody can read
    the public key in a certificate. If a participant could register another participant's key, the other participant
    could not renew its certificate with this key.
    """
    part = _read(keys_and_certificates.read_signing_key, key)
    if _is_in_anothers_certificate(part.sha256, participant):
        raise FspiopError(ErrorCode.CLIENT_ERROR, "another participant has a certificate with this key")
    return part


def add_signing_key(
    participant: Participant,
    *,
    key: str,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
    actor: str,
) -> Credential:
    """Registers the public key with which the hub checks the participant's signatures. `key` is PEM, an X.509
    certificate in PEM, or a JWK."""
    part = _read_signing_key(participant, key)
    return _add_public(participant, Credential.Kind.SIGNING_KEY, part, valid_from, valid_until, actor)


def add_client(participant: Participant, *, valid_until: datetime | None = None, actor: str) -> NewClient:
    """Creates an OAuth2 client with a key and a secret.

    A participant can have two valid clients, but no more. The participant needs the second client only while it
    replaces the first client.
    """
    secret = client_secrets.make()
    credential = register_client(
        participant,
        client_key=new_client_key(participant),
        sha256=client_secrets.hash_of(secret),
        valid_until=valid_until,
        actor=actor,
    )
    return NewClient(credential, secret)


def new_client_key(participant: Participant) -> str:
    return f"{participant.name}.{secrets.token_hex(8)}"


@transaction.atomic
def register_client(
    participant: Participant, *, client_key: str, sha256: str, valid_until: datetime | None = None, actor: str
) -> Credential:
    """Registers an OAuth2 client whose holder already has the secret. The registered client is valid immediately."""
    Participant.objects.select_for_update(no_key=True).get(pk=participant.pk)
    now = timezone.now()
    _check_times(now, valid_until)
    live = Credential.objects.filter(
        participant=participant, kind=Credential.Kind.CLIENT, revoked_at__isnull=True, valid_until__gt=now
    )
    if live.count() >= MOST_CLIENTS:
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"{participant} has {MOST_CLIENTS} valid clients; revoke one first")
    credential = Credential(
        participant=participant,
        kind=Credential.Kind.CLIENT,
        sha256=sha256,
        label=client_key,
        valid_from=now,
        valid_until=valid_until or now + _VALID_FOR,
    )
    return _save(credential, actor)


def of_participant(participant: Participant, credential_id: int, *, locks: bool = False) -> Credential:
    rows = Credential.objects.select_for_update(no_key=True) if locks else Credential.objects.all()
    credential = rows.filter(participant=participant, pk=credential_id).first()
    if credential is None:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, "this participant has no such credential", http_status=404)
    return credential


@transaction.atomic
def revoke(participant: Participant, *, credential_id: int, actor: str) -> Credential:
    """Revokes a credential permanently. The revocation takes effect in every process within seconds.

    Does nothing if the credential was already revoked.
    """
    credential = of_participant(participant, credential_id, locks=True)
    if credential.revoked_at is None:
        credential.revoked_at = timezone.now()
        credential.save(update_fields=["revoked_at"])
        record("credential_revoked", subject=participant.name, actor=actor, before=_told(credential))
        _changed()
    return credential


@transaction.atomic
def set_jws_compat(participant: Participant, *, jws_compat: bool, actor: str) -> None:
    """Sets whether the hub accepts signatures over re-serialised JSON from this participant."""
    before = Participant.objects.select_for_update(no_key=True).get(pk=participant.pk).jws_compat
    Participant.objects.filter(pk=participant.pk).update(jws_compat=jws_compat)
    record(
        "jws_compat_set",
        subject=participant.name,
        actor=actor,
        before={"jwsCompat": before},
        after={"jwsCompat": jws_compat},
    )
    _changed()


def named(credential: Credential) -> dict[str, str | int]:
    """Returns the fields that identify the credential in a request for its revocation."""
    return {
        "participant": credential.participant.name,
        "id": credential.pk,
        "kind": credential.kind,
        "label": credential.label,
        # The hash does not reveal the secret. But many people read change requests, so they do not contain the hash.
        "sha256": "" if credential.kind == Credential.Kind.CLIENT else credential.sha256,
    }


def _read(reader: Callable[[str], PublicPart], text: str) -> PublicPart:
    try:
        return reader(text)
    except ValueError as error:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, str(error)) from None


def _add_public(
    participant: Participant,
    kind: Credential.Kind,
    part: PublicPart,
    valid_from: datetime | None,
    valid_until: datetime | None,
    actor: str,
) -> Credential:
    now = timezone.now()
    begins = max(valid_from or now, part.valid_from or now)
    ends = min(moment for moment in (valid_until, part.valid_until, begins + _VALID_FOR) if moment is not None)
    _check_times(begins, ends)
    credential = Credential(
        participant=participant,
        kind=kind,
        sha256=part.sha256,
        label=part.label,
        pem=part.pem,
        valid_from=begins,
        valid_until=ends,
    )
    return _save(credential, actor)


def _check_times(begins: datetime, ends: datetime | None) -> None:
    if ends is not None and ends <= max(begins, timezone.now()):
        raise FspiopError(
            ErrorCode.VALIDATION_ERROR, "the credential has expired, or its validity ends before it begins"
        )


def _save(credential: Credential, actor: str) -> Credential:
    if credential.participant.closed_at is not None:
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"{credential.participant} was closed for good")
    try:
        with transaction.atomic():
            credential.save(force_insert=True)
            record("credential_added", subject=credential.participant.name, actor=actor, after=_told(credential))
    except IntegrityError:
        # A constraint in the database prevents a second registration of a credential, even for another participant.
        raise FspiopError(ErrorCode.CLIENT_ERROR, _REGISTERED) from None
    _changed()
    return credential


def _told(credential: Credential) -> dict[str, str | int]:
    return {
        "id": credential.pk,
        "kind": credential.kind,
        "label": credential.label,
        # The hash does not reveal the secret. But many people read the audit trail, so it does not contain the hash.
        "sha256": "" if credential.kind == Credential.Kind.CLIENT else credential.sha256,
        "validUntil": credential.valid_until.isoformat(),
    }


def _changed() -> None:
    credential_cache.forget()
    transaction.on_commit(credential_cache.forget)
