"""Base64url without padding, in its only canonical spelling (RFC 4648 section 5, RFC 7515 section 2)."""

import base64
import binascii

from fspiop.invalid_value_codes import EncodingFault, InvalidValue


def encode(octets: bytes) -> str:
    """Returns the bytes as base64url without padding (RFC 7515, BASE64URL(OCTETS))."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Decodes base64url text without padding (RFC 7515).

    Raises ValueError if the text is not the canonical base64url that `encode` writes.
    """
    try:
        octets = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise InvalidValue(EncodingFault.NOT_BASE64URL) from None
    # Each value may have only one spelling in base64url. So the function refuses padding, the standard alphabet, and
    # unused bits in the last character that are not zero.
    if encode(octets) != text:
        raise InvalidValue(EncodingFault.NOT_CANONICAL_BASE64URL)
    return octets
