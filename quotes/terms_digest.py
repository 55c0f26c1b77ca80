"""Computes the digest of a payment's terms: the condition and the packet. The terms come from a payee's offer for one
payment, or from a transfer. Pure."""

import hashlib


def digest_of(condition: str, packet_sha256: bytes) -> bytes:
    """Returns the digest of a condition and a packet.

    A condition has a fixed length. So the input of the digest is different for each pair of condition and packet.
    """
    return hashlib.sha256(condition.encode() + packet_sha256).digest()
