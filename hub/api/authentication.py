"""Authenticates callers. All credentials in a request must belong to the participant in FSPIOP-Source.

`PARTICIPANT_AUTH` sets the required credentials: a client certificate that the TLS proxy forwards, an access token, or
both. The demo hub requires no credentials. Each process compares credentials with its own copy of the registry, never
with the database. If a check fails, the log names the check, but the response does not.
"""

import hashlib
import hmac
import time
from functools import lru_cache
from ipaddress import ip_address
from typing import NoReturn
from urllib.parse import unquote

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.conf import settings
from django.http import HttpRequest

from fspiop.errors import ErrorCode, FspiopError
from hub.api import tokens
from hub.participants import credential_cache, queries

log = structlog.get_logger("security")

TOKEN = "token"  # noqa: S105 (the name in PARTICIPANT_AUTH)
CERTIFICATE = "certificate"


def participant_of(request: HttpRequest, source: str) -> int:
    """Returns the id of the calling participant. Refuses a caller whose credentials do not match FSPIOP-Source."""
    if source == settings.HUB_NAME:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-source: this is the hub's own name")
    participant_id = _proven(request, source) if settings.PARTICIPANT_AUTH else _named(source)
    if not calls_from_its_network(request, participant_id):
        _refuse(403, source, "the participant is not allowed to use this address", "not from this address")
    return participant_id


def _named(source: str) -> int:
    participant_id = queries.id_of(source)
    if participant_id is None:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, "fspiop-source: no such participant")
    return participant_id


def calls_from_its_network(request: HttpRequest, participant_id: int) -> bool:
    """Returns whether the scheme allows this participant to send requests from this address.

    If the participant has no list of addresses, every address is allowed.
    """
    return credential_cache.current().may_call_from(participant_id, address_of(request))


def address_of(request: HttpRequest) -> credential_cache.Address | None:
    """Returns the caller's address: the last address in X-Forwarded-For that is not a proxy of this hub.

    Returns None if the address is unknown, or if the request lacks the secret of the hub's proxy.
    """
    text = request.META.get("REMOTE_ADDR", "")
    if settings.TRUSTED_PROXY_COUNT:
        if settings.PROXY_SECRET and not _is_by_proxy(request):
            return None
        handed_over = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
        if len(handed_over) < settings.TRUSTED_PROXY_COUNT:
            return None
        text = handed_over[-settings.TRUSTED_PROXY_COUNT].strip()
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class _Unproven(Exception):
    """Raised if the credentials of a request do not belong to any participant. The exception contains the reason."""


def proven_name(request: HttpRequest) -> str | None:
    """Returns the name of the participant to which all credentials of a request belong. Ignores the name in
    FSPIOP-Source. Returns None if there is no such participant.
    """
    try:
        owners = _owners(request)
    except _Unproven:
        return None
    names = {queries.name_of(participant_id) for participant_id in owners}
    is_proven = len(names) == 1 and calls_from_its_network(request, owners[0])
    return names.pop() if is_proven else None


def proves(request: HttpRequest, participant_id: int) -> bool:
    """Returns whether all required credentials of a request belong to this participant, and whether the participant is
    allowed to use this address."""
    try:
        owners = _owners(request)
    except _Unproven:
        return False
    return set(owners) <= {participant_id} and calls_from_its_network(request, participant_id)


def _proven(request: HttpRequest, source: str) -> int:
    try:
        proven = _owners(request)
    except _Unproven as reason:
        _refuse(401, source, str(reason))
    # All credentials must belong to the same participant, so that a single stolen credential is useless.
    if {queries.name_of(participant_id) for participant_id in proven} != {source}:
        _refuse(403, source, "FSPIOP-Source does not match the credentials")
    return proven[0]


def _owners(request: HttpRequest) -> list[int]:
    """Returns the ids of the participants to which the required credentials belong, one id for each credential."""
    proven: list[int] = []
    certificate = presented_certificate(request)
    if CERTIFICATE in settings.PARTICIPANT_AUTH:
        known = credential_cache.current().by_certificate(certificate) if certificate is not None else None
        if known is None:
            raise _Unproven("no registered and valid certificate")
        proven.append(known.participant_id)
    if TOKEN in settings.PARTICIPANT_AUTH:
        proven.append(_client_of(request, certificate))
    return proven


