"""Creates and checks the secrets of OAuth2 clients, for DFSPs and for operators. The hub stores only a hash of a
secret."""

import hashlib
import hmac
import secrets


def make() -> str:
    return secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    """Returns the hash to store for a secret. A fast hash is enough for a client secret, because the secret has 256
    random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_it(secret: str, sha256: str) -> bool:
    """Returns whether this secret has this hash. The comparison takes the same time for right and wrong secrets."""
    return hmac.compare_digest(hash_of(secret), sha256)
