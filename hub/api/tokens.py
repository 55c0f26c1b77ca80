"""Access tokens: short-lived signed JWTs (RFC 9068) that only this hub makes and reads, with a key of its own.

A token names the client that asked for it and, where a client certificate was presented, that certificate (RFC 8705).
Nothing is stored: the client's credential is looked up at each use, so revoking it ends its tokens within seconds.

DFSPs' tokens and those of the hub's operators are signed with two keys: neither is ever taken for the other.
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

_ALGORITHM = "HS256"  # pinned: the token does not choose how it is checked
_DFSPS = "hub.api.tokens"
_OPERATORS = "hub.api.tokens of operators"
_ADMINISTRATION = "administration"  # whom the operators' are for


@dataclass(frozen=True, slots=True)
class Token:
    """What a valid token says."""

    client_key: str
    participant: str
    certificate_sha256: str | None
    expires_at: float


@dataclass(frozen=True, slots=True)
class OperatorsToken:
    """What a valid token of an administration client says."""

    client_key: str
    scopes: frozenset[str]
    expires_at: float


class BadToken(Exception):
    """Not a token of this hub's, or not for this hub."""


def issue(*, client_key: str, participant: str, certificate_sha256: str | None) -> str:
    """A new token for this DFSP's client, for TOKEN_LIFETIME_S seconds."""
    claims: dict[str, object] = {"aud": settings.TOKEN_AUDIENCE, "sub": participant, "client_id": client_key}
    if certificate_sha256 is not None:
        claims["cnf"] = {"x5t#S256": _thumbprint(certificate_sha256)}
    return _signed(claims, _DFSPS)


def issue_to_operators(*, client_key: str, scopes: list[str]) -> str:
    """A new token for this administration client, for TOKEN_LIFETIME_S seconds."""
    claims: dict[str, object] = {"sub": client_key, "client_id": client_key, "scope": " ".join(scopes)}
    return _signed({"aud": _ADMINISTRATION} | claims, _OPERATORS)


def _signed(claims: dict[str, object], whose: str) -> str:
    now = int(time.time())
    times = {"iat": now, "exp": now + settings.TOKEN_LIFETIME_S}
    common = {"iss": settings.TOKEN_ISSUER, "jti": secrets.token_hex(8)}
    return jwt.encode({"alg": _ALGORITHM, "typ": "at+jwt"}, claims | times | common, _key(settings.SECRET_KEY, whose))


@lru_cache(maxsize=4096)  # a DFSP shows the same token for minutes; what is wrong is not remembered
def read(text: str) -> Token:
    """The token, where this hub made it for this hub; BadToken otherwise. Whether it has expired is the caller's."""
    claims = _claims(text, _DFSPS, settings.TOKEN_AUDIENCE)
    thumbprint = claims.get("cnf", {}).get("x5t#S256")
    return Token(
        client_key=str(claims["client_id"]),
        participant=str(claims["sub"]),
        certificate_sha256=None if thumbprint is None else _sha256_of(thumbprint),
        expires_at=float(claims["exp"]),
    )


def read_operators(text: str) -> OperatorsToken:
    """The same of an administration client's token."""
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
