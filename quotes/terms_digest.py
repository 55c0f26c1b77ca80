"""The digest of terms: of a payee's offer for one payment, or of a transfer. Pure."""

import hashlib


def digest_of(condition: str, packet_sha256: bytes) -> bytes:
    """Returns equal digests only for equal conditions with equal packets, because a condition has a fixed length."""
    return hashlib.sha256(condition.encode() + packet_sha256).digest()
