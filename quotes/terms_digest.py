"""Computes the digest of terms. The terms are from a payee's offer for one payment, or from a transfer. Pure."""

import hashlib


def digest_of(condition: str, packet_sha256: bytes) -> bytes:
    """Returns the digest of a condition and a packet.

    A condition has a fixed length, so only equal pairs have equal digests.
    """
    return hashlib.sha256(condition.encode() + packet_sha256).digest()