def _client_of(request: HttpRequest, certificate: str | None) -> int:
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise _Unproven("no bearer token")
    try:
        token = tokens.read(text.strip())
    except tokens.BadToken:
        raise _Unproven("this hub did not issue the token") from None
    if token.expires_at <= time.time():
        raise _Unproven("the token has expired")
    known = credential_cache.current().by_client(token.client_key)
    if known is None:
        raise _Unproven("the token's client has been revoked or has expired")
    if CERTIFICATE in settings.PARTICIPANT_AUTH and token.certificate_sha256 is None:
        raise _Unproven("the token is not bound to a certificate")
    if token.certificate_sha256 not in (None, certificate):
        raise _Unproven("the token is bound to another certificate")
    return known.participant_id


def presented_certificate(request: HttpRequest) -> str | None:
    """Returns the SHA-256 of the client certificate that the TLS proxy has verified. Returns None if there is no such
    certificate.

    The hub accepts certificates only from its proxy, which proves its identity by a shared secret. In production, a hub
    without such a secret accepts no certificates. The hub identifies a certificate by its bytes, and never compares
    names in certificates.

    The proxy can send the certificate's SHA-1 together with the secret. If the proxy has sent a SHA-1, the hub refuses
    every certificate that has a different SHA-1. Without this check, a client could send another certificate in the
    header X_SSL_Client_Cert. WSGI reads this header as X-SSL-Client-Cert, unless the proxy removes it.
    """
    sha1 = None
    if settings.PROXY_SECRET:
        is_by_proxy, sha1 = _proof_of(request)
        if not is_by_proxy:
            return None
    elif settings.PRODUCTION:
        return None
    if request.META.get("HTTP_X_SSL_CLIENT_VERIFY") != "SUCCESS":
        return None
    digests = _digests_of(request.headers.get(settings.CERTIFICATE_HEADER, ""))
    if digests is None or sha1 not in (None, digests[0]):
        return None
    return digests[1]


def _is_by_proxy(request: HttpRequest) -> bool:
    return _proof_of(request)[0]


def _proof_of(request: HttpRequest) -> tuple[bool, str | None]:
    """Returns two values: whether the proxy has sent the right secret, and the client certificate's SHA-1. If the
    client sent no certificate to the proxy, the SHA-1 is "". If the proxy sent no SHA-1, the SHA-1 is None.

    The proxy's header contains the secret. After the secret, the header can contain ";sha1=" and nginx's
    $ssl_client_fingerprint.
    """
    proof = request.META.get("HTTP_X_PROXY_SECRET", "")
    if _is_secret(proof):
        return True, None
    secret, _, sha1 = proof.rpartition(";sha1=")
    return _is_secret(secret), sha1.lower()


def _is_secret(text: str) -> bool:
    return hmac.compare_digest(text.encode(), settings.PROXY_SECRET.encode())


@lru_cache(maxsize=4096)
def _digests_of(escaped_pem: str) -> tuple[str, str] | None:
    """Returns a certificate's SHA-1 and SHA-256. nginx identifies certificates by SHA-1, but the hub's registry
    identifies them by SHA-256."""
    try:
        certificate = x509.load_pem_x509_certificate(unquote(escaped_pem).encode())
    except ValueError:
        return None
    octets = certificate.public_bytes(Encoding.DER)
    return hashlib.sha1(octets, usedforsecurity=False).hexdigest(), hashlib.sha256(octets).hexdigest()


def _refuse(status: int, source: str, why: str, told: str = "") -> NoReturn:
    log.warning("caller_refused", source=source, why=why)
    detail = told or ("not authenticated" if status == 401 else "FSPIOP-Source does not match the credentials")
    raise FspiopError(ErrorCode.CLIENT_ERROR, detail, http_status=status)
