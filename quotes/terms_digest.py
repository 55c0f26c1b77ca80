"""Computes the digest of terms. The terms come from a payee's offer for one payment, or from a transfer. Pure."""

import hashlib


def digest_of(condition: str, packet_sha256: bytes) -> bytes:
    """Returns the digest of a condition and a packet.

    A condition has a fixed length, so two different pairs of condition and packet never have the same input for the
    digest.
    """
    return hashlib.sha256(condition.encode() + packet_sha256).digest()
