"""Who is calling: what the caller proves must be the participant that FSPIOP-Source names.

`PARTICIPANT_AUTH` says how: "token" (Authorization: Bearer), "certificate" (as the TLS proxy hands it over), or, in
the demo only, "none". Tokens and certificates are looked up by SHA-256 in the participant's credentials.
"""

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from django.conf import settings
from django.http import HttpRequest

from fspiop.errors import ErrorCode, FspiopError
from hub.participants import queries
from hub.participants.models import Credential


def participant_of(request: HttpRequest, source: str) -> int:
    """The id of the participant that calls; refuses one that is not who FSPIOP-Source says."""
    if source == settings.HUB_NAME:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-source: this is the hub's own name")
    participant_id = queries.id_of(source)
    if settings.PARTICIPANT_AUTH != "none":
        proven_id = _proven(request)
        if participant_id is None or proven_id != participant_id:
            raise FspiopError(
                ErrorCode.CLIENT_ERROR, "FSPIOP-Source is not who the credentials belong to", http_status=403
            )
    if participant_id is None:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, "fspiop-source: no such participant")
    return participant_id


def _proven(request: HttpRequest) -> int:
    if settings.PARTICIPANT_AUTH == "token":
        return _by_sha256(Credential.Kind.TOKEN, _sha256_of_token(request))
    return _by_sha256(Credential.Kind.CERTIFICATE, _sha256_of_certificate(request))


def _by_sha256(kind: Credential.Kind, sha256: str) -> int:
    now = datetime.now(UTC)
    found = (
        Credential.objects.filter(
            kind=kind, sha256=sha256, valid_from__lte=now, valid_until__gt=now, revoked_at__isnull=True
        )
        .values_list("participant_id", flat=True)
        .first()
    )
    if found is None:
        raise _not_authenticated(f"the {kind.value} is unknown, expired or revoked")
    return found


def _sha256_of_token(request: HttpRequest) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _not_authenticated("Authorization: Bearer is missing")
    return hashlib.sha256(token.strip().encode()).hexdigest()


def _sha256_of_certificate(request: HttpRequest) -> str:
    # Only the TLS proxy may speak for a certificate; it proves itself by a shared secret.
    proof = request.headers.get("X-Proxy-Secret", "")
    if settings.PROXY_SECRET and not hmac.compare_digest(proof.encode(), settings.PROXY_SECRET.encode()):
        raise _not_authenticated("the request did not come through the TLS proxy")
    if request.headers.get("X-SSL-Client-Verify", "") != "SUCCESS":
        raise _not_authenticated("no verified client certificate")
    pem = unquote(request.headers.get(settings.CERTIFICATE_HEADER, ""))
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise _not_authenticated("the client certificate can not be read") from None
    return certificate.fingerprint(hashes.SHA256()).hex()


def _not_authenticated(detail: str) -> FspiopError:
    return FspiopError(ErrorCode.CLIENT_ERROR, detail, http_status=401)
