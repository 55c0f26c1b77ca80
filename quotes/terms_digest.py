"""Terms as one digest: what a payee offered for one payment, and what a transfer comes with. Pure."""

import hashlib


def digest_of(condition: str, packet_sha256: bytes) -> bytes:
    """The same for equal conditions and equal packets, and for nothing else: a condition has one length."""
    return hashlib.sha256(condition.encode() + packet_sha256).digest()
