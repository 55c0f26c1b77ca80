"""Access tokens: short-lived signed JWTs (RFC 9068). Only the hub issues and reads these tokens. The hub signs them
with a key of its own.

A token contains the name of its client. If the client presented a certificate, the token also contains the
certificate's SHA-256 (RFC 8705). The hub does not store tokens. At each use of a token, the hub checks that the token's
client is still valid. So the tokens of a revoked client become invalid within seconds.

Tokens of DFSPs and tokens of the hub's operators are signed with different keys. So the hub cannot confuse tokens of
DFSPs and tokens of operators.
"""

import base64
import secrets
import time
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from django.conf import settings
from django.utils.crypto import salted_hmac
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

_ALGORITHM = "HS256"  # fixed, so that a token cannot choose its algorithm
_DFSPS = "hub.api.tokens"
_OPERATORS = "hub.api.tokens of operators"
_ADMINISTRATION = "administration"  # the audience of operators' tokens


@dataclass(frozen=True, slots=True)
class Token:
    """The content of a DFSP's valid token."""

    client_key: str
    participant: str
    certificate_sha256: str | None
    expires_at: float


@dataclass(frozen=True, slots=True)
class OperatorsToken:
    """The content of an administration client's valid token."""

    client_key: str
    scopes: frozenset[str]
    expires_at: float


class BadToken(Exception):
    """Raised if this hub did not issue the token, or issued the token for another purpose."""


def issue(*, client_key: str, participant: str, certificate_sha256: str | None) -> str:
    """Returns a new token for this DFSP's client, valid for TOKEN_LIFETIME_S seconds."""
    claims: dict[str, object] = {"aud": settings.TOKEN_AUDIENCE, "sub": participant, "client_id": client_key}
    if certificate_sha256 is not None:
        claims["cnf"] = {"x5t#S256": _thumbprint(certificate_sha256)}
    return _signed(claims, _DFSPS)


def issue_to_operators(*, client_key: str, scopes: list[str]) -> str:
    """Returns a new token for this administration client, valid for TOKEN_LIFETIME_S seconds."""
    claims: dict[str, object] = {"sub": client_key, "client_id": client_key, "scope": " ".join(scopes)}
    return _signed({"aud": _ADMINISTRATION} | claims, _OPERATORS)


def _signed(claims: dict[str, object], whose: str) -> str:
    now = int(time.time())
    times = {"iat": now, "exp": now + settings.TOKEN_LIFETIME_S}
    common = {"iss": settings.TOKEN_ISSUER, "jti": secrets.token_hex(8)}
    return jwt.encode({"alg": _ALGORITHM, "typ": "at+jwt"}, claims | times | common, _key(settings.SECRET_KEY, whose))


@lru_cache(maxsize=4096)  # a DFSP sends the same token for minutes; errors are not cached
def read(text: str) -> Token:
    """Returns the content of a DFSP's token. Raises BadToken for any other token. Does not check whether the token has
    expired: the caller must check this.
    """
    claims = _claims(text, _DFSPS, settings.TOKEN_AUDIENCE)
    thumbprint = claims.get("cnf", {}).get("x5t#S256")
    return Token(
        client_key=str(claims["client_id"]),
        participant=str(claims["sub"]),
        certificate_sha256=None if thumbprint is None else _sha256_of(thumbprint),
        expires_at=float(claims["exp"]),
    )


def read_operators(text: str) -> OperatorsToken:
    """Returns the content of an administration client's token. Raises BadToken for any other token. Does not check
    whether the token has expired: the caller must check this.
    """
    claims = _claims(text, _OPERATORS, _ADMINISTRATION)
    return OperatorsToken(
        client_key=str(claims["client_id"]),
        scopes=frozenset(str(claims["scope"]).split()),
        expires_at=float(claims["exp"]),
    )


def _claims(text: str, whose: str, audience: str) -> dict[str, Any]:
    try:
        decoded = jwt.decode(text, _key(settings.SECRET_KEY, whose), algorithms=[_ALGORITHM])
    except (JoseError, ValueError):
        raise BadToken from None
    claims: dict[str, Any] = decoded.claims
    if decoded.header.get("typ") != "at+jwt":
        raise BadToken
    if claims.get("iss") != settings.TOKEN_ISSUER or claims.get("aud") != audience:
        raise BadToken
    return claims


@cache
def _key(secret_key: str, whose: str) -> OctKey:
    return OctKey.import_key(salted_hmac(whose, "access token", secret_key, algorithm="sha256").digest())


def _thumbprint(sha256: str) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(sha256)).rstrip(b"=").decode()


def _sha256_of(thumbprint: str) -> str:
    return base64.urlsafe_b64decode(thumbprint + "=").hex()
