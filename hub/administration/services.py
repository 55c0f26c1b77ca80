"""Creates and revokes administration clients, issues their secrets, and records when each client was last used. The
audit trail records each new client, each issued secret and each revocation."""

import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from fspiop.errors import ErrorCode, FspiopError
from hub import client_secrets
from hub.administration import secret_hash_cache
from hub.administration.models import READ, SCOPES, WRITE, AdministrationClient
from hub.audit import record
from hub.sql_execution import execute

# A DFSP's client key begins with the participant's name, which has no slash. So a DFSP's client key never begins with
# this prefix.
KEY_PREFIX = "administration/"
_NOTE_USE_EVERY_S = 60


@transaction.atomic
def add(*, name: str, scopes: list[str], days: int, holder: User, actor: str) -> AdministrationClient:
    """Creates an administration client. The client cannot get a token until its holder has fetched the secret."""
    if not scopes or not set(scopes) <= set(SCOPES):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"scopes: must be one or both of {', '.join(SCOPES)}")
    client = AdministrationClient.objects.create(
        name=name,
        key=f"{KEY_PREFIX}{name}.{secrets.token_hex(8)}",
        may_read=READ in scopes,
        may_write=WRITE in scopes,
        holder=holder,
        valid_until=timezone.now() + timedelta(days=days),
    )
    after = {
        "scopes": client.scopes,
        "holder": holder.get_username(),
        "validUntil": client.valid_until.isoformat(),
    }
    record("administration_client_added", subject=client.key, actor=actor, after=after)
    return client


@transaction.atomic
def give_secret(client_id: int, *, to: User) -> tuple[AdministrationClient, str]:
    """Creates and returns a client's secret.

    Only the client's holder can fetch the secret, and only once. The holder must fetch the secret within
    APPROVAL_EXPIRES_S seconds after the creation of the client.
    """
    client = AdministrationClient.objects.select_for_update(no_key=True).filter(pk=client_id, holder=to).first()
    if client is None:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, "you have no such client", http_status=404)
    if not may_be_fetched(client):
        raise FspiopError(ErrorCode.CLIENT_ERROR, "the secret was fetched already, or can no longer be fetched")
    secret = client_secrets.make()
    client.sha256, client.secret_given_at = client_secrets.hash_of(secret), timezone.now()
    client.save(update_fields=["sha256", "secret_given_at"])
    record("administration_secret_given", subject=client.key, actor=to.get_username())
    secret_hash_cache.forget()
    return client, secret


def may_be_fetched(client: AdministrationClient) -> bool:
    waits_until = client.created_at + timedelta(seconds=settings.APPROVAL_EXPIRES_S)
    return client.secret_given_at is None and client.is_valid and timezone.now() < waits_until


@transaction.atomic
def revoke(key: str, *, actor: str) -> AdministrationClient:
    """Revokes a client and its tokens permanently. Does nothing if the client has already been revoked."""
    client = AdministrationClient.objects.select_for_update(no_key=True).filter(key=key).first()
    if client is None:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, "there is no such administration client", http_status=404)
    if client.revoked_at is None:
        client.revoked_at = timezone.now()
        client.save(update_fields=["revoked_at"])
        record("administration_client_revoked", subject=client.key, actor=actor)
    return client


def valid(key: str) -> AdministrationClient | None:
    """Returns the client with this key. Returns None if there is no such client, or if the client has expired, was
    revoked or has no secret.

    The function reads the database, so a client's revocation takes effect immediately.
    """
    if not key.startswith(KEY_PREFIX) or "\0" in key:
        return None
    client = AdministrationClient.objects.filter(key=key, sha256__isnull=False).first()
    return client if client is not None and client.is_valid else None


# If the client's row is locked, another transaction is revoking the client or recording a use. In both cases, this
# statement can skip the row.
_NOTE_USE = """
    UPDATE administration_administrationclient SET last_used_at = clock_timestamp()
    WHERE id = (
        SELECT id FROM administration_administrationclient
        WHERE id = %s AND revoked_at IS NULL FOR NO KEY UPDATE SKIP LOCKED
    )
"""


def note_use(client: AdministrationClient) -> None:
    """Stores, at most once a minute, the time at which a client was last used."""
    seen = client.last_used_at
    if seen is None or (timezone.now() - seen).total_seconds() >= _NOTE_USE_EVERY_S:
        execute(_NOTE_USE, [client.pk])
