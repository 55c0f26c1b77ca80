"""Secrets of OAuth2 clients, of DFSPs and of the hub's operators: made here, and stored as a hash alone."""

import hashlib
import hmac
import secrets


def make() -> str:
    return secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    """What is stored of a secret. It has 256 random bits: there is nothing to guess that a slow hash would protect."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_it(secret: str, sha256: str) -> bool:
    """Whether this is the secret; takes as long for each that is not."""
    return hmac.compare_digest(hash_of(secret), sha256)
