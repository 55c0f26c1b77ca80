"""Base64url without padding, in its one canonical spelling (RFC 4648 section 5, RFC 7515 section 2)."""

import base64
import binascii


def encode(octets: bytes) -> str:
    """Writes octets as base64url without padding (RFC 7515, BASE64URL(OCTETS))."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Reads base64url without padding (RFC 7515); ValueError for any spelling that `encode` would not write."""
    try:
        octets = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("not base64url") from None
    # One value has one spelling: padding, the other alphabet or left-over bits in the last letter end here.
    if encode(octets) != text:
        raise ValueError("not canonical base64url")
    return octets
