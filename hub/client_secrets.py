"""Secrets of OAuth2 clients, of DFSPs and of the hub's operators: created here, and stored only as a hash."""

import hashlib
import hmac
import secrets


def make() -> str:
    return secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    """The stored hash of a secret. The secret has 256 random bits, so it needs no slow hash against guessing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_it(secret: str, sha256: str) -> bool:
    """Whether this is the secret; the comparison takes constant time."""
    return hmac.compare_digest(hash_of(secret), sha256)
